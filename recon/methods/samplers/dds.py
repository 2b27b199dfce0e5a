"""Decomposed diffusion sampling: denoise, make consistent with the data, add noise again."""

from dataclasses import dataclass

import torch

from mri_ambient.measurement import Images, Measurement, project
from mri_ambient.recon.methods.denoising import Denoise, Sigma
from mri_ambient.recon.methods.method import Callback, Generators, sampling
from mri_ambient.recon.methods.samplers.annealing import (
    Annealing,
    descend,
    noise_levels,
    warm_start,
    white_spread,
)


@dataclass(frozen=True)
class DdsSettings(Annealing):
    """eta, order: see :func:`mri_ambient.recon.methods.samplers.annealing.descend`. prior_spread: see
    :func:`mri_ambient.recon.methods.samplers.annealing.white_spread`.
    iterations: of conjugate gradients."""

    steps: int = 12
    sigma_max: float = 2.0
    sigma_min: float = 0.04
    rho: float = 5.0
    eta: float = 1.0
    order: int = 2
    prior_spread: float = 0.5
    iterations: int = 6


@torch.no_grad()
def dds(
    denoise: Denoise,
    measurement: Measurement,
    samples: int,
    settings: DdsSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Decomposed diffusion sampling (Chung, Lee & Ye, 2303.05754), noise-aware; no gradient through the network.

    z = argmin_z ||A z - y||^2 / noise^2 + ||z - D(x_i)||^2 / r_i^2, by conjugate gradients from D(x_i), r_i the
    white_spread; for a white Gaussian prior z is exactly E[x | x_i, y]. Then a step of :func:`descend`.
    """

    def consistent(images: Images, sigma: Sigma) -> Images:
        spread = white_spread(sigma, settings.prior_spread)
        return project(measurement, denoise(images, sigma), spread, settings.iterations)

    sigmas = noise_levels(settings, measurement)
    start = warm_start(measurement, sigmas[0], samples, generators)
    return descend("dds", consistent, start, sigmas, settings.eta, settings.order, measurement, generators, callback)


DDS = sampling(
    dds,
    DdsSettings(),
    {},
    {"sigma_max": 1.0},
    {"sigma_max": 0.4},
    {"sigma_min": 0.02},
    {"eta": 0.85},
    {"prior_spread": 0.25},
)
