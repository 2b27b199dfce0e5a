"""What the samplers share: falling noise levels, a start, each slice's own noise, and the step from one level to the next."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import Images, Measurement
from mri_ambient.physics.seeds import streams
from mri_ambient.physics.solvers import data_consistency
from mri_ambient.priors.schedule import edm_schedule
from mri_ambient.recon.methods.denoising import Masks, Sigma
from mri_ambient.recon.methods.method import Callback, Generators

START_WEIGHT, START_STEPS = 1e-2, 30  # of the CG-SENSE image that samplers start from


@dataclass(frozen=True)
class Annealing:
    """Settings of every sampler. steps: noise levels, from sigma_max to sigma_min by :func:`edm_schedule`; rho infinite is
    log-linear. stop_at_noise: a slice ends at its own measurement noise where that is above sigma_min.
    masks: what a `masked` prior is shown, see :func:`mri_ambient.recon.methods.denoising.denoiser_for`.
    """

    steps: int = 30
    sigma_max: float = 1.0
    sigma_min: float = 0.04
    rho: float = 5.0
    stop_at_noise: bool = False
    masks: Masks = "scan"


def noise_levels(settings: Annealing, measurement: Measurement) -> Float[Tensor, "level slice 1 1"]:
    """steps + 1 levels for each slice, the last 0."""
    lowest = torch.full_like(measurement.noise_std, settings.sigma_min)
    if settings.stop_at_noise:
        lowest = lowest.maximum(measurement.noise_std).clamp_max(settings.sigma_max / 2)
    of_slices = [edm_schedule(settings.steps, settings.sigma_max, low, settings.rho) for low in lowest.tolist()]
    return torch.stack(of_slices, 1)[..., None, None].to(measurement.device)


def warm_start(measurement: Measurement, sigma: Sigma, samples: int, generators: Generators) -> Images:
    """The CG-SENSE image plus noise: what x looks like at a level whose noise hides the errors of CG-SENSE."""
    start = data_consistency(measurement.operator, measurement.kspace, None, START_WEIGHT, START_STEPS)
    return start + sigma * complex_noise(samples, measurement, generators)


def complex_noise(
    samples: int, measurement: Measurement, generators: Generators, shape: tuple[int, ...] | None = None
) -> Complex[Tensor, "k slice ..."]:
    """Unit variance in the real and in the imaginary part; of the shape of the measurement's images, or another. Drawn on the
    CPU, so that every device gets the same; the first samples' are the same, however many there are."""
    shape = shape or measurement.image_shape
    drawn = torch.empty(samples, len(generators), *shape, dtype=torch.complex64)
    for index, generator in enumerate(generators):
        for number, stream in enumerate(streams(generator, samples)):
            torch.randn(shape, dtype=torch.complex64, generator=stream, out=drawn[number, index])
    return math.sqrt(2) * drawn.to(measurement.device)


@torch.no_grad()
def descend(
    name: str,
    estimate: Callable[[Images, Sigma], Images],
    images: Images,
    sigmas: Float[Tensor, "level slice 1 1"],
    eta: float,
    order: int,
    measurement: Measurement,
    generators: Generators,
    callback: Callback | None,
) -> Images:
    """From noisy ``images`` down all levels; z_i = estimate(x_i, sigma_i) stands for E[x | x_i, y]; returns the last z.

    Each step is :func:`renoise` around w. order 1: w = z_i. order 2: w = z_i + h_i / (2 h_{i-1}) (z_i - z_{i-1}),
    h_i = ln(sigma_i / sigma_{i+1}), the multistep rule of DPM-Solver++ (Lu et al., 2211.01095).
    """
    before = None
    clean = images
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        clean = estimate(images, sigma)
        require_finite(name, clean, sigma)
        ahead = clean
        if order == 2 and before is not None and i + 2 < len(sigmas):
            ahead = clean + (sigma / following).log() / (2 * (sigmas[i - 1] / sigma).log()) * (clean - before)
        before = clean
        images = renoise(images, ahead, sigma, following, eta, measurement, generators)
        if callback:
            callback(i, images, clean)
    return clean


def renoise(
    images: Images,
    clean: Images,
    sigma: Sigma,
    following: Sigma,
    eta: float,
    measurement: Measurement,
    generators: Generators,
) -> Images:
    """The step of generalised DDIM (Song, Meng & Ermon, 2010.02502) around z = ``clean``, from s = sigma to t = following:

    z + sqrt(t^2 - f^2) (x - z) / s + f e, f = eta t sqrt(1 - t^2 / s^2), at most t. eta = 0 is deterministic, 1 ancestral
    sampling; from 2 on all noise is fresh wherever t < 0.86 s (decoupled annealing: Zhang et al., 2407.01521).
    """
    fresh = torch.minimum(eta * following * (1 - (following / sigma) ** 2).sqrt(), following)
    kept = (following**2 - fresh**2).sqrt()
    return clean + kept / sigma * (images - clean) + fresh * complex_noise(len(images), measurement, generators)


def white_spread(sigma: Sigma, prior_spread: float) -> Sigma:
    """r = s sigma / sqrt(s^2 + sigma^2): the std of x given x + sigma e, for a white Gaussian prior of std s."""
    return prior_spread * sigma / (prior_spread**2 + sigma**2).sqrt()


def require_finite(name: str, images: Images, sigma: Sigma) -> None:
    """Raises UserError if a number is NaN or infinite."""
    if not torch.view_as_real(images).isfinite().all():
        raise UserError(
            f"{name}: its images stopped being finite numbers at sigma = {sigma.max().item():.3g}; "
            "use another --method or --prior"
        )
