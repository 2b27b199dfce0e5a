"""A-DPS, as published."""

from dataclasses import dataclass

import torch

from mri_ambient.priors.schedule import edm_schedule
from recon.denoising import Denoise
from recon.problem import Images, Problem
from recon.samplers.noise import Callback, Generators, complex_noise


@dataclass(frozen=True)
class AdpsSettings:
    """The published values. published_iterate: return the state before the last update, as the published code does."""

    steps: int = 500
    sigma_max: float = 10.0
    sigma_min: float = 0.004
    rho: float = 7.0
    step_size: float = 1.0
    published_iterate: bool = False


def adps(
    denoise: Denoise,
    problem: Problem,
    samples: int,
    settings: AdpsSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Ambient diffusion posterior sampling (Aali et al., 2403.08728), the published update.

    x_{i+1} = x_i + (sigma_{i+1} - sigma_i) (x_i - D) / sigma_i - (step_size / ||r||) grad_{x_i} ||r||^2,  r = y - A D(x_i),
    the gradient taken through the network with respect to the real and imaginary parts.
    """
    sigmas = edm_schedule(settings.steps, settings.sigma_max, settings.sigma_min, settings.rho).tolist()
    images = sigmas[0] * complex_noise(samples, problem, generators)
    previous = images
    for i in range(settings.steps):
        previous = images
        with torch.enable_grad():
            state = images.detach().requires_grad_()
            denoised = denoise(state, sigmas[i])
            misfit = (problem.kspace - problem.sense(denoised)).abs().square().sum((-3, -2, -1))
            (gradient,) = torch.autograd.grad(misfit.sum(), state)
        denoised, norm = denoised.detach(), misfit.detach().sqrt().clamp_min(1e-12)
        images = images + (sigmas[i + 1] - sigmas[i]) * (images - denoised) / sigmas[i]
        images = images - settings.step_size / norm[..., None, None] * gradient
        if callback:
            callback(i, images, denoised)
    return previous if settings.published_iterate else images
