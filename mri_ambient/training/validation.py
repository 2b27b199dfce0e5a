"""How well a denoiser predicts measured lines that it is not shown, on scans that it was not trained on: no truth needed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from mri_ambient import held_out
from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.data import MeasuredSlices

SLICES, BATCH = 32, 8


@dataclass(frozen=True)
class HeldOut:
    """Slices, and the lines of them that the denoiser is shown."""

    measurement: Measurement
    shown: Bool[Tensor, "slice #y x"]

    @property
    def hidden(self) -> Bool[Tensor, "slice #y x"]:
        """M' = M - M~, the lines that were measured and are not shown."""
        return self.measurement.sense.mask & ~self.shown


def held_out_lines(data: MeasuredSlices, seed: int) -> list[HeldOut]:
    """The same slices and the same hidden lines whenever they are asked for."""
    generator = Generator().manual_seed(seed)
    batches = [data.batch(BATCH, generator) for _ in range(min(SLICES, len(data)) // BATCH or 1)]
    return [HeldOut(batch, _shown(batch, generator)) for batch in batches]


@torch.no_grad()
def held_out_error(denoiser: Denoiser, held: Sequence[HeldOut]) -> float:
    """||M' (F S D(M~ y) - y)|| / ||M' y|| over all that is held out.

    The noise of the hidden lines is part of it: the least that can be had is not 0.
    """
    wrong = energy = 0.0
    device = next(denoiser.parameters()).device
    for item in held:
        measurement = item.measurement.to(device)
        images = denoiser.from_measurements(measurement.with_mask(item.shown.to(device)))
        error, lines = held_out.held_out_error(measurement, item.hidden.to(device), images)
        wrong += float(error.sum())
        energy += float(lines.sum())
    return (wrong / max(energy, 1e-30)) ** 0.5


def _shown(batch: Measurement, generator: Generator) -> Bool[Tensor, "slice #y x"]:
    masks = [
        held_out.shown_part(mask, (1, acs), generator) for mask, acs in zip(batch.sense.mask, batch.acs, strict=True)
    ]
    return torch.stack(masks)
