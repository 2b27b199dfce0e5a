"""Every method by its name: a function ``(problem, prior, samples, generators, callback) -> images [k, slice, y, x]``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from mri_ambient.priors.card import Prior
from recon.classical import Slices, cg_sense, l1_wavelet, zero_filled
from recon.denoising import denoiser_for
from recon.problem import Images, Problem
from recon.samplers.adps import AdpsSettings, adps
from recon.samplers.dds import DdsSettings, dds
from recon.samplers.noise import Callback, Generators

Solve = Callable[[Problem, Prior | None, int, Generators, Callback], Images]


@dataclass(frozen=True)
class Method:
    """kinds: which kinds of prior it can use, the first by preference; none for classical methods.
    steps: how often ``solve`` calls its callback, for the progress bar."""

    solve: Solve
    kinds: tuple[Literal["image", "masked"], ...] = ()
    steps: int = 1


def solve_classically(
    problem: Problem,
    prior: Prior | None,
    samples: int,
    generators: Generators,
    callback: Callback,
    *,
    solver: Callable[[Problem], Slices],
) -> Images:
    """A classical method has one answer."""
    return solver(problem)[None]


def solve_by_sampling(
    problem: Problem,
    prior: Prior | None,
    samples: int,
    generators: Generators,
    callback: Callback,
    *,
    sampler: Callable[..., Images],
    settings: Any,
) -> Images:
    """K samples by a function of :mod:`recon.samplers`."""
    assert prior is not None
    return sampler(denoiser_for(prior, problem), problem, samples, settings, generators, callback)


@torch.no_grad()
def solve_in_one_step(
    problem: Problem, prior: Prior | None, samples: int, generators: Generators, callback: Callback
) -> Images:
    """A-OS (Aali et al., 2024): one call of the ambient denoiser on the scan's own lines, E[x | y, M]; no spread."""
    assert prior is not None
    sense = problem.sense
    return prior.denoiser.from_measurements(problem.kspace, sense.maps, sense.mask, problem.noise_std)[None]


METHODS: dict[str, Method] = {
    "zero-filled": Method(partial(solve_classically, solver=zero_filled)),
    "cg-sense": Method(partial(solve_classically, solver=cg_sense)),
    "l1-wavelet": Method(partial(solve_classically, solver=l1_wavelet)),
    "aos": Method(solve_in_one_step, ("masked",)),
    "dds": Method(
        partial(solve_by_sampling, sampler=dds, settings=DdsSettings()), ("image", "masked"), DdsSettings().steps
    ),
    "adps": Method(
        partial(solve_by_sampling, sampler=adps, settings=AdpsSettings()), ("image", "masked"), AdpsSettings().steps
    ),
}
