"""A-DPS, as published, and with steps that know the noise."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from mri_ambient.errors import UserError
from mri_ambient.measurement import Images, Measurement
from mri_ambient.recon.methods.denoising import Denoise, Masks
from mri_ambient.recon.methods.method import Callback, Generators, sampling
from mri_ambient.recon.methods.samplers.annealing import (
    Annealing,
    complex_noise,
    noise_levels,
    require_finite,
    white_spread,
)


@dataclass(frozen=True)
class AdpsSettings(Annealing):
    """The published values. step: of the data's gradient, see :func:`adps`. prior_spread: for `scaled` steps, see
    :func:`mri_ambient.recon.methods.samplers.annealing.white_spread`."""

    steps: int = 500
    sigma_max: float = 10.0
    sigma_min: float = 0.004
    rho: float = 7.0
    masks: Masks = "once"
    step: Literal["published", "scaled"] = "published"
    step_size: float = 1.0
    prior_spread: float = 0.5


def adps(
    denoise: Denoise,
    measurement: Measurement,
    samples: int,
    settings: AdpsSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Ambient diffusion posterior sampling (Aali et al., 2403.08728).

    x_{i+1} = x_i + (s_{i+1} - s_i) (x_i - D) / s_i - a grad_{x_i} ||r||^2, r = y - A D(x_i), s = sigma; the gradient is taken
    through the network with respect to the real and imaginary parts. Starts from noise. Of a `published` step
    a = step_size / ||r||, whatever the level. Of a `scaled` one a = step_size (s_i - s_{i+1}) s_i / (2 (noise^2 + r_i^2)): an
    Euler step of the probability flow under p(y | x_i) = N(A D, noise^2 + r_i^2), r_i the white_spread, so that the posterior
    of a white Gaussian prior is met as steps grow.
    """
    sigmas = noise_levels(settings, measurement)
    images = sigmas[0] * complex_noise(samples, measurement, generators)
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        with torch.enable_grad():
            state = images.detach().requires_grad_()
            denoised = denoise(state, sigma)
            misfit = (measurement.kspace - measurement.operator(denoised)).abs().square().sum((-3, -2, -1))
            if not denoised.requires_grad:
                raise UserError("adps: needs a gradient through the denoiser, and this one has none; use mmps or daps")
            (gradient,) = torch.autograd.grad(misfit.sum(), state)
        denoised = denoised.detach()
        if settings.step == "published":
            size = 1 / misfit.detach().sqrt().clamp_min(1e-12)[..., None, None]
        else:
            wrong = measurement.noise**2 + white_spread(sigma, settings.prior_spread) ** 2
            size = (sigma - following) * sigma / (2 * wrong)
        images = images + (following - sigma) * (images - denoised) / sigma - settings.step_size * size * gradient
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
SCALED_ADPS = sampling(
    adps,
    AdpsSettings(step="scaled"),
    {},
    {"prior_spread": 0.25},
    {"step_size": 0.5},
    {"step_size": 2.0},
    {"sigma_max": 2.0},
    {"sigma_max": 2.0, "prior_spread": 0.25},
    cost="minutes",
)
