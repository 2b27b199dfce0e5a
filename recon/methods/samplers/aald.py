"""Annealed Langevin dynamics."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from mri_ambient.measurement import Images, Measurement
from mri_ambient.recon.methods.denoising import Denoise, Masks
from mri_ambient.recon.methods.method import Callback, Generators, sampling
from mri_ambient.recon.methods.samplers.annealing import (
    Annealing,
    complex_noise,
    noise_levels,
    require_finite,
    warm_start,
)


@dataclass(frozen=True)
class AaldSettings(Annealing):
    """repeats: Langevin steps at each level. step_size: of a step, as a share of sigma^2; stable below 1."""

    steps: int = 100
    sigma_max: float = 1.0
    sigma_min: float = 0.01
    rho: float = float("inf")
    masks: Masks = "once"
    repeats: int = 3
    step_size: float = 0.2


@torch.no_grad()
def aald(
    denoise: Denoise,
    measurement: Measurement,
    samples: int,
    settings: AaldSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Annealed Langevin dynamics (Jalal et al., 2108.01368), the score from the denoiser, no gradient through it.

    At each sigma, a few times: x <- x + a ((D(x) - x) / sigma^2 + A^H (y - A x) / (noise^2 + sigma^2)) + sqrt(2 a) e,
    a = step_size sigma^2. Starts from the CG-SENSE image plus noise of sigma_max.
    """
    sigmas = noise_levels(settings, measurement)
    images = warm_start(measurement, sigmas[0], samples, generators)
    for i, (sigma, _) in enumerate(pairwise(sigmas)):
        step = settings.step_size * sigma**2
        denoised = images
        for _ in range(settings.repeats):
            denoised = denoise(images, sigma)
            pull = (measurement.adjoint - measurement.operator.gram(images)) / (measurement.noise**2 + sigma**2)
            images = images + step * ((denoised - images) / sigma**2 + pull)
            images = images + (2 * step).sqrt() * complex_noise(samples, measurement, generators)
        require_finite("aald", images, sigma)
        if callback:
            callback(i, images, denoised)
    return images


AALD = sampling(
    aald,
    AaldSettings(),
    {},
    {"sigma_max": 2.0},
    {"sigma_max": 0.4},
    {"step_size": 0.1},
    {"step_size": 0.4},
    {"sigma_min": 0.03},
)
