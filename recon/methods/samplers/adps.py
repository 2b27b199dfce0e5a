"""A-DPS, as published."""

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
)


@dataclass(frozen=True)
class AdpsSettings(Annealing):
    """The published values."""

    steps: int = 500
    sigma_max: float = 10.0
    sigma_min: float = 0.004
    rho: float = 7.0
    masks: Masks = "once"
    step_size: float = 1.0


def adps(
    denoise: Denoise,
    measurement: Measurement,
    samples: int,
    settings: AdpsSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Ambient diffusion posterior sampling (Aali et al., 2403.08728), the published update.

    x_{i+1} = x_i + (sigma_{i+1} - sigma_i) (x_i - D) / sigma_i - (step_size / ||r||) grad_{x_i} ||r||^2,  r = y - A D(x_i),
    the gradient taken through the network with respect to the real and imaginary parts. Starts from noise.
    """
    sigmas = noise_levels(settings, measurement)
    images = sigmas[0] * complex_noise(samples, measurement, generators)
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        with torch.enable_grad():
            state = images.detach().requires_grad_()
            denoised = denoise(state, sigma)
            misfit = (measurement.kspace - measurement.operator(denoised)).abs().square().sum((-3, -2, -1))
            (gradient,) = torch.autograd.grad(misfit.sum(), state)
        denoised, norm = denoised.detach(), misfit.detach().sqrt().clamp_min(1e-12)
        images = images + (following - sigma) * (images - denoised) / sigma
        images = images - settings.step_size / norm[..., None, None] * gradient
        require_finite("adps", images, sigma)
        if callback:
            callback(i, images, denoised)
    return images


ADPS = sampling(
    adps,
    AdpsSettings(),
    {},
    {"step_size": 0.3},
    {"step_size": 3.0},
    {"sigma_max": 2.0},
    {"sigma_max": 2.0, "step_size": 0.3},
    {"sigma_max": 2.0, "step_size": 3.0},
    cost="minutes",
)
