"""A whole run: an ambient (`masked`) prior from the measured lines, then laps of `image` priors on reconstructions.

runs/NAME/            run.json, data.json (the volumes it began with), earlier.json (the scans of runs whose weights it started
                      from), laps.csv, best.json; of the ambient stage prior.json, prior.safetensors, checkpoint, tensorboard
runs/NAME/lap1/       the same for the first lap, and images/: the training scans as its E-step reconstructed them
"""

import json
import operator
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from pydantic import BaseModel, ValidationError

from mri_ambient.console import stderr
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write, writable_folder
from mri_ambient.memory import out_of_memory_is_a_user_error
from mri_ambient.priors.card import Card, Prior, Training, load_prior, save_prior
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.priors.runs import BEST, RUN, steps_done
from mri_ambient.store import read_provenance, read_volume
from mri_ambient.training.checks import check_complete, check_measured_lines, check_noise_levels, identifiability
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, Slices, WholeImages, split, volumes_in
from mri_ambient.training.kspace_task import KspaceTask
from mri_ambient.training.laps import EStep, best_lap, improved, in_parts, iterate, reconstruct_training_scans
from mri_ambient.training.loop import train
from mri_ambient.training.ranks import current_ranks
from mri_ambient.training.report import Row, complete_slices, judge, read_rows, write_rows
from mri_ambient.training.run_config import RunConfig
from mri_ambient.training.run_data import claim_data
from mri_ambient.training.validation import HeldOut, held_out_error, held_out_lines
from mri_ambient.training.warm_start import warm_starts

AMBIENT = "ambient"
Judge = Callable[[Prior, str], Row]
M = TypeVar("M", bound=BaseModel)


def run(config: RunConfig, folder: Path, resume: bool, e_step: EStep) -> Prior:
    """Train every stage; a stage that is finished is not repeated. Returns the best lap's prior, without laps the ambient one.

    Held-out subjects' measured lines choose among the checkpoints of the ambient stage and among the laps, which end when
    they no longer improve. A run may be resumed with more laps than it had. Raises UserError if ``folder`` holds a run and
    ``resume`` is False, or holds another run than ``config``, or one of other volumes, or if no stage can start from
    ``config.init``.
    """
    ranks = current_ranks()
    ambient_init, lap_init = warm_starts(config)
    if ranks.first:
        claim(folder, config, resume, RunConfig.continues)
        claim_data(folder, config.data, [prior for prior in (ambient_init, lap_init) if prior])
        write_settings(folder, config)  # which may have more laps now
    ranks.wait()
    check_masks(config)
    start, e_step = config.start, in_parts(e_step, config.e_step.batch)
    training, held_out = split(config.data, config.hold_out)
    data = MeasuredSlices(config.data, dataset_accels(config), start.mask, training)
    check_data(config, data)
    held, report = [], None
    if held_out:
        unseen = MeasuredSlices(config.data, start.accel, start.mask, held_out)
        held = held_out_lines(unseen, config.stages[0].seed)
        report = partial(judge, e_step=e_step, held=held, complete=complete_slices(unseen))
    elif config.laps and ranks.first:
        stderr.print(
            f"no subject is held out (`hold_out` {config.hold_out:g}): laps are not judged, the last makes the prior"
        )
    prior = None
    if config.ambient is not None:
        validate = validation(config.ambient, held)
        prior = _stage(config.data, config.ambient, folder, "masked", lambda: data, "", ambient_init, AMBIENT, validate)
        held_out_mean(prior, folder, AMBIENT, report)
    errors = iterate(
        prior,
        len(config.laps),
        partial(_reconstruct, config=config, folder=folder, data=data, e_step=e_step),
        partial(_train_lap, config=config, folder=folder, init=lap_init),
        lambda prior, lap: held_out_mean(prior, folder, lap_name(lap), report),
        config.tolerance,
    )
    if not errors:
        return load_prior(folder)
    if ranks.first:
        choose(folder, errors, config)
    ranks.wait()
    return load_prior(folder / lap_name(best_lap(errors)))


def lap_name(lap: int) -> str:
    return f"lap{lap}"


def _reconstruct(
    prior: Prior | None, lap: int, config: RunConfig, folder: Path, data: MeasuredSlices, e_step: EStep
) -> Path:
    """The E-step; returns the folder of its images. Not repeated once a lap is trained, so that they may be deleted then."""
    images = folder / lap_name(lap) / "images"
    if steps_done(images.parent) < config.laps[lap - 1].steps:
        reconstruct_training_scans(e_step, prior, data, images, lap, config.e_step)
    return images


def _train_lap(
    images: Path, prior: Prior | None, lap: int, config: RunConfig, folder: Path, init: Prior | None
) -> Prior:
    """The M-step, from the weights of ``init`` in the first lap, else of the last stage's prior if it has this architecture."""
    settings = config.laps[lap - 1]
    warm = init if lap == 1 and init else prior
    if warm is not None and warm.card.architecture != settings.architecture:
        warm = None
    how = "L1-wavelet (L1-EDM)" if prior is None else f"the {prior.card.kind} prior {prior.card.weights_sha256[:8]}"
    accels, name = ", ".join(f"{accel:g}" for accel in config.start.accel), lap_name(lap)
    origin = f" reconstructed from {config.start.mask} lines at R={accels} by {how}"
    return _stage(config.data, settings, folder / name, "image", partial(WholeImages, images), origin, warm, name)


def held_out_mean(prior: Prior, folder: Path, stage: str, report: Judge | None) -> float | None:
    """The K-mean's error on hidden lines, from ``folder``'s laps.csv, which is added to if need be; None if nothing is held
    out."""
    ranks = current_ranks()
    if report is None:
        return None
    rows = read_rows(folder)
    if ranks.first and stage not in [row.stage for row in rows]:
        write_rows(folder, [*rows, report(prior, stage)])
    ranks.wait()
    return next(row.held_out_mean for row in read_rows(folder) if row.stage == stage)


def choose(folder: Path, errors: Sequence[float | None], config: RunConfig) -> None:
    """Write which lap's prior is the run's, and say so if it is not simply the last of those asked for."""
    best, lap = best_lap(errors), len(errors)
    why = (
        "the last lap; nothing was held out"
        if errors[-1] is None
        else "least error on held-out subjects' measured lines"
    )
    about = {"prior": lap_name(best), "why": why, "held_out_mean": errors, "tolerance": config.tolerance}
    with atomic_write(folder / BEST) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n")
    if not improved(errors, config.tolerance):
        stderr.print(
            f"lap {lap} did not improve the held-out error by more than {config.tolerance:.1%}: the laps end, and lap {best} "
            "made the run's prior"
        )


def check_masks(config: RunConfig) -> None:
    """Volumes that `prep --accel` undersampled keep their masks, whose kind the losses have to know. Raises UserError if the
    run says another kind, or other accelerations, than all of them have."""
    for path in volumes_in(config.data):
        made = read_provenance(path)["settings"]
        if made["accel"] is None:
            continue
        if made["mask"] != config.start.mask or made["accel"] not in config.start.accel:
            raise UserError(
                f"{path}: was undersampled by `prep --accel {made['accel']:g} --mask {made['mask']}`; train with these two"
            )


def check_data(config: RunConfig, data: MeasuredSlices) -> None:
    """Raises UserError if the rule can't learn from these slices; says what they can't teach."""
    if config.ambient is None:
        return
    if config.ambient.loss == "supervised":
        check_complete(data)
        return
    check_measured_lines(data)
    if config.ambient.loss == "noise-aware":
        check_noise_levels(data)
    if current_ranks().first:
        for reason in identifiability(data):
            stderr.print(f"[yellow]note:[/] {reason}")


def validation(config: TrainConfig, held: Sequence[HeldOut]) -> Callable[[Denoiser], float] | None:
    """The held-out error of the ambient stage; None where lines are hidden only afterwards (`supervised`)."""
    if config.loss == "supervised" or not held:
        return None
    return partial(held_out_error, batches=held)


def dataset_accels(config: RunConfig) -> tuple[float, ...]:
    """A supervised run reads everything and hides lines afterwards; the others never read what M lacks."""
    return (1.0,) if config.ambient and config.ambient.loss == "supervised" else config.start.accel


def claim(folder: Path, config: M, resume: bool, continues: Callable[[M, M], bool] = operator.eq) -> None:
    """Make the run's folder and its run.json, or check that ``config`` continues the run there."""
    path = folder / RUN
    if path.exists():
        if not resume:
            raise UserError(f"{folder}: holds a run already; continue it with --resume, or choose another --out")
        try:
            same = continues(config, type(config).model_validate_json(path.read_text()))
        except ValidationError:
            same = False
        if not same:
            raise UserError(f"{path}: describes a run with other settings; resume with those, or choose another --out")
    else:
        write_settings(folder, config)


def write_settings(folder: Path, config: BaseModel) -> None:
    writable_folder(folder)
    with atomic_write(folder / RUN) as temporary:
        temporary.write_text(config.model_dump_json(indent=2) + "\n")


def _stage(
    source: Path,
    config: TrainConfig,
    folder: Path,
    kind: Literal["masked", "image"],
    read: Callable[[], Slices],
    origin: str,
    init: Prior | None,
    description: str,
    validate: Callable[[Denoiser], float] | None = None,
) -> Prior:
    """Train one prior, unless that is done; ``read`` gives what it learns from, ``origin`` tells the card whence."""
    if steps_done(folder) >= config.steps:
        stderr.print(f"{description}: finished already")
        return load_prior(folder)
    remedy = (
        f"raise `accumulate` (now {config.accumulate}), or lower `batch` ({config.batch}), `strip` ({config.strip}) or "
        f"`widths` ({', '.join(map(str, config.architecture.widths))}) of that stage, with --config"
    )
    with out_of_memory_is_a_user_error(f"{description}, training", remedy):
        data = read()
        example = data.batch(1, torch.Generator().manual_seed(0))
        matrix = (example.kspace.shape[-2], example.kspace.shape[-1])
        pixel, described = describe(source)
        if init is not None:
            described += f"; from the weights of prior {init.card.weights_sha256[:8]}"

        def save(denoiser: Denoiser, seen: int) -> None:
            card = Card(
                kind=kind,
                architecture=config.architecture,
                matrix=matrix,
                pixel_mm=pixel,
                images_seen=seen,
                training=Training.model_validate(config.model_dump(mode="json")),
                data=f"{len(data)} slices{origin}; {described}",
            )
            save_prior(folder, denoiser, card)

        task = KspaceTask(data, config)
        train(task, config, folder, save, init.denoiser if init else None, description, validate)
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
