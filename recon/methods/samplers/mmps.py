"""Moment matching: the data correct the denoised image by the covariance that the denoiser's Jacobian gives, and it is drawn
from what they leave open."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import Images, Measurement
from mri_ambient.recon.methods.denoising import Denoise, Sigma
from mri_ambient.recon.methods.method import Callback, Generators, sampling
from mri_ambient.recon.methods.samplers.annealing import (
    Annealing,
    descend,
    noise_levels,
    warm_start,
)
from mri_ambient.recon.methods.samplers.covariance import gaussian_draw, local_covariance

NUDGE = 0.1  # of sigma: how far a difference looks; far enough for bfloat16
ROUNDING = 1e-3  # of a curvature, in single precision
TINY = torch.finfo(torch.float32).tiny

Coils = Complex[Tensor, "k slice coil r c"]
PullBack = Callable[[Images], Images]
"""A product with J^T."""


@dataclass(frozen=True)
class MmpsSettings(Annealing):
    """eta: how much of the noise is fresh at each level, see :func:`mri_ambient.recon.methods.samplers.annealing.renoise`.
    iterations: of the conjugate gradients by the Jacobian, each with one product with it: by `differences`, one more call of
    the network, or by `gradients` through it, as published; at levels below jacobian_above, none. draw_iterations: of those by
    the local covariance, without calls. inflation: by which that is multiplied."""

    steps: int = 7
    sigma_max: float = 1.0
    sigma_min: float = 0.02
    rho: float = 5.0
    eta: float = 2.0
    iterations: int = 2
    jacobian_above: float = 0.1
    draw_iterations: int = 4
    inflation: float = 1.0
    jacobian: Literal["differences", "gradients"] = "differences"


@torch.no_grad()
def mmps(
    denoise: Denoise,
    measurement: Measurement,
    samples: int,
    settings: MmpsSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Moment matching posterior sampling (Rozet et al., 2405.13712) with draws in place of means.

    m = D + s^2 J^T A^H v with (noise^2 + s^2 A J A^H) v = y - A D, J = dD/dx_i, s = sigma_i; s^2 J is the covariance of x given
    x_i (Tweedie), so that for a Gaussian prior m is E[x | x_i, y]. Few conjugate gradients are taken; what they leave of the
    system's right side is solved for with a :func:`mri_ambient.recon.methods.samplers.covariance.local_covariance` in place of
    s^2 J, together with a draw of what the data leave open: z ~ p(x | x_i, y), as far as the covariances are right. Then
    x_{i+1} is z and noise of the next level (:func:`descend`). A step around a mean, as published, loses spread at every level;
    around a draw it does not, however few the levels. Returns the last draw. Raises UserError for a denoiser that draws new
    masks at each call.
    """
    if settings.masks == "redrawn":
        raise UserError("masks `redrawn` change between calls, and this sampler compares calls; take `scan` or `once`")
    linearised = LINEARISED[settings.jacobian]

    def draw(images: Images, sigma: Sigma) -> Images:
        denoised, pull_back = linearised(denoise, images, sigma)
        covariance = local_covariance(denoise, images, denoised, sigma, measurement, generators)
        covariance = covariance.scaled(settings.inflation)
        iterations = settings.iterations if sigma.max() > settings.jacobian_above else 0
        moved, left = correction(measurement, denoised, sigma, pull_back, iterations)
        pull = measurement.operator.adjoint(left)
        drawn = gaussian_draw(measurement, covariance, pull, settings.draw_iterations, samples, generators)
        return denoised + sigma**2 * moved + drawn

    sigmas = noise_levels(settings, measurement)
    start = warm_start(measurement, sigmas[0], samples, generators)
    return descend("mmps", draw, start, sigmas, settings.eta, 1, measurement, generators, callback)


def by_differences(denoise: Denoise, images: Images, sigma: Sigma) -> tuple[Images, PullBack]:
    """D(x), and J^T u as (D(x + h u) - D(x)) / h, the root mean square of h u being NUDGE sigma.

    That is J u, and J is symmetric if it is a covariance, which the other half of the method takes it for already. No graph is
    kept, and a call costs half of what a gradient does.
    """
    denoised = denoise(images, sigma)

    def pull_back(image: Images) -> Images:
        size = image.abs().square().mean((-2, -1), keepdim=True).sqrt().clamp_min(TINY)
        step = math.sqrt(2) * NUDGE * sigma / size
        return (denoise(images + step * image, sigma) - denoised) / step

    return denoised, pull_back


@torch.enable_grad()
def by_gradients(denoise: Denoise, images: Images, sigma: Sigma) -> tuple[Images, PullBack]:
    """D(x), and J^T u by automatic differentiation."""
    state = images.detach().requires_grad_()
    denoised = denoise(state, sigma)
    return denoised.detach(), lambda image: torch.autograd.grad(denoised, state, image, retain_graph=True)[0]


LINEARISED: dict[str, Callable[[Denoise, Images, Sigma], tuple[Images, PullBack]]] = {
    "differences": by_differences,
    "gradients": by_gradients,
}


def correction(
    measurement: Measurement, denoised: Images, sigma: Sigma, pull_back: PullBack, iterations: int
) -> tuple[Images, Coils]:
    """u = J^T A^H v of the v that solves (noise^2 + s^2 A J A^H) v = y - A D, ``pull_back(image)`` being J^T image; and what v
    leaves of the right side.

    Conjugate gradients in k-space from v = 0, which build up u beside v: a product with the Jacobian is what costs, and so each
    iteration needs one, and u none of its own. A network's J need not be symmetric and non-negative, so that the system may
    have small or negative eigenvalues, along which v would explode; it has none below noise^2 if J is a covariance, and a
    sample along whose direction there seems to be one is left as it is from then on (as Steihaug, SIAM J. Numer. Anal. 20:626,
    1983, ends at negative curvature).
    """
    sense, variance, spread = measurement.operator, kspace_factor(measurement.noise**2), kspace_factor(sigma**2)
    residual = measurement.kspace - sense(denoised)
    direction, energy = residual, inner(residual, residual)
    found = torch.zeros_like(denoised)
    goes_on = torch.ones_like(energy, dtype=torch.bool)
    for _ in range(iterations):
        pulled = pull_back(sense.adjoint(direction))
        applied = variance * direction + spread * sense(pulled)
        curvature = inner(direction, applied)
        goes_on = goes_on & (curvature > variance * inner(direction, direction) * (1 - ROUNDING))
        step = torch.where(goes_on, energy / curvature, 0)
        found = found + step.squeeze(-3) * pulled
        residual = residual - step * applied
        previous, energy = energy, inner(residual, residual)
        direction = residual + energy / previous.clamp_min(TINY) * direction
    return found, residual


def kspace_factor(of_slices: Sigma) -> Float[Tensor, "slice 1 1 1"]:
    return of_slices.unsqueeze(-3)


def inner(left: Coils, right: Coils) -> Float[Tensor, "k slice 1 1 1"]:
    """Re <left, right> of each sample."""
    products = torch.view_as_real(left) * torch.view_as_real(right)
    return products.sum((-4, -3, -2, -1))[..., None, None, None]


MMPS = sampling(
    mmps,
    MmpsSettings(),
    {},
    {"inflation": 1.2},
    {"inflation": 1.5},
    {"iterations": 1, "inflation": 1.2},
    {"iterations": 3},
    {"iterations": 3, "inflation": 1.2},
)
