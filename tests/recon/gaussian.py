"""Gaussian priors, a white and a correlated one: denoiser and posterior in closed form, at R = 2, 4, 8 in one problem.

x ~ N(0, C) in its real and in its imaginary part, C = F^H p F diagonal in k-space, the same power at every frequency for the
`white` prior, most of it at low ones for the `correlated` prior. Given y, x ~ N(m, G), G = (A^H A / noise^2 + C^-1)^-1.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mri_ambient.measurement import Images, Measurement
from mri_ambient.physics.fourier import fft2c, ifft2c
from mri_ambient.physics.masks import line_mask
from mri_ambient.physics.operators import LinearOperator
from mri_ambient.physics.sense import Sense
from mri_ambient.recon.methods.denoising import Sigma
from tests.operators import random_complex

SPREAD, NOISE, SIZE, COILS, ACS = 0.3, 0.05, 8, 3, 1
ACCELS = (2, 4, 8)


@dataclass(frozen=True)
class GaussianCase:
    """Slice i of the problem has acceleration ACCELS[i]. std: of the complex posterior at each pixel, sqrt E|x - mean|^2."""

    measurement: Measurement
    power: Float[Tensor, "y x"]
    mean: Tensor
    std: Tensor

    def denoise(self, images: Images, sigma: Sigma) -> Images:
        """E[x | x + sigma e] = C (C + sigma^2)^-1 (x + sigma e)."""
        return ifft2c(self.power / (self.power + sigma**2) * fft2c(images))


@dataclass(frozen=True)
class Quality:
    """What samples are worth, for each R. error: root mean square over the pixels of |their mean - the mean| in units of the
    posterior std, 1/sqrt(K) for K perfect samples. std: their std over the posterior's, averaged. coverage: the posterior's
    probability of their central 50 % and 90 % intervals, averaged over the parts of the pixels."""

    error: Float[Tensor, " slice"]
    std: Float[Tensor, " slice"]
    coverage: dict[float, Float[Tensor, " slice"]]


def gaussian_case(correlated: bool) -> GaussianCase:
    generator = torch.Generator().manual_seed(1)
    maps = random_complex((len(ACCELS), COILS, SIZE, SIZE), 2, torch.complex64)
    maps /= maps.abs().square().sum(1, keepdim=True).sqrt()
    everything = torch.ones(SIZE, dtype=torch.bool)
    mask = torch.stack([line_mask("random", accel, ACS, everything, generator)[None] for accel in ACCELS])
    return case_behind(Sense(maps, mask), correlated, (ACS,) * len(ACCELS))


def case_behind(operator: LinearOperator, correlated: bool, acs: tuple[int, ...] = ()) -> GaussianCase:
    """One image of SIZE behind each of the operators of a batch."""
    count = len(operator.support)
    frequency = torch.arange(SIZE) - SIZE // 2
    power = 1 / (1 + frequency[:, None] ** 2 + frequency**2) ** 1.5 if correlated else torch.ones(SIZE, SIZE)
    power = SPREAD**2 * power / power.mean()
    truth = 2**0.5 * ifft2c(power.sqrt() * random_complex((count, SIZE, SIZE), 3, torch.complex64))
    clean = operator(truth)
    noisy = clean + 2**0.5 * NOISE * random_complex(tuple(clean.shape), 4, torch.complex64)
    kspace = torch.where(operator.measured.unsqueeze(-3), noisy, 0)
    basis = torch.eye(SIZE**2, dtype=torch.complex64).reshape(-1, 1, SIZE, SIZE)
    normal = operator.gram(basis.expand(-1, count, -1, -1)).flatten(2).permute(1, 2, 0).to(torch.complex128)
    inverse = ifft2c(fft2c(basis[:, 0]) / power).flatten(1).T.to(torch.complex128)
    covariance = torch.linalg.inv(normal / NOISE**2 + inverse)
    mean = covariance @ operator.adjoint(kspace).flatten(1)[..., None].to(torch.complex128) / NOISE**2
    return GaussianCase(
        Measurement(kspace, operator, torch.full((count,), NOISE), acs),
        power,
        mean.reshape(truth.shape).to(torch.complex64),
        (2 * covariance.diagonal(dim1=1, dim2=2).real).sqrt().reshape(truth.shape).float(),
    )


def quality(samples: Images, case: GaussianCase) -> Quality:
    mean = samples.mean(0)
    std = (samples - mean).abs().square().sum(0).div(len(samples) - 1).sqrt()
    parts = torch.view_as_real(samples - case.mean) / (case.std[..., None] / 2**0.5)
    coverage = {}
    for level in (0.5, 0.9):
        low, high = parts.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2]), 0)
        coverage[level] = (normal_cdf(high) - normal_cdf(low)).mean((-3, -2, -1))
    error = ((mean - case.mean).abs() / case.std).square().mean((-2, -1)).sqrt()
    return Quality(error, (std / case.std).mean((-2, -1)), coverage)


def normal_cdf(z: Tensor) -> Tensor:
    return (1 + torch.erf(z / 2**0.5)) / 2


def generators(seed: int = 0) -> list[torch.Generator]:
    """One a slice."""
    return [torch.Generator().manual_seed(1000 * seed + index) for index in range(len(ACCELS))]
