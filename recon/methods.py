"""Every method by its name: a function ``(problem, prior, samples, generator, callback) -> images [k, y, x]``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Complex
from torch import Generator, Tensor

from mri_ambient.priors.card import Prior
from recon.classical import cg_sense, l1_wavelet, zero_filled
from recon.denoising import denoiser_for
from recon.posterior import AdpsSettings, Callback, DdsSettings, adps, dds
from recon.problem import Problem

Images = Complex[Tensor, "k y x"]
Solve = Callable[[Problem, Prior | None, int, Generator, Callback], Images]


@dataclass(frozen=True)
class Method:
    """kinds: which kinds of prior it can use, the first by preference; none for classical methods.
    steps: how often ``solve`` calls its callback for a slice, for the progress bar."""

    solve: Solve
    kinds: tuple[Literal["image", "masked"], ...] = ()
    steps: int = 1


def solve_classically(
    problem: Problem,
    prior: Prior | None,
    samples: int,
    generator: Generator,
    callback: Callback,
    *,
    solver: Callable[[Problem], Complex[Tensor, "y x"]],
) -> Images:
    """A classical method has one answer."""
    return solver(problem)[None]


def solve_by_dds(
    problem: Problem, prior: Prior | None, samples: int, generator: Generator, callback: Callback
) -> Images:
    """K posterior samples by :func:`recon.posterior.dds`."""
    assert prior is not None
    return dds(denoiser_for(prior, problem), problem, samples, DdsSettings(), generator, callback)


def solve_by_adps(
    problem: Problem, prior: Prior | None, samples: int, generator: Generator, callback: Callback
) -> Images:
    """K samples by the published :func:`recon.posterior.adps`."""
    assert prior is not None
    return adps(denoiser_for(prior, problem), problem, samples, AdpsSettings(), generator, callback)


@torch.no_grad()
def solve_in_one_step(
    problem: Problem, prior: Prior | None, samples: int, generator: Generator, callback: Callback
) -> Images:
    """A-OS (Aali et al., 2024): one call of the ambient denoiser on the scan's own lines, E[x | y, M]; no spread."""
    assert prior is not None
    sense = problem.sense
    noise = torch.tensor([problem.noise_std])
    return prior.denoiser.from_measurements(problem.kspace[None], sense.maps[None], sense.mask[None], noise)


METHODS: dict[str, Method] = {
    "zero-filled": Method(partial(solve_classically, solver=zero_filled)),
    "cg-sense": Method(partial(solve_classically, solver=cg_sense)),
    "l1-wavelet": Method(partial(solve_classically, solver=l1_wavelet)),
    "aos": Method(solve_in_one_step, ("masked",)),
    "dds": Method(solve_by_dds, ("image", "masked"), DdsSettings().steps),
    "adps": Method(solve_by_adps, ("image", "masked"), AdpsSettings().steps),
}
