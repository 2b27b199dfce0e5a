"""What each stage of a run achieves on held-out subjects: runs/NAME/laps.csv, and the same as a table."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Complex
from rich.table import Table
from torch import Generator, Tensor

from mri_ambient.console import track
from mri_ambient.files import atomic_write
from mri_ambient.held_out import held_out_error, noise_energy, parted
from mri_ambient.measurement import Measurement
from mri_ambient.physics.seeds import seed_of
from mri_ambient.priors.card import Prior
from mri_ambient.training.data import MeasuredSlices, stack
from mri_ambient.training.laps import EStep
from mri_ambient.training.validation import BATCH, HeldOut

LAPS = "laps.csv"
DRAWS = 4
COMPLETE_SLICES = 16
MEASURES = ("held_out", "image_")


@dataclass(frozen=True)
class Row:
    """One stage, on the same slices, hidden lines and random numbers as every other; K = DRAWS samples of an `image` prior.

    held_out_one, held_out_mean: relative error of one sample and of the K-mean on measured lines that are hidden, whose noise
    alone gives held_out_noise. held_out_spread: the error of the K-mean that spread and noise predict,
    sqrt((1 + 1/K) variance + noise^2), over the actual one; 1 is calibrated.
    image_one, image_mean: magnitude NRMSE against the coil-combined complete k-space, where volumes are complete. image_spread:
    root mean square std over that of the complex error of the K-mean. The spreads are None for a prior with a single answer.
    """

    stage: str
    kind: str
    images_seen: int
    held_out_one: float
    held_out_mean: float
    held_out_noise: float
    held_out_spread: float | None
    image_one: float | None = None
    image_mean: float | None = None
    image_spread: float | None = None


@dataclass(frozen=True)
class Complete:
    """Slices behind their masks, and the coil-combined images of all of their k-space."""

    measurement: Measurement
    truth: Complex[Tensor, "slice v x"]


def complete_slices(data: MeasuredSlices) -> list[Complete]:
    """About COMPLETE_SLICES evenly spaced slices of the volumes that are complete: for figures only, nothing is trained on
    them and no choice depends on them."""
    step = max(1, len(data) // COMPLETE_SLICES)
    found = []
    for places in data.groups.values():
        pairs = []
        for path, index in islice(places, step // 2, None, step):
            whole = data.complete(path, index)
            if whole is not None:
                pairs.append((whole.with_mask(data.mask_of(path, index)[None]), whole.adjoint))
        for first in range(0, len(pairs), BATCH):
            batches, truths = zip(*pairs[first : first + BATCH], strict=True)
            found.append(Complete(stack(batches), torch.cat(truths)))
    return found


def judge(prior: Prior, stage: str, e_step: EStep, held: Sequence[HeldOut], complete: Sequence[Complete]) -> Row:
    """Draw reconstructions with the E-step, of ``held`` and of ``complete`` slices, and compare."""
    card = prior.card
    found = predict_hidden_lines(prior, f"{stage}: predicting hidden lines of held-out subjects", e_step, held)
    if complete:
        found |= compare_images(prior, f"{stage}: reconstructing held-out subjects", e_step, complete)
    return Row(stage, card.kind, card.images_seen, **found)  # pyright: ignore[reportArgumentType]


@torch.no_grad()
def predict_hidden_lines(
    prior: Prior, description: str, e_step: EStep, held: Sequence[HeldOut]
) -> dict[str, float | None]:
    energy = one = mean = predicted = noise = 0.0
    count = 1
    for number, (measurement, shown) in enumerate(track(held, description, len(held))):
        seen, hidden = parted(measurement, shown)
        samples = draw(prior, e_step, seen, number)
        count = len(samples)
        here = float(noise_energy(hidden).sum())
        of_each, lines = held_out_error(hidden, samples)
        of_mean, _ = held_out_error(hidden, samples.mean(0))
        every, middle = float(of_each.sum()), float(of_mean.sum())
        noise += here
        energy += float(lines.sum())
        one += every / count
        mean += middle
        spread = (every - count * middle) / max(count - 1, 1)  # the samples' variance, summed over the hidden lines
        predicted += (1 + 1 / count) * spread + here
    return {
        "held_out_one": root_ratio(one, energy),
        "held_out_mean": root_ratio(mean, energy),
        "held_out_noise": root_ratio(noise, energy),
        "held_out_spread": root_ratio(predicted, mean) if count > 1 else None,
    }


@torch.no_grad()
def compare_images(
    prior: Prior, description: str, e_step: EStep, complete: Sequence[Complete]
) -> dict[str, float | None]:
    energy = one = mean = spread = error = 0.0
    count = 1
    for number, item in enumerate(track(complete, description, len(complete))):
        samples, truth = draw(prior, e_step, item.measurement, number), item.truth
        count = len(samples)
        energy += square(truth)
        one += square(samples.abs() - truth.abs()) / count
        mean += square(samples.mean(0).abs() - truth.abs())
        spread += variance(samples)
        error += square(samples.mean(0) - truth)
    return {
        "image_one": root_ratio(one, energy),
        "image_mean": root_ratio(mean, energy),
        "image_spread": root_ratio(spread, error) if count > 1 else None,
    }


def draw(prior: Prior, e_step: EStep, measurement: Measurement, number: int) -> Complex[Tensor, "k slice v x"]:
    """Reconstructions of batch number ``number``."""
    generators = [
        [Generator().manual_seed(seed_of("held out", number, i, f"draw {k}")) for i in range(len(measurement))]
        for k in range(DRAWS)
    ]
    return e_step(prior, measurement, generators)


def root_ratio(part: float, whole: float) -> float:
    return (part / max(whole, 1e-30)) ** 0.5


def square(values: Tensor) -> float:
    return float(values.abs().square().sum())


def variance(samples: Tensor) -> float:
    """Summed over everything but the first axis, the samples'."""
    return square(samples - samples.mean(0)) / max(len(samples) - 1, 1)


def read_rows(folder: Path) -> list[Row]:
    """Of a run, as far as it has come."""
    path = folder / LAPS
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [_row(texts) for texts in csv.DictReader(file)]


def _row(texts: dict[str, str]) -> Row:
    numbers = {name: float(text) if text else None for name, text in texts.items() if name.startswith(MEASURES)}
    return Row(texts["stage"], texts["kind"], int(texts["images_seen"]), **numbers)  # pyright: ignore[reportArgumentType]


def write_rows(folder: Path, rows: Sequence[Row]) -> None:
    with atomic_write(folder / LAPS) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def remark(rows: Sequence[Row]) -> str | None:
    """What the ambient prior's one answer says against the laps, if it does."""
    ambient = [row.held_out_mean for row in rows if row.kind == "masked"]
    laps = [row.held_out_mean for row in rows if row.kind == "image"]
    if not ambient or not laps or min(laps) <= min(ambient):
        return None
    return (
        f"no lap predicts hidden lines as well as the ambient prior's one answer ({min(laps):.4f} against {min(ambient):.4f}): "
        "for the least error take `recon --method aos`, for samples that spread the lap, and train laps longer"
    )


def table(rows: Sequence[Row], best: str) -> Table:
    """``best``: the stage whose prior is the run's."""
    caption = (
        f"On held-out subjects, by K = {DRAWS} samples, of the ambient prior by its one answer. Lines: relative error "
        "on measured lines that were hidden, their noise included; spread: the error that spread and noise predict over the "
        "actual one. Image: magnitude NRMSE where the truth is known; spread: std over error. *: the run's prior."
    )
    show = Table(title="laps", caption=caption, caption_justify="left")
    show.add_column("stage")
    for name in ("lines, one", "K-mean", "noise", "spread", "image, one", "K-mean", "spread"):
        show.add_column(name, justify="right")
    for row in rows:
        values = [v for name, v in asdict(row).items() if name.startswith(MEASURES)]
        cells = ["" if v is None else f"{v:.4f}" for v in values]
        show.add_row(row.stage + " *" * (row.stage == best), *cells)
    return show
