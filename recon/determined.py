"""How much of each pixel the data determine, whatever the prior."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mri_ambient.physics.masks import mask_seed
from mri_ambient.physics.solvers import conjugate_gradient
from recon.problem import Problem

SPREAD = 0.5  # of a pixel before anything is measured, of the image's brightness; as the samplers' prior_spread
PROBES, ITERATIONS = 32, 30


@torch.no_grad()
def determined_share(problem: Problem, name: str, seed: int) -> Float[Tensor, "slice y x"]:
    """1 - diag((A^H A + l)^-1 l), l = (noise / SPREAD)^2; 0 where no coil sees.

    The diagonal is posterior variance over prior variance for a white Gaussian prior of SPREAD: the share is 1 where a
    pixel is known to the noise, 1/R with one coil and no more to go by. It depends on the mask, the coils and the noise, not
    on any learned prior, whose own certainty can't be trusted to say where it is guessing. Estimated by Hutchinson's probes
    (Bekas, Kokiopoulou & Saad, Appl. Numer. Math. 57:1214, 2007): the mean of conj(v) * B v over random v of modulus 1; its
    standard deviation at a pixel is about 1/sqrt(PROBES) of the aliasing that reaches it.
    """
    weight = (problem.noise / SPREAD) ** 2
    generators = [Generator().manual_seed(mask_seed(name, i, seed, "probes")) for i in range(len(problem.kspace))]
    support = problem.sense.support
    total = torch.zeros(support.shape)
    for _ in range(PROBES):
        turns = torch.stack([torch.randint(4, problem.matrix, generator=generator) for generator in generators])
        probe = torch.polar(torch.ones(turns.shape), turns * torch.pi / 2)
        start = torch.zeros_like(probe)
        solved = conjugate_gradient(
            lambda z: problem.sense.normal(z) + weight * z, problem.sense.normal(probe), start, ITERATIONS
        )
        total += (probe.conj() * solved).real
    return torch.where(support, total / PROBES, 0).clamp(0, 1)
