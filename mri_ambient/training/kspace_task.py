"""Learning from k-space behind line masks: the task that `mri-ambient train` gives to the loop."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor

from mri_ambient.physics.masks import line_mask, measured_probability, remove_lines
from mri_ambient.priors.denoisers import Denoiser, build_denoiser
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import Batch, Slices
from mri_ambient.training.losses import KSPACE_NOISE, LOSSES, Shown, denoise


@dataclass(frozen=True)
class DrawnSlices:
    """What one step trains on. noise: for the loss that is used, in image space or in k-space."""

    batch: Batch
    shown: Shown
    sigma: Float[Tensor, " batch"]
    noise: Complex[Tensor, "batch ..."]

    @property
    def names(self) -> tuple[str, ...]:
        return self.batch.names

    def __len__(self) -> int:
        return len(self.sigma)

    def part(self, rank: int, count: int) -> "DrawnSlices":
        """Every ``count``-th slice, from ``rank`` on."""
        these = slice(rank, None, count)
        shown = Shown(self.shown.mask[these], self.shown.q[these])
        return DrawnSlices(self.batch.part(rank, count), shown, self.sigma[these], self.noise[these])

    def to(self, device: torch.device) -> "DrawnSlices":
        shown = Shown(self.shown.mask.to(device), self.shown.q.to(device))
        return DrawnSlices(self.batch.to(device), shown, self.sigma.to(device), self.noise.to(device))


@dataclass(frozen=True)
class KspaceTask:
    """Slices behind their masks M, and a rule of `training.losses`."""

    data: Slices
    config: TrainConfig

    def build(self) -> Denoiser:
        return build_denoiser(self.config.architecture)

    def draw(self, step: int) -> DrawnSlices:
        """What step number ``step`` trains on."""
        config = self.config
        generator = Generator().manual_seed(config.seed * 1_000_003 + step)
        batch = self.data.batch(config.batch, generator).random_phase(generator)
        if config.strip and step < config.strip_share * config.steps:
            batch = batch.strip(-2, min(config.strip, batch.kspace.shape[-2]), generator)
            nothing_hidden = config.accel == (1.0,) and bool(batch.mask.all())
            if nothing_hidden:  # the columns may be cut as well, to a square patch
                batch = batch.strip(-1, min(config.strip, batch.kspace.shape[-1]), generator)
        shown = draw_shown(batch, config, generator)
        mean, spread = config.log_sigma
        sigma = torch.exp(mean + spread * torch.randn(len(batch.kspace), generator=generator))
        like = batch.kspace if config.loss in KSPACE_NOISE else batch.maps[:, 0]
        shape = tuple(like.shape)
        noise = math.sqrt(2) * torch.randn(shape, dtype=torch.complex64, generator=generator)
        return DrawnSlices(batch, shown, sigma, noise)

    def losses(self, denoiser: Denoiser, drawn: DrawnSlices) -> Float[Tensor, " batch"]:
        return LOSSES[self.config.loss](denoiser, drawn.batch, drawn.shown, drawn.sigma, drawn.noise)

    @torch.no_grad()
    def picture(self, denoiser: Denoiser, drawn: DrawnSlices, count: int = 4) -> Float[Tensor, "1 y x"]:
        """Of a few slices of a batch, the adjoint of what was shown above what came out."""
        batch, shown = drawn.batch, drawn.shown
        before = batch.sense(shown.mask).adjoint(batch.kspace)[:count].abs()
        after = denoise(denoiser, batch, shown, drawn.sigma, drawn.noise)[:count].abs()
        return torch.cat([torch.cat(list(row), -1) for row in (before, after)], -2)[None].clamp(0, 1).cpu()


def draw_shown(batch: Batch, config: TrainConfig, generator: Generator) -> Shown:
    """M~: some outer lines of M removed afresh each time; for `supervised`, a fresh mask at one of the accelerations."""
    masks, probabilities = [], []
    for mask, acquired, acs in zip(batch.mask[:, 0], batch.acquired, batch.acs, strict=True):
        if config.loss == "supervised":
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
    return Shown(torch.stack(masks).unsqueeze(1), torch.stack(probabilities).unsqueeze(1))
