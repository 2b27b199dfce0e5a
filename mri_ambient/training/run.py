"""A whole run: an ambient (`masked`) prior from the measured lines, then laps of `image` priors on reconstructions.

runs/NAME/            run.json, data.json (the volumes it began with), earlier.json (the scans of runs whose weights it started
                      from), laps.csv, best.json; of the ambient stage prior.json, prior.safetensors, checkpoint, tensorboard
runs/NAME/lap1/       the same for the first lap, and images/: the training scans as its E-step reconstructed them
"""

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from mri_ambient.console import stderr
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write, writable_folder
from mri_ambient.memory import out_of_memory_is_a_user_error
from mri_ambient.priors.card import Card, Prior, Training, load_prior, save_prior
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.priors.runs import BEST, RUN, steps_done
from mri_ambient.training.checks import (
    check_complete,
    check_measured_lines,
    check_noise_levels,
    identifiability,
    spread,
)
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, Slices, Volumes, WholeImages, read_volumes, split
from mri_ambient.training.kspace_task import KspaceTask
from mri_ambient.training.laps import EStep, best_lap, improved, in_parts, iterate, reconstruct_training_scans
from mri_ambient.training.loop import train
from mri_ambient.training.losses.registry import LOSSES
from mri_ambient.training.ranks import Ranks, current_ranks
from mri_ambient.training.report import Row, complete_slices, judge, read_rows, write_rows
from mri_ambient.training.run_config import RunConfig
from mri_ambient.training.run_data import claim_data
from mri_ambient.training.validation import HeldOut, held_out_lines, validation_error
from mri_ambient.training.warm_start import warm_starts

AMBIENT = "ambient"
M = TypeVar("M", bound=BaseModel)


def run(
    config: RunConfig,
    folder: Path,
    resume: bool,
    e_step: EStep,
    device: str = "auto",
    volumes: Volumes | None = None,
) -> Prior:
    """Train every stage; a stage that is finished is not repeated. Returns the best lap's prior, without laps the ambient one.

    Held-out subjects' measured lines choose among the checkpoints of the ambient stage and among the laps, which end when
    they no longer improve. A run may be resumed with more laps than it had.

    Args:
        config: all settings.
        folder: of the run.
        resume: continue the run there.
        e_step: how the laps' scans are reconstructed.
        device: that trains and reconstructs, as of :func:`mri_ambient.devices.device_of`.
        volumes: what is small of the volumes of ``config.data``; None reads it.

    Raises:
        UserError: ``folder`` holds a run and ``resume`` is False, or holds another run than ``config``, or one of other
            volumes; or no stage can start from ``config.init``; or the device is not here.
    """
    ranks, volumes = current_ranks(device), volumes or read_volumes(config.data)
    ambient_init, lap_init = warm_starts(config)
    check_masks(config, volumes)
    training, held_out = split(volumes, config.hold_out)
    data = MeasuredSlices(training, dataset_accels(config), config.start.mask)
    check_data(config, data, ranks)
    if ranks.first:  # nothing is written before all is checked
        claim(folder, config, resume, RunConfig.continues)
        claim_data(folder, config.data, volumes, [prior for prior in (ambient_init, lap_init) if prior])
        write_settings(folder, config)  # which may have more laps now
    ranks.wait()
    here = Run(config, folder, ranks, in_parts(e_step, config.e_step.batch, ranks.device), data, described(volumes))
    held: list[HeldOut] = []
    report = None
    if held_out:
        unseen = MeasuredSlices(held_out, config.start.accel, config.start.mask)
        held = held_out_lines(unseen, config.stages[0].seed)
        report = partial(judge, e_step=here.e_step, held=held, complete=complete_slices(unseen))
    elif config.laps and ranks.first:
        stderr.print(
            f"no subject is held out (`hold_out` {config.hold_out:g}): laps are not judged, the last makes the prior"
        )
    prior = None
    if config.ambient is not None:
        prior = here.ambient_stage(config.ambient, ambient_init, validation(config.ambient, held))
        here.held_out_mean(prior, AMBIENT, report)
    errors = iterate(
        prior,
        len(config.laps),
        here.reconstruct,
        partial(here.lap_stage, init=lap_init),
        lambda prior, lap: here.held_out_mean(prior, lap_name(lap), report),
        config.tolerance,
    )
    if not errors:
        return load_prior(folder)
    if ranks.first:
        choose(folder, errors, config)
    ranks.wait()
    return load_prior(folder / lap_name(best_lap(errors)))


def lap_name(lap: int) -> str:
    """Of a lap's folder."""
    return f"lap{lap}"


@dataclass(frozen=True)
class Stage:
    """One training of a run.

    Attributes:
        config: its settings.
        folder: of its prior.
        kind: of its prior.
        name: for messages.
        init: the prior whose weights it starts from.
        origin: for the card, whence its images are.
        validate: an error by which its checkpoints are chosen.
    """

    config: TrainConfig
    folder: Path
    kind: Literal["masked", "image"]
    name: str
    init: Prior | None
    origin: str = ""
    validate: Callable[[Denoiser], float] | None = None


@dataclass(frozen=True)
class Described:
    """Of the volumes: the pixel, (y, x) in mm, if it is the same in all, and one line for the card."""

    pixel_mm: tuple[float, float] | None
    text: str


@dataclass(frozen=True)
class Run:
    """A run under way: its settings and folder, this process, how it reconstructs, and what it learns from."""

    config: RunConfig
    folder: Path
    ranks: Ranks
    e_step: EStep
    data: MeasuredSlices
    described: Described

    def ambient_stage(
        self, config: TrainConfig, init: Prior | None, validate: Callable[[Denoiser], float] | None
    ) -> Prior:
        """The `masked` prior of the measured lines."""
        stage = Stage(config, self.folder, "masked", AMBIENT, init, validate=validate)
        return self.trained(stage, lambda: self.data)

    def reconstruct(self, prior: Prior | None, lap: int) -> Path:
        """The E-step; returns the folder of its images. Not repeated once a lap is trained: they may be deleted then."""
        images = self.folder / lap_name(lap) / "images"
        if steps_done(images.parent) < self.config.laps[lap - 1].steps:
            reconstruct_training_scans(self.e_step, prior, self.data, images, lap, self.config.e_step, self.ranks)
        return images

    def lap_stage(self, images: Path, prior: Prior | None, lap: int, init: Prior | None) -> Prior:
        """The M-step, from the weights of ``init`` in the first lap, else of the last stage's prior if it has this
        architecture."""
        settings, start = self.config.laps[lap - 1], self.config.start
        warm = init if lap == 1 and init else prior
        if warm is not None and warm.card.architecture != settings.architecture:
            warm = None
        how = "L1-wavelet (L1-EDM)" if prior is None else f"the {prior.card.kind} prior {prior.card.weights_sha256[:8]}"
        accels, name = ", ".join(f"{accel:g}" for accel in start.accel), lap_name(lap)
        origin = f" reconstructed from {start.mask} lines at R={accels} by {how}"
        stage = Stage(settings, self.folder / name, "image", name, warm, origin)
        return self.trained(stage, partial(WholeImages, images))

    def trained(self, stage: Stage, read: Callable[[], Slices]) -> Prior:
        """The prior of a stage, which is trained unless that is done; ``read`` gives what it learns from."""
        config = stage.config
        if steps_done(stage.folder) >= config.steps:
            stderr.print(f"{stage.name}: finished already")
            return load_prior(stage.folder)
        remedy = (
            f"raise `accumulate` (now {config.accumulate}), or lower `batch` ({config.batch}), `strip` ({config.strip}) or "
            f"`widths` ({', '.join(map(str, config.architecture.widths))}) of that stage, with --config"
        )
        with out_of_memory_is_a_user_error(f"{stage.name}, training", remedy):
            data, start = read(), stage.init
            warm = "" if start is None else f"; from the weights of prior {start.card.weights_sha256[:8]}"

            def save(denoiser: Denoiser, seen: int) -> None:
                card = Card(
                    kind=stage.kind,
                    architecture=config.architecture,
                    matrix=data.matrix,
                    pixel_mm=self.described.pixel_mm,
                    images_seen=seen,
                    training=Training.model_validate(config.model_dump(mode="json")),
                    data=f"{len(data)} slices{stage.origin}; {self.described.text}{warm}",
                )
                save_prior(stage.folder, denoiser, card)

            init = start.denoiser if start else None
            train(KspaceTask(data, config), config, stage.folder, save, init, stage.validate, self.ranks)
        return load_prior(stage.folder)

    def held_out_mean(self, prior: Prior, stage: str, report: Callable[[Prior, str], Row] | None) -> float | None:
        """The K-mean's error on hidden lines, from laps.csv, which is added to if need be; None if nothing is held out."""
        if report is None:
            return None
        rows = read_rows(self.folder)
        if self.ranks.first and stage not in [row.stage for row in rows]:
            write_rows(self.folder, [*rows, report(prior, stage)])
        self.ranks.wait()
        return next(row.held_out_mean for row in read_rows(self.folder) if row.stage == stage)


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


def check_masks(config: RunConfig, volumes: Volumes) -> None:
    """Volumes that `prep --accel` undersampled keep their masks, whose kind the losses have to know. Raises UserError if the
    run says another kind, or other accelerations, than all of them have, or one that leaves fewer lines than an ACS has."""
    for path, sampling in volumes.items():
        made = sampling.provenance["settings"]
        if made["accel"] is None:
            continue
        if made["mask"] != config.start.mask or made["accel"] not in config.start.accel:
            raise UserError(
                f"{path}: was undersampled by `prep --accel {made['accel']:g} --mask {made['mask']}`; train with these two"
            )
    drawn = MeasuredSlices(volumes, config.start.accel, config.start.mask)
    for place in spread(drawn):
        drawn.mask_of(*place)


def check_data(config: RunConfig, data: MeasuredSlices, ranks: Ranks) -> None:
    """Raises UserError if the loss can't learn from these slices; says what they can't teach."""
    if config.ambient is None:
        return
    name = config.ambient.loss
    if LOSSES[name].needs_complete:
        check_complete(data, name)
        return
    check_measured_lines(data)
    if LOSSES[name].needs_noise_level:
        check_noise_levels(data, name)
    if ranks.first:
        for reason in identifiability(data):
            stderr.print(f"[yellow]note:[/] {reason}")


def validation(config: TrainConfig, held: Sequence[HeldOut]) -> Callable[[Denoiser], float] | None:
    """The held-out error of the ambient stage; None where lines are hidden only afterwards."""
    if LOSSES[config.loss].needs_complete or not held:
        return None
    return partial(validation_error, held=held)


def dataset_accels(config: RunConfig) -> tuple[float, ...]:
    """A loss that needs complete scans reads everything and hides lines afterwards; the others never read what M lacks."""
    return (1.0,) if config.ambient and LOSSES[config.ambient.loss].needs_complete else config.start.accel


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


def described(volumes: Volumes) -> Described:
    """What a card says of them."""
    pixels, kinds = set(), set()
    for sampling in volumes.values():
        fov = sampling.provenance["field_of_view_mm"]
        pixels.add(tuple(round(f / n, 3) for f, n in zip(fov, sampling.shape[-2:], strict=True)) if fov else None)
        kinds.add("simulated" if sampling.provenance["simulated"] else "raw")
    pixel = pixels.pop() if len(pixels) == 1 else None
    return Described(pixel, f"{len(volumes)} {' and '.join(sorted(kinds))} scans")
