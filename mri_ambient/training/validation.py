"""How well a denoiser predicts measured lines that it is not shown, on scans that it was not trained on: no truth needed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.physics.masks import remove_lines
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.data import Batch, MeasuredSlices

SLICES, BATCH = 32, 8
HIDDEN = 0.3  # of the measured outer lines


@dataclass(frozen=True)
class HeldOut:
    """A batch, and the lines of it that the denoiser is shown."""

    batch: Batch
    shown: Bool[Tensor, "batch 1 x"]


def held_out_lines(data: MeasuredSlices, seed: int) -> list[HeldOut]:
    """The same slices and the same hidden lines whenever they are asked for."""
    generator = Generator().manual_seed(seed)
    batches = [data.batch(BATCH, generator) for _ in range(min(SLICES, len(data)) // BATCH or 1)]
    return [HeldOut(batch, _hide(batch, generator)) for batch in batches]


@torch.no_grad()
def held_out_error(denoiser: Denoiser, batches: Sequence[HeldOut]) -> float:
    """||M' (F S D(M~ y) - y)|| / ||M' y|| over all ``batches``, M' = M - M~ the lines that were measured and hidden.

    The noise of the hidden lines is part of it: the least that can be had is not 0.
    """
    wrong = energy = 0.0
    device = next(denoiser.parameters()).device
    for held in batches:
        batch, shown = held.batch.to(device), held.shown.to(device)
        sense = batch.sense(shown)
        image = denoiser.from_measurements(Measurement(sense.apply_mask(batch.kspace), sense, batch.noise_std))
        hidden = batch.sense(batch.mask & ~shown)
        wrong += float((hidden(image) - hidden.apply_mask(batch.kspace)).abs().square().sum())
        energy += float(hidden.apply_mask(batch.kspace).abs().square().sum())
    return (wrong / max(energy, 1e-30)) ** 0.5


def _hide(batch: Batch, generator: Generator) -> Bool[Tensor, "batch 1 x"]:
    masks = []
    for mask, acs in zip(batch.mask[:, 0], batch.acs, strict=True):
        outer = int(mask.sum()) - acs
        masks.append(remove_lines(mask, acs, max(1, round(HIDDEN * outer)), generator))
    return torch.stack(masks).unsqueeze(1)
