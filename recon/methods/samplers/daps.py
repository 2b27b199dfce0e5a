"""Decoupled annealing: from each level draw a whole image, then add noise of the next level to it."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from mri_ambient.measurement import Images, Measurement, project
from mri_ambient.physics.solvers import regularised_solution
from mri_ambient.recon.methods.denoising import Denoise, Sigma
from mri_ambient.recon.methods.method import Callback, Generators, sampling
from mri_ambient.recon.methods.samplers.annealing import (
    Annealing,
    complex_noise,
    noise_levels,
    require_finite,
    warm_start,
)
from mri_ambient.recon.methods.samplers.dds import white_spread


@dataclass(frozen=True)
class DapsSettings(Annealing):
    """prior_spread: see :func:`mri_ambient.recon.methods.samplers.dds.white_spread`. inner_spread: the std of the inner
    draw, as a share of what is exact for a white prior; real images leave less open. iterations: of conjugate gradients."""

    steps: int = 20
    sigma_max: float = 1.0
    sigma_min: float = 0.04
    rho: float = 5.0
    prior_spread: float = 0.5
    inner_spread: float = 1.0
    iterations: int = 6


@torch.no_grad()
def daps(
    denoise: Denoise,
    measurement: Measurement,
    samples: int,
    settings: DapsSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Decoupled annealing posterior sampling (Zhang et al., 2407.01521), its inner Langevin chain replaced by an exact draw:

    z ~ N(x | D(x_i), r_i^2) p(y | x), by perturbing and solving (A^H A / noise^2 + 1 / r_i^2) z =
    A^H (y + noise e1) / noise^2 + (D(x_i) + r_i e2) / r_i^2 with conjugate gradients; then x_{i+1} = z + sigma_{i+1} e3.
    For a white Gaussian prior (inner_spread 1) z is drawn from p(x | x_i, y). Returns the last mean, not a draw.
    """
    sigmas = noise_levels(settings, measurement)
    images = warm_start(measurement, sigmas[0], samples, generators)
    clean = images
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        spread = settings.inner_spread * white_spread(sigma, settings.prior_spread)
        denoised = denoise(images, sigma)
        if i + 2 < len(sigmas):
            clean = draw(measurement, denoised, spread, settings.iterations, generators)
        else:
            clean = project(measurement, denoised, spread, settings.iterations)
        require_finite("daps", clean, sigma)
        images = clean + following * complex_noise(samples, measurement, generators)
        if callback:
            callback(i, images, denoised)
    return clean


def draw(measurement: Measurement, anchor: Images, spread: Sigma, iterations: int, generators: Generators) -> Images:
    """From the density proportional to exp(-||A z - y||^2 / (2 noise^2) - ||z - anchor||^2 / (2 spread^2))."""
    samples, coils = len(anchor), measurement.kspace.shape[1]
    drawn = [complex_noise(samples, measurement, generators, measurement.matrix) for _ in range(coils)]
    coil_noise = torch.stack(drawn, -3)
    weight = (measurement.noise / spread) ** 2
    perturbed = anchor + spread * complex_noise(samples, measurement, generators)
    adjoint = measurement.adjoint + measurement.noise * measurement.operator.adjoint(coil_noise)
    return regularised_solution(measurement.operator, adjoint, perturbed, weight, iterations)


DAPS = sampling(
    daps,
    DapsSettings(),
    {},
    {"sigma_max": 2.0},
    {"sigma_max": 0.4},
    {"inner_spread": 0.5},
    {"inner_spread": 0.25},
    {"prior_spread": 0.25},
)
