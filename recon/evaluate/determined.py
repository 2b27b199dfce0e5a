"""How much of each pixel the data determine, whatever the prior."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mri_ambient.console import track
from mri_ambient.measurement import Measurement
from mri_ambient.physics.fourier import fftc
from mri_ambient.physics.seeds import seed_of
from mri_ambient.physics.sense import Sense, apart
from mri_ambient.physics.solvers import regularised_solution

SPREAD = 0.5  # of a pixel before anything is measured, of the image's brightness; as the samplers' prior_spread
PROBES, ITERATIONS = 16, 20
TOGETHER = 2**23  # numbers in the matrices of the rows inverted at once; bounds memory

Share = Float[Tensor, "v x"]


@torch.no_grad()
def determined_share(measurement: Measurement, name: str, seed: int) -> Float[Tensor, "slice y x"]:
    """1 - diag(l (A^H A + l)^-1), l = (noise / SPREAD)^2; 0 where no coil sees. Of two sets of maps, the first one's pixels.

    The diagonal is posterior variance over prior variance for a white Gaussian prior of SPREAD: the share is 1 where a pixel is
    known to the noise, 1/R with one coil and no more to go by. It depends on the mask, the coils and the noise, not on any
    learned prior, whose own certainty can't be trusted to say where it is guessing. Exact behind line masks; behind 2-D masks
    estimated, its standard deviation at a pixel about 1/sqrt(PROBES) of the aliasing that reaches it.
    """
    sense = measurement.sense
    weights = (measurement.noise / SPREAD).square().flatten().tolist()
    shares = []
    for index in track(range(len(weights)), "determined by the data", len(weights)):
        one = Sense(sense.maps[index], sense.mask[index], sense.sets)
        if len(one.mask) == 1:
            shares.append(behind_lines(one, weights[index]))
        else:
            generator = Generator().manual_seed(seed_of(name, index, seed, "probes"))
            shares.append(behind_samples(one, weights[index], generator))
    share = torch.where(sense.support, torch.stack(shares), 0).clamp(0, 1)
    return share[:, : measurement.matrix[0]]


def behind_lines(sense: Sense, weight: float) -> Share:
    """Row by row, which a line mask leaves independent: A^H A of a row is P o (S^H S), P = F^H M F, o entry by entry; rows of
    two sets are twice as long."""
    mask, sets, device = sense.mask[0], sense.sets, sense.maps.device
    columns = len(mask)
    fourier = fftc(torch.eye(columns, dtype=sense.maps.dtype, device=device), (-1,)).T
    spread = (fourier.mH @ (mask[:, None] * fourier)).repeat(sets, sets)
    shares = []
    maps = apart(sense.maps, sets).permute(2, 0, 1, 3).flatten(2)  # [y, coil, set x]
    for rows in maps.split(max(1, TOGETHER // (sets * columns) ** 2)):
        normal = spread * (rows.mH @ rows)
        inverse = torch.linalg.inv(normal + weight * torch.eye(sets * columns, device=device))
        shares.append(1 - weight * inverse.diagonal(dim1=-2, dim2=-1).real)
    return torch.cat(shares).unflatten(1, (sets, columns)).movedim(1, 0).flatten(0, 1)


def behind_samples(sense: Sense, weight: float, generator: Generator) -> Share:
    """By Hutchinson's probes (Bekas, Kokiopoulou & Saad, Appl. Numer. Math. 57:1214, 2007): the diagonal of B is the mean of
    conj(v) * B v over random v of modulus 1, here B = (A^H A + l)^-1 A^H A by conjugate gradients."""
    shape = sense.maps.shape[1:]
    total = torch.zeros(shape, device=sense.maps.device)
    for _ in range(PROBES):
        turns = torch.randint(4, shape, generator=generator)
        probe = torch.polar(torch.ones(shape), turns * torch.pi / 2).to(total.device)
        solved = regularised_solution(sense, sense.gram(probe), None, weight, ITERATIONS)
        total += (probe.conj() * solved).real
    return total / PROBES
