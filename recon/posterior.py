"""Posterior samplers: free functions ``(denoise, problem, samples, settings, generator, callback) -> images``.

All work on K images at once, normalised. sigma is the standard deviation of the noise in the real and in the imaginary part.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Generator, Tensor

from mri_ambient.physics.solvers import data_consistency
from mri_ambient.priors.schedule import edm_schedule
from recon.classical import cg_sense
from recon.denoising import Denoise
from recon.problem import SMALLEST_NOISE, Problem

Images = Complex[Tensor, "k y x"]
Callback = Callable[[int, Images, Images], None]
"""Called after each step with (step, noisy images, denoised images)."""


@dataclass(frozen=True)
class DdsSettings:
    """eta: 0 is deterministic DDIM, 1 ancestral sampling. prior_spread: see :func:`dds`."""

    steps: int = 30
    sigma_max: float = 2.0
    sigma_min: float = 0.04
    rho: float = 5.0
    eta: float = 1.0
    prior_spread: float = 0.5
    iterations: int = 6


@torch.no_grad()
def dds(
    denoise: Denoise,
    problem: Problem,
    samples: int,
    settings: DdsSettings,
    generator: Generator,
    callback: Callback | None = None,
) -> Images:
    """Decomposed diffusion sampling (Chung, Lee & Ye, 2303.05754), noise-aware; no gradient through the network.

    z = argmin_z ||A z - y||^2 / noise^2 + ||z - D(x_i)||^2 / r_i^2, by conjugate gradients from D(x_i), with
    r_i^2 = s^2 sigma_i^2 / (s^2 + sigma_i^2), s = prior_spread; for a white Gaussian prior of variance s^2, r_i^2 is the
    variance of x given x_i and z is exactly E[x | x_i, y]. Then the DDIM step
    x_{i+1} = z + sqrt(sigma_{i+1}^2 - f^2) (x_i - z) / sigma_i + f e,  f = eta sigma_{i+1} sqrt(1 - sigma_{i+1}^2 / sigma_i^2).
    Starts from the CG-SENSE image plus noise of sigma_max; returns the last z.
    """
    noise = max(problem.noise_std, SMALLEST_NOISE)
    sigmas = edm_schedule(settings.steps, settings.sigma_max, settings.sigma_min, settings.rho).tolist()
    kspace = problem.kspace.expand(samples, -1, -1, -1)
    images = cg_sense(problem) + sigmas[0] * complex_noise(samples, problem, generator)
    clean = images
    for i in range(settings.steps):
        spread = settings.prior_spread * sigmas[i] / math.hypot(settings.prior_spread, sigmas[i])
        denoised = denoise(images, sigmas[i])
        clean = data_consistency(problem.sense, kspace, denoised, (noise / spread) ** 2, settings.iterations)
        fresh = settings.eta * sigmas[i + 1] * math.sqrt(1 - (sigmas[i + 1] / sigmas[i]) ** 2)
        kept = math.sqrt(sigmas[i + 1] ** 2 - fresh**2)
        images = clean + kept / sigmas[i] * (images - clean)
        images = images + fresh * complex_noise(samples, problem, generator)
        if callback:
            callback(i, images, clean)
    return clean


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
    generator: Generator,
    callback: Callback | None = None,
) -> Images:
    """Ambient diffusion posterior sampling (Aali et al., 2403.08728), the published update.

    x_{i+1} = x_i + (sigma_{i+1} - sigma_i) (x_i - D) / sigma_i - (step_size / ||r||) grad_{x_i} ||r||^2,  r = y - A D(x_i),
    the gradient taken through the network with respect to the real and imaginary parts.
    """
    sigmas = edm_schedule(settings.steps, settings.sigma_max, settings.sigma_min, settings.rho).tolist()
    images = sigmas[0] * complex_noise(samples, problem, generator)
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
        images = images - settings.step_size / norm[:, None, None] * gradient
        if callback:
            callback(i, images, denoised)
    return previous if settings.published_iterate else images


def complex_noise(samples: int, problem: Problem, generator: Generator) -> Images:
    """Unit variance in the real and in the imaginary part."""
    return math.sqrt(2) * torch.randn((samples, *problem.matrix), dtype=torch.complex64, generator=generator)
