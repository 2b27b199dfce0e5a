"""How well a denoiser predicts measured lines that it is not shown, on scans that it was not trained on: no truth needed."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from mri_ambient.held_out import held_out_error, parted, shown_part
from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.data import MeasuredSlices

SLICES, BATCH = 32, 8


HeldOut = tuple[Measurement, Bool[Tensor, "slice #y x"]]
"""Slices, and the mask M~ of what the denoiser is shown of them."""


def held_out_lines(data: MeasuredSlices, seed: int) -> list[HeldOut]:
    """The same slices and the same hidden lines whenever they are asked for."""
    generator = Generator().manual_seed(seed)
    batches = [data.batch(BATCH, generator) for _ in range(min(SLICES, len(data)) // BATCH or 1)]
    return [(batch, _shown(batch, generator)) for batch in batches]


@torch.no_grad()
def validation_error(denoiser: Denoiser, held: Sequence[HeldOut]) -> float:
    """||M' (F S D(M~ y) - y)|| / ||M' y|| over all that is held out.

    The noise of the hidden lines is part of it: the least that can be had is not 0.
    """
    wrong = energy = 0.0
    device = next(denoiser.parameters()).device
    for measurement, shown in held:
        seen, hidden = parted(measurement.to(device), shown.to(device))
        error, lines = held_out_error(hidden, denoiser.from_measurements(seen))
        wrong += float(error.sum())
        energy += float(lines.sum())
    return (wrong / max(energy, 1e-30)) ** 0.5


def _shown(batch: Measurement, generator: Generator) -> Bool[Tensor, "slice #y x"]:
    masks = [shown_part(mask, (1, acs), generator) for mask, acs in zip(batch.sense.mask, batch.acs, strict=True)]
    return torch.stack(masks)
