"""A white Gaussian prior N(0, s^2) in each part of each pixel: denoiser and posterior in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mri_ambient.physics.masks import line_mask
from mri_ambient.physics.sense import Sense
from recon.problem import Problem
from tests.operators import random_complex

SPREAD, NOISE, SIZE, COILS, ACS = 0.3, 0.05, 8, 3, 1


@dataclass(frozen=True)
class GaussianCase:
    problem: Problem
    mean: Tensor
    std: Tensor
    """Of the complex posterior at each pixel: sqrt E|x - mean|^2."""

    @staticmethod
    def denoise(images: Tensor, sigma: float) -> Tensor:
        return SPREAD**2 / (SPREAD**2 + sigma**2) * images


def gaussian_case(accel: float) -> GaussianCase:
    generator = torch.Generator().manual_seed(1)
    maps = random_complex((COILS, SIZE, SIZE), 2, torch.complex64)
    maps /= maps.abs().square().sum(0).sqrt()
    mask = line_mask("random", accel, ACS, torch.ones(SIZE, dtype=torch.bool), generator)[None]
    sense = Sense(maps[None], mask[None])
    truth = 2**0.5 * SPREAD * random_complex((1, SIZE, SIZE), 3, torch.complex64)
    kspace = sense.keep(sense(truth) + 2**0.5 * NOISE * random_complex(sense.maps.shape, 4, torch.complex64))
    basis = torch.eye(SIZE**2, dtype=torch.complex64).reshape(-1, 1, SIZE, SIZE)
    normal = sense.normal(basis).flatten(1).T.to(torch.complex128)
    precision = normal / NOISE**2 + torch.eye(SIZE**2) / SPREAD**2
    covariance = torch.linalg.inv(precision)
    mean = covariance @ sense.adjoint(kspace).flatten().to(torch.complex128) / NOISE**2
    std = (2 * covariance.diagonal().real).sqrt()
    return GaussianCase(
        Problem(kspace, sense, torch.tensor([NOISE])),
        mean.reshape(1, SIZE, SIZE).to(torch.complex64),
        std.reshape(1, SIZE, SIZE).float(),
    )
