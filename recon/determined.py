"""How much of each pixel the data determine, whatever the prior."""

import torch
from jaxtyping import Bool, Complex, Float
from torch import Generator, Tensor

from mri_ambient.console import track
from mri_ambient.physics.fourier import fftc
from mri_ambient.physics.masks import mask_seed
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import regularised_solution
from recon.problem import Problem

SPREAD = 0.5  # of a pixel before anything is measured, of the image's brightness; as the samplers' prior_spread
PROBES, ITERATIONS = 16, 20
TOGETHER = 2**23  # numbers in the matrices of the rows inverted at once; bounds memory

Maps = Complex[Tensor, "coil y x"]
Share = Float[Tensor, "y x"]


@torch.no_grad()
def determined_share(problem: Problem, name: str, seed: int) -> Float[Tensor, "slice y x"]:
    """1 - diag(l (A^H A + l)^-1), l = (noise / SPREAD)^2; 0 where no coil sees.

    The diagonal is posterior variance over prior variance for a white Gaussian prior of SPREAD: the share is 1 where a pixel is
    known to the noise, 1/R with one coil and no more to go by. It depends on the mask, the coils and the noise, not on any
    learned prior, whose own certainty can't be trusted to say where it is guessing. Exact behind line masks; behind 2-D masks
    estimated, its standard deviation at a pixel about 1/sqrt(PROBES) of the aliasing that reaches it.
    """
    weights = (problem.noise / SPREAD).square().flatten().tolist()
    shares = []
    for index in track(range(len(weights)), "determined by the data", len(weights)):
        maps, mask = problem.sense.maps[index], problem.sense.mask[index]
        if len(mask) == 1:
            shares.append(behind_lines(maps, mask[0], weights[index]))
        else:
            generator = Generator().manual_seed(mask_seed(name, index, seed, "probes"))
            shares.append(behind_samples(maps, mask, weights[index], generator))
    return torch.where(problem.sense.support, torch.stack(shares), 0).clamp(0, 1)


def behind_lines(maps: Maps, mask: Bool[Tensor, " x"], weight: float) -> Share:
    """Row by row, which a line mask leaves independent: A^H A of a row is P o (S^H S), P = F^H M F, o entry by entry."""
    columns = len(mask)
    fourier = fftc(torch.eye(columns, dtype=maps.dtype), (-1,)).T
    spread = fourier.mH @ (mask[:, None] * fourier)
    shares = []
    for rows in maps.movedim(0, 1).split(max(1, TOGETHER // columns**2)):  # [y, coil, x]
        normal = spread * (rows.mH @ rows)
        inverse = torch.linalg.inv(normal + weight * torch.eye(columns))
        shares.append(1 - weight * inverse.diagonal(dim1=-2, dim2=-1).real)
    return torch.cat(shares)


def behind_samples(maps: Maps, mask: Bool[Tensor, "y x"], weight: float, generator: Generator) -> Share:
    """By Hutchinson's probes (Bekas, Kokiopoulou & Saad, Appl. Numer. Math. 57:1214, 2007): the diagonal of B is the mean of
    conj(v) * B v over random v of modulus 1, here B = (A^H A + l)^-1 A^H A by conjugate gradients."""
    sense, total = Sense(maps, mask), torch.zeros(mask.shape)
    for _ in range(PROBES):
        turns = torch.randint(4, mask.shape, generator=generator)
        probe = torch.polar(torch.ones(mask.shape), turns * torch.pi / 2)
        solved = regularised_solution(sense, sense.normal(probe), None, weight, ITERATIONS)
        total += (probe.conj() * solved).real
    return total / PROBES
