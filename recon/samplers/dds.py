"""Decomposed diffusion sampling: denoise, make consistent with the data, add noise again."""

import math
from dataclasses import dataclass

import torch

from mri_ambient.priors.schedule import edm_schedule
from recon.classical import cg_sense
from recon.denoising import Denoise
from recon.problem import Images, Problem, project
from recon.samplers.noise import Callback, Generators, complex_noise


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
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Decomposed diffusion sampling (Chung, Lee & Ye, 2303.05754), noise-aware; no gradient through the network.

    z = argmin_z ||A z - y||^2 / noise^2 + ||z - D(x_i)||^2 / r_i^2, by conjugate gradients from D(x_i), with
    r_i^2 = s^2 sigma_i^2 / (s^2 + sigma_i^2), s = prior_spread; for a white Gaussian prior of variance s^2, r_i^2 is the
    variance of x given x_i and z is exactly E[x | x_i, y]. Then the DDIM step
    x_{i+1} = z + sqrt(sigma_{i+1}^2 - f^2) (x_i - z) / sigma_i + f e,  f = eta sigma_{i+1} sqrt(1 - sigma_{i+1}^2 / sigma_i^2).
    Starts from the CG-SENSE image plus noise of sigma_max; returns the last z.
    """
    sigmas = edm_schedule(settings.steps, settings.sigma_max, settings.sigma_min, settings.rho).tolist()
    images = cg_sense(problem) + sigmas[0] * complex_noise(samples, problem, generators)
    clean = images
    for i in range(settings.steps):
        spread = settings.prior_spread * sigmas[i] / math.hypot(settings.prior_spread, sigmas[i])
        clean = project(problem, denoise(images, sigmas[i]), spread, settings.iterations)
        fresh = settings.eta * sigmas[i + 1] * math.sqrt(1 - (sigmas[i + 1] / sigmas[i]) ** 2)
        kept = math.sqrt(sigmas[i + 1] ** 2 - fresh**2)
        images = clean + kept / sigmas[i] * (images - clean)
        images = images + fresh * complex_noise(samples, problem, generators)
        if callback:
            callback(i, images, clean)
    return clean
