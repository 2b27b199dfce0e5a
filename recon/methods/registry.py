"""Every method by its name, and its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from mri_ambient.measurement import Images, Measurement
from mri_ambient.priors.card import Prior
from mri_ambient.recon.methods.classical import (
    CgSettings,
    L1WaveletSettings,
    Slices,
    TvSettings,
    cg_sense,
    l1_wavelet,
    tv,
    zero_filled,
)
from mri_ambient.recon.methods.classical_bart import (
    BartL1WaveletSettings,
    BartLlrSettings,
    BartTvSettings,
    bart_l1_wavelet,
    bart_llr,
    bart_tv,
)
from mri_ambient.recon.methods.denoising import denoiser_for
from mri_ambient.recon.methods.samplers.aald import AaldSettings, aald
from mri_ambient.recon.methods.samplers.adps import AdpsSettings, adps
from mri_ambient.recon.methods.samplers.annealing import Annealing, Callback, Generators
from mri_ambient.recon.methods.samplers.aos import aos
from mri_ambient.recon.methods.samplers.daps import DapsSettings, daps
from mri_ambient.recon.methods.samplers.dds import DdsSettings, dds
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings, mmps

Solve = Callable[[Measurement, Prior | None, int, Any, Generators, Callback], Images]


@dataclass(frozen=True)
class Method:
    """solve: a function ``(measurement, prior, samples, settings, generators, callback) -> images [k, slice, y, x]``.
    settings: a frozen dataclass, the default; None if it has none. kinds: which kinds of prior it can use, the first by
    preference; none for classical methods. candidates: changes to the settings among which ``tune`` chooses, of
    classical methods factors of their regularisation."""

    solve: Solve
    kinds: tuple[Literal["image", "masked"], ...] = ()
    settings: Any = None
    candidates: tuple[dict[str, Any], ...] = ()


def solve_classically(
    measurement: Measurement,
    prior: Prior | None,
    samples: int,
    settings: Any,
    generators: Generators,
    callback: Callback,
    *,
    solver: Callable[[Measurement, Any], Slices],
) -> Images:
    """A classical method has one answer."""
    return solver(measurement, settings)[None]


def solve_in_one_step(
    measurement: Measurement,
    prior: Prior | None,
    samples: int,
    settings: None,
    generators: Generators,
    callback: Callback,
) -> Images:
    """So has :func:`mri_ambient.recon.methods.samplers.aos.aos`."""
    assert prior is not None
    return aos(prior, measurement)


def solve_by_sampling(
    measurement: Measurement,
    prior: Prior | None,
    samples: int,
    settings: Annealing,
    generators: Generators,
    callback: Callback,
    *,
    sampler: Callable[..., Images],
) -> Images:
    """K samples by a function of :mod:`mri_ambient.recon.methods.samplers`."""
    assert prior is not None
    denoise = denoiser_for(prior, measurement, settings.masks, samples, generators, settings.precise)
    return sampler(denoise, measurement, samples, settings, generators, callback)


def classical(solver: Callable[[Measurement, Any], Slices], settings: Any) -> Method:
    return Method(partial(solve_classically, solver=solver), settings=settings)


def sampling(sampler: Callable[..., Images], settings: Annealing, *candidates: dict[str, Any]) -> Method:
    return Method(partial(solve_by_sampling, sampler=sampler), ("image", "masked"), settings, candidates)


METHODS: dict[str, Method] = {
    "zero-filled": classical(zero_filled, None),
    "cg-sense": classical(cg_sense, CgSettings()),
    "l1-wavelet": classical(l1_wavelet, L1WaveletSettings()),
    "tv": classical(tv, TvSettings()),
    "bart-l1-wavelet": classical(bart_l1_wavelet, BartL1WaveletSettings()),
    "bart-tv": classical(bart_tv, BartTvSettings()),
    "bart-llr": classical(bart_llr, BartLlrSettings()),
    "aos": Method(solve_in_one_step, ("masked",)),
    "dds": sampling(
        dds,
        DdsSettings(),
        {},
        {"sigma_max": 1.0},
        {"sigma_max": 0.4},
        {"sigma_min": 0.02},
        {"eta": 0.85},
        {"prior_spread": 0.25},
    ),
    "daps": sampling(
        daps,
        DapsSettings(),
        {},
        {"sigma_max": 2.0},
        {"sigma_max": 0.4},
        {"inner_spread": 0.5},
        {"inner_spread": 0.25},
        {"prior_spread": 0.25},
    ),
    "mmps": sampling(
        mmps,
        MmpsSettings(),
        {},
        {"sigma_max": 2.0},
        {"sigma_max": 0.4},
        {"eta": 0.85},
        {"order": 1},
        {"iterations": 5},
    ),
    "aald": sampling(
        aald,
        AaldSettings(),
        {},
        {"sigma_max": 2.0},
        {"sigma_max": 0.4},
        {"step_size": 0.1},
        {"step_size": 0.4},
        {"sigma_min": 0.03},
    ),
    "adps": sampling(
        adps,
        AdpsSettings(),
        {},
        {"step_size": 0.3},
        {"step_size": 3.0},
        {"sigma_max": 2.0},
        {"sigma_max": 2.0, "step_size": 0.3},
        {"sigma_max": 2.0, "step_size": 3.0},
    ),
}
