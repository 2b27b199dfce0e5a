"""Learning from k-space behind line masks: the task that `mri-ambient train` gives to the loop."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.physics.masks import line_mask, measured_probability, remove_lines
from mri_ambient.priors.denoisers import Denoiser, build_denoiser
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import Slices, random_phase, strip
from mri_ambient.training.losses.loss import Shown, denoise
from mri_ambient.training.losses.registry import LOSSES


@dataclass(frozen=True)
class DrawnSlices:
    """What one step trains on. noise: for the loss that is used, in image space or in k-space."""

    measurement: Measurement
    shown: Shown
    sigma: Float[Tensor, " slice"]
    noise: Complex[Tensor, "slice ..."]

    @property
    def names(self) -> tuple[str, ...]:
        return self.measurement.names

    def __len__(self) -> int:
        return len(self.sigma)

    def part(self, rank: int, count: int) -> "DrawnSlices":
        """Every ``count``-th slice, from ``rank`` on."""
        these = slice(rank, None, count)
        return DrawnSlices(self.measurement[these], self.shown[these], self.sigma[these], self.noise[these])

    def to(self, device: torch.device) -> "DrawnSlices":
        """The same on another device."""
        measurement, shown = self.measurement.to(device), self.shown.to(device)
        return DrawnSlices(measurement, shown, self.sigma.to(device), self.noise.to(device))


@dataclass(frozen=True)
class KspaceTask:
    """Slices behind their masks M, and a rule of `training.losses`."""

    data: Slices
    config: TrainConfig

    def build(self) -> Denoiser:
        return build_denoiser(self.config.architecture)

    def draw(self, step: int) -> DrawnSlices:
        """What step number ``step`` trains on: strips of slices whose readouts are whole, else slices."""
        config = self.config
        generator = Generator().manual_seed(config.seed * 1_000_003 + step)
        drawn = random_phase(self.data.batch(config.batch, generator), generator)
        whole_readouts = drawn.sense.mask.shape[-2] == 1
        if whole_readouts and config.strip and step < config.strip_share * config.steps:
            drawn = strip(drawn, -2, min(config.strip, drawn.matrix[0]), generator)
            nothing_hidden = config.accel == (1.0,) and bool(drawn.sense.mask.all())
            if nothing_hidden:  # the columns may be cut as well, to a square patch
                drawn = strip(drawn, -1, min(config.strip, drawn.matrix[1]), generator)
        shown = draw_shown(drawn, config, generator)
        mean, spread = config.log_sigma
        sigma = torch.exp(mean + spread * torch.randn(len(drawn), generator=generator))
        in_kspace = LOSSES[config.loss].noise_domain == "kspace"
        shape = tuple(drawn.kspace.shape if in_kspace else drawn.sense.maps[:, 0].shape)
        noise = math.sqrt(2) * torch.randn(shape, dtype=torch.complex64, generator=generator)
        return DrawnSlices(drawn, shown, sigma, noise)

    def losses(self, denoiser: Denoiser, drawn: DrawnSlices) -> Float[Tensor, " slice"]:
        """Of each slice."""
        rule = LOSSES[self.config.loss].rule
        return rule(denoiser, drawn.measurement, drawn.shown, drawn.sigma, drawn.noise)

    @torch.no_grad()
    def picture(self, denoiser: Denoiser, drawn: DrawnSlices, count: int = 4) -> Float[Tensor, "1 y x"]:
        """Of a few slices of a batch, the adjoint of what was shown above what came out."""
        measurement, shown = drawn.measurement, drawn.shown
        before = measurement.with_mask(shown.mask).adjoint[:count].abs()
        after = denoise(denoiser, measurement, shown, drawn.sigma, drawn.noise)[:count].abs()
        return torch.cat([torch.cat(list(row), -1) for row in (before, after)], -2)[None].clamp(0, 1).cpu()


def draw_shown(drawn: Measurement, config: TrainConfig, generator: Generator) -> Shown:
    """M~: some outer lines of M removed afresh each time; of a loss that needs complete scans, a fresh mask at one of the
    accelerations. Of the rows that readouts fill, all stay."""
    masks, probabilities = [], []
    measured = drawn.sense.mask.any(-2)
    every = torch.ones_like(measured) if drawn.acquired is None else drawn.acquired
    for mask, acquired, acs in zip(measured, every, drawn.acs, strict=True):
        if LOSSES[config.loss].needs_complete:
            accel = config.accel[int(torch.randint(len(config.accel), (1,), generator=generator))]
            further = mask if accel == 1 else line_mask(config.mask, accel, acs, acquired, generator)
            q = torch.ones(len(mask))
        else:
            low, high = config.removal
            share = low + (high - low) * torch.rand(1, generator=generator).item()
            lines = int(mask.sum())
            further = remove_lines(mask, acs, max(1, round(share * (lines - acs))), generator)
            q = measured_probability(config.mask, further, acs, lines, acquired)
        masks.append(further)
        probabilities.append(q)
    return Shown(drawn.sense.mask & torch.stack(masks).unsqueeze(1), torch.stack(probabilities).unsqueeze(1))
