"""A whole run: an ambient (`masked`) prior from the measured lines, then laps of `image` priors on reconstructions.

runs/NAME/            prior.json, prior.safetensors, checkpoint, run.json, tensorboard/
runs/NAME/lap1/       the same for the first lap, and images/: the training scans as its E-step reconstructed them
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mri_ambient.console import stderr, track
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write, writable_folder
from mri_ambient.priors.card import Card, Prior, first_problem, load_prior, save_prior
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.store import read_provenance, read_volume
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, Slices, WholeImages, split, stack, volumes_in
from mri_ambient.training.kspace_task import KspaceTask
from mri_ambient.training.loop import steps_done, train
from mri_ambient.training.ranks import current_ranks
from mri_ambient.training.validation import held_out_error, held_out_lines

RUN = "run.json"
E_STEP_BATCH = 16
PASSES = 20


class RunConfig(BaseModel):
    """The ambient stage, and the settings of each lap's stage. hold_out: the share of the subjects that validate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    hold_out: float = Field(default=0.05, ge=0, lt=1)
    ambient: TrainConfig
    laps: tuple[TrainConfig, ...] = ()


def default_config(
    data: Path = Path("prepared"),
    accel: tuple[float, ...] = (4.0,),
    mask: str = "random",
    loss: str = "weighted",
    denoiser: str = "unrolled",
    laps: int = 1,
    images: int | None = None,
    seed: int = 0,
) -> RunConfig:
    """The stages that `mri-ambient train` runs: each sees ``images`` (None: 20 passes over the data); laps train a `unet`
    on whole images."""
    count = images or PASSES * len(MeasuredSlices(data, accel, mask))
    shared = {"images": count, "seed": seed}
    ambient = {"accel": accel, "mask": mask, "loss": loss, "architecture": {"denoiser": denoiser}, **shared}
    return RunConfig.model_validate(
        {"data": data.resolve(), "ambient": ambient, "laps": (lap_settings(count, seed),) * laps}
    )


def lap_settings(images: int, seed: int) -> dict[str, Any]:
    architecture = {"denoiser": "unet", "widths": (48, 96, 128)}
    shared = {"images": images, "seed": seed}
    return {"accel": (1.0,), "loss": "supervised", "architecture": architecture, "strip": 64, **shared}


def read_config(path: Path) -> RunConfig:
    """From YAML (JSON is YAML too: another run's run.json serves). Raises UserError naming the first wrong setting."""
    try:
        return RunConfig.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); give a run's settings in YAML") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not YAML ({' '.join(str(error).split())}); correct it") from error
    except ValidationError as error:
        problem = first_problem(error)
        raise UserError(f"{path}: {problem}; correct it, `run.json` of a run shows all settings") from error


def override(config: RunConfig, given: dict[str, Any]) -> RunConfig:
    """The run with some settings changed: data; accel, mask, loss and denoiser of the ambient stage; images and seed of
    every stage; laps, how many (more of them are like the last)."""
    made = config.model_dump()
    if "data" in given:
        made["data"] = given["data"].resolve()
    for key in ("accel", "mask", "loss"):
        if key in given:
            made["ambient"][key] = given[key]
    if "denoiser" in given:
        made["ambient"]["architecture"]["denoiser"] = given["denoiser"]
    if "laps" in given:
        last = made["laps"][-1:] or [lap_settings(config.ambient.images, config.ambient.seed)]
        made["laps"] = (list(made["laps"]) + list(last) * given["laps"])[: given["laps"]]
    for stage in (made["ambient"], *made["laps"]):
        stage |= {key: given[key] for key in ("images", "seed") if key in given}
    return RunConfig.model_validate(made)


def run(config: RunConfig, folder: Path, resume: bool, init: Prior | None = None) -> Prior:
    """Train every stage; a stage that is finished is not repeated. Returns the last stage's prior.

    The ambient stage is validated on held-out subjects' measured lines, and the best of its checkpoints is kept. Raises
    UserError if ``folder`` holds a run and ``resume`` is False, or holds another run than ``config``.
    """
    ranks = current_ranks()
    if ranks.first:
        claim(folder, config, resume)
    ranks.wait()
    check_masks(config)
    accels, kind = dataset_accels(config.ambient), config.ambient.mask
    training, held_out = split(config.data, config.hold_out)
    data = MeasuredSlices(config.data, accels, kind, training)
    validate = validation(MeasuredSlices(config.data, accels, kind, held_out), config.ambient) if held_out else None
    prior = _stage(config.data, config.ambient, folder, "masked", data, init, "ambient", validate)
    for number, lap in enumerate(config.laps, 1):
        lap_folder = folder / f"lap{number}"
        if ranks.first:
            reconstruct_training_scans(prior, data, lap_folder / "images")
        ranks.wait()
        warm = prior if prior.card.architecture == lap.architecture else None
        images = WholeImages(lap_folder / "images")
        prior = _stage(config.data, lap, lap_folder, "image", images, warm, f"lap {number}")
    return prior


def check_masks(config: RunConfig) -> None:
    """Volumes that `prep --accel` undersampled keep their masks, whose kind the losses have to know. Raises UserError if the
    run says another kind, or other accelerations, than all of them have."""
    for path in volumes_in(config.data):
        made = read_provenance(path)["settings"]
        if made["accel"] is None:
            continue
        if made["mask"] != config.ambient.mask or made["accel"] not in config.ambient.accel:
            raise UserError(
                f"{path}: was undersampled by `prep --accel {made['accel']:g} --mask {made['mask']}`; train with these two"
            )


def validation(data: MeasuredSlices, config: TrainConfig) -> Callable[[Denoiser], float] | None:
    """The held-out error of the ambient stage; None where lines are hidden only afterwards (`supervised`)."""
    if config.loss == "supervised":
        return None
    return partial(held_out_error, batches=held_out_lines(data, config.seed))


def dataset_accels(config: TrainConfig) -> tuple[float, ...]:
    """A supervised run reads everything and hides lines afterwards; the others never read what M lacks."""
    return (1.0,) if config.loss == "supervised" else config.accel


def claim(folder: Path, config: BaseModel, resume: bool) -> None:
    """Make the run's folder and its run.json, or check that the run there is this one."""
    path = folder / RUN
    if path.exists():
        if not resume:
            raise UserError(f"{folder}: holds a run already; continue it with --resume, or choose another --out")
        try:
            same = type(config).model_validate_json(path.read_text()) == config
        except ValidationError:
            same = False
        if not same:
            raise UserError(f"{path}: describes a run with other settings; resume with those, or choose another --out")
    else:
        writable_folder(folder)
        with atomic_write(path) as temporary:
            temporary.write_text(config.model_dump_json(indent=2) + "\n")


def reconstruct_training_scans(prior: Prior, data: MeasuredSlices, out: Path) -> None:
    """The E-step of a lap: each training slice from its own measured lines, E[x | y, M], by one call of the denoiser.

    A finished file is not repeated."""
    writable_folder(out)
    for path in track(data.paths, "reconstructing the training scans", len(data.paths)):
        target = out / path.name
        if target.exists():
            continue
        levels = read_volume(path).noise_std
        batches = torch.arange(len(levels)).split(E_STEP_BATCH)
        images = [_denoised(prior, data, path, indices, levels) for indices in batches]
        with atomic_write(target) as temporary, h5py.File(temporary, "w") as file:
            file["image"] = np.concatenate(images)


@torch.no_grad()
def _denoised(
    prior: Prior, data: MeasuredSlices, path: Path, indices: torch.Tensor, levels: torch.Tensor
) -> np.ndarray:
    batch = stack([data.slice(path, i) for i in indices.tolist()])
    return prior.denoiser.from_measurements(batch.kspace, batch.maps, batch.mask, levels[indices]).numpy()


def _stage(
    source: Path,
    config: TrainConfig,
    folder: Path,
    kind: Literal["masked", "image"],
    data: Slices,
    init: Prior | None,
    description: str,
    validate: Callable[[Denoiser], float] | None = None,
) -> Prior:
    example = data.batch(1, torch.Generator().manual_seed(0))
    matrix = (example.kspace.shape[-2], example.kspace.shape[-1])
    pixel, described = describe(source)

    def save(denoiser: Denoiser, seen: int) -> None:
        card = Card(
            kind=kind,
            architecture=config.architecture,
            matrix=matrix,
            pixel_mm=pixel,
            images_seen=seen,
            training=config.model_dump(mode="json"),
            data=f"{len(data)} slices; {described}",
        )
        save_prior(folder, denoiser, card)

    if steps_done(folder) >= config.steps:
        stderr.print(f"{description}: finished already")
    else:
        train(KspaceTask(data, config), config, folder, save, init.denoiser if init else None, description, validate)
    return load_prior(folder)


def describe(folder: Path) -> tuple[tuple[float, float] | None, str]:
    """Pixel size in mm, if every volume has the same, and one line about the data for the card."""
    pixels, kinds = set(), set()
    paths = sorted(folder.glob("*.h5"))
    for path in paths:
        volume = read_volume(path, slice(0, 1))
        fov = volume.provenance["field_of_view_mm"]
        shape = volume.kspace.shape[-2:]
        pixels.add(tuple(round(f / n, 3) for f, n in zip(fov, shape, strict=True)) if fov else None)
        kinds.add("simulated" if volume.provenance["simulated"] else "raw")
    return pixels.pop() if len(pixels) == 1 else None, f"{len(paths)} {' and '.join(sorted(kinds))} scans"
