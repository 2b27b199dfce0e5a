"""Unconditional samples of a prior: what it takes for a typical image."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor, nn

from mri_ambient.console import progress_bar
from mri_ambient.errors import UserError
from mri_ambient.physics.masks import line_mask
from mri_ambient.physics.seeds import seed_of
from mri_ambient.physics.sense import Sense, whole_image
from mri_ambient.priors.card import Prior
from mri_ambient.priors.schedule import edm_schedule
from mri_ambient.store import read_sampling, read_volume

Images = Complex[Tensor, "n y x"] | Float[Tensor, "n channel y x"]
Denoise = Callable[[Images, float], Images]
Callback = Callable[[int, Images], None]
SIGMA_MAX, SIGMA_MIN, RHO = 10.0, 0.01, 7.0  # the range of noise that is seen in training


@torch.no_grad()
def heun(denoise: Denoise, noise: Images, sigmas: Float[Tensor, " levels"], callback: Callback | None = None) -> Images:
    """The deterministic sampler of EDM (Karras et al., 2022, algorithm 1): Heun's rule for dx/dsigma = (x - D(x)) / sigma.

    noise: the start, of unit variance in each part. sigmas: falling, the last is 0; what is returned is D at the last but
    one. callback: called with (step, images).
    """
    images = sigmas[0] * noise
    levels = sigmas.tolist()
    for step, (here, there) in enumerate(pairwise(levels)):
        slope = (images - denoise(images, here)) / here
        moved = images + (there - here) * slope
        if there > 0:
            slope = (slope + (moved - denoise(moved, there)) / there) / 2
            moved = images + (there - here) * slope
        images = moved
        if callback:
            callback(step, images)
    return images


def sample_prior(prior: Prior, count: int, steps: int, redrawn: bool, data: Path, seed: int, batch: int = 16) -> Images:
    """Images of the size that the prior was trained on, drawn on its device and returned on the CPU.

    Args:
        prior: of either kind.
        count: how many; the first are the same whatever their number.
        steps: noise levels of Heun's method.
        redrawn: whether a `masked` prior sees another mask at every call, not one throughout.
        data: folder of prepared volumes, whose coils a `masked` prior sees the images through; an `image` prior needs none.
        seed: the same images for the same seed, whatever the batch, and to rounding whatever the device.
        batch: how many at once.

    Raises:
        UserError: a `masked` prior finds no coils in ``data``, or masks of its R have fewer lines than their ACS.
    """
    matrix, device = prior.card.matrix, device_of_module(prior.denoiser)
    sigmas = edm_schedule(steps, SIGMA_MAX, SIGMA_MIN, RHO)
    generators = [Generator().manual_seed(seed_of("sample", index, seed, "noise")) for index in range(count)]
    noise = [math.sqrt(2) * torch.randn(matrix, dtype=torch.complex64, generator=g) for g in generators]
    coils = coils_of(data, count, matrix) if prior.card.kind == "masked" else None
    images = []
    with progress_bar() as bar:
        task = bar.add_task("sampling", total=steps * -(-count // batch))
        for first in range(0, count, batch):
            these = slice(first, first + batch)
            if coils is None:
                denoise = whole_denoiser(prior)
            else:
                sense, acs = coils
                denoise = masked_denoiser(prior, sense[these].to(device), acs, redrawn, generators[these])
            start = torch.stack(noise[these]).to(device)
            images.append(heun(denoise, start, sigmas, lambda *_: bar.advance(task)).cpu())
    return torch.cat(images)


def device_of_module(module: nn.Module) -> torch.device:
    """Where its weights are; without any, the CPU."""
    return next((weights.device for weights in module.parameters()), torch.device("cpu"))


def whole_denoiser(prior: Prior) -> Denoise:
    """Of an `image` prior."""

    def denoise(images: Images, sigma: float) -> Images:
        sense = whole_image(images)
        return prior.denoiser(sense(images), sense, torch.full((len(images),), sigma).to(images.device))

    return denoise


def masked_denoiser(prior: Prior, coils: Sense, acs: int, redrawn: bool, generators: Sequence[Generator]) -> Denoise:
    """Of a `masked` prior, which is shown A~ x behind the maps of ``coils`` [n, coil, y, x].

    Its masks M~ are those of R + 1, as published (Aali et al., 2024): drawn once for the whole trajectory, or
    ``redrawn`` at every call, so that in time each line is seen.
    """
    training, everything = prior.card.training, torch.ones(coils.maps.shape[-1], dtype=torch.bool)
    kind, accel = training.mask, max(training.accel) + 1

    def draw() -> Tensor:
        try:
            masks = [line_mask(kind, accel, acs, everything, generator) for generator in generators]
        except ValueError as error:
            raise UserError(f"{prior.path}: {error}; pass the --data of scans with fewer ACS lines") from error
        return torch.stack(masks).unsqueeze(1).to(coils.maps.device)

    fixed = draw()

    def denoise(images: Images, sigma: float) -> Images:
        sense = coils.with_mask(draw() if redrawn else fixed)
        return prior.denoiser(sense(images), sense, torch.full((len(images),), sigma).to(images.device))

    return denoise


def coils_of(folder: Path, count: int, matrix: tuple[int, int]) -> tuple[Sense, int]:
    """The maps of the first ``count`` slices of ``matrix`` among prepared volumes, over again if there are fewer, and the
    width of their ACS. Raises UserError if there are none."""
    maps: list[Tensor] = []
    acs = 0
    for path in sorted(folder.glob("*.h5")):
        if read_sampling(path).shape[2:] == matrix and len(maps) < count:
            volume = read_volume(path, slice(0, count - len(maps)))
            if maps and volume.sens_maps.shape[1] != len(maps[0]):
                continue
            maps += list(volume.sens_maps)
            acs = acs or volume.acs[1]
    if not maps:
        rows, columns = matrix
        raise UserError(
            f"{folder}: holds no prepared volume of {rows}x{columns}, whose coils the prior needs; pass --data"
        )
    chosen = torch.stack([maps[i % len(maps)] for i in range(count)])
    return Sense(chosen, torch.ones(count, 1, matrix[1], dtype=torch.bool)), acs
