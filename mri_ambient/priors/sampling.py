"""Unconditional samples of a prior: what it takes for a typical image."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.physics.masks import line_mask
from mri_ambient.physics.sense import Sense, whole_image
from mri_ambient.priors.card import Prior
from mri_ambient.store import read_layout, read_volume

Images = Complex[Tensor, "n y x"]
Denoise = Callable[[Images, float], Images]
Callback = Callable[[int, Images], None]


@torch.no_grad()
def heun(denoise: Denoise, noise: Images, sigmas: Float[Tensor, " levels"], callback: Callback | None = None) -> Images:
    """The deterministic sampler of EDM (Karras et al., 2022, algorithm 1): Heun's rule for dx/dsigma = (x - D(x)) / sigma.

    noise: the start, of unit variance in each part. sigmas: falling, the last is 0. callback: called with (step, images).
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


def whole_denoiser(prior: Prior) -> Denoise:
    """Of an `image` prior."""

    def denoise(images: Images, sigma: float) -> Images:
        sense = whole_image(images)
        return prior.denoiser(sense(images), sense.maps, sense.mask[None, None], torch.full((len(images),), sigma))

    return denoise


def masked_denoiser(
    prior: Prior, coils: Sense, accel: float, acs: int, kind: str, redrawn: bool, generator: Generator
) -> Denoise:
    """Of a `masked` prior, which is shown A~ x behind the maps of ``coils`` [n, coil, y, x].

    Its masks M~ are those of R + 1, as published (Aali et al., 2024): drawn once for the whole trajectory, or
    ``redrawn`` at every call, so that in time each line is seen.
    """
    count, _, _, columns = coils.maps.shape
    everything = torch.ones(columns, dtype=torch.bool)

    def draw() -> Tensor:
        masks = [line_mask(kind, accel + 1, acs, everything, generator) for _ in range(count)]
        return torch.stack(masks).unsqueeze(1)

    fixed = draw()

    def denoise(images: Images, sigma: float) -> Images:
        sense = coils.seeing(draw() if redrawn else fixed)
        return prior.denoiser(sense(images), sense.maps, sense.mask, torch.full((len(images),), sigma))

    return denoise


def coils_of(folder: Path, count: int, matrix: tuple[int, int]) -> tuple[Sense, int]:
    """The maps of the first ``count`` slices of ``matrix`` among prepared volumes, over again if there are fewer, and the
    width of their ACS. Raises UserError if there are none."""
    maps: list[Tensor] = []
    acs = 0
    for path in sorted(folder.glob("*.h5")):
        shape, _ = read_layout(path)
        if shape[2:] == matrix and len(maps) < count:
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
