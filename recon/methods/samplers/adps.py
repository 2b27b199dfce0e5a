"""A-DPS, as published."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from mri_ambient.measurement import Images, Measurement
from mri_ambient.recon.methods.denoising import Denoise, Masks
from mri_ambient.recon.methods.samplers.annealing import (
    Annealing,
    Callback,
    Generators,
    complex_noise,
    noise_levels,
    require_finite,
)


@dataclass(frozen=True)
class AdpsSettings(Annealing):
    """The published values. published_iterate: return the state before the last update, as the published code does.
    residual_of: the `denoised` image, or the `noisy` one, which spares the gradient through the network (A-ALD, as far as the
    authors' code tells)."""

    steps: int = 500
    sigma_max: float = 10.0
    sigma_min: float = 0.004
    rho: float = 7.0
    masks: Masks = "once"
    step_size: float = 1.0
    residual_of: Literal["denoised", "noisy"] = "denoised"
    published_iterate: bool = False


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
    previous = images
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        previous = images
        with torch.enable_grad():
            state = images.detach().requires_grad_()
            with torch.set_grad_enabled(settings.residual_of == "denoised"):
                denoised = denoise(state, sigma)
            judged = denoised if settings.residual_of == "denoised" else state
            misfit = (measurement.kspace - measurement.operator(judged)).abs().square().sum((-3, -2, -1))
            (gradient,) = torch.autograd.grad(misfit.sum(), state)
        denoised, norm = denoised.detach(), misfit.detach().sqrt().clamp_min(1e-12)
        images = images + (following - sigma) * (images - denoised) / sigma
        images = images - settings.step_size / norm[..., None, None] * gradient
        require_finite("adps", images, sigma)
        if callback:
            callback(i, images, denoised)
    return previous if settings.published_iterate else images
