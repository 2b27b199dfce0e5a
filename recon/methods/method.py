"""What a method is: an object that says how it solves, with which priors, and by which settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass
from functools import partial
from typing import ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

from jaxtyping import Complex
from torch import Generator, Tensor

from mri_ambient.measurement import Images, Measurement
from mri_ambient.priors.card import Prior
from mri_ambient.recon.methods.denoising import Denoise, Masks, denoiser_for

Slices = Complex[Tensor, "slice v x"]
"""One image a slice."""

Generators = Sequence[Generator]
"""One a slice."""

Callback = Callable[[int, Images, Images], None]
"""Called after each step with (step, noisy images, denoised images)."""


@runtime_checkable
class Settings(Protocol):
    """Of a method: any frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]


@runtime_checkable
class SamplerSettings(Protocol):
    """What every sampler's settings say (:class:`mri_ambient.recon.methods.samplers.annealing.Annealing`)."""

    @property
    def masks(self) -> Masks: ...


S = TypeVar("S")
OfSampler = TypeVar("OfSampler", bound=SamplerSettings)
Solve = Callable[[Measurement, Prior | None, int, S, Generators, Callback], Images]
Sampler = Callable[[Denoise, Measurement, int, S, Generators, Callback], Images]
"""A posterior sampler: ``(denoise, measurement, samples, settings, generators, callback) -> images [k, slice, v, x]``."""


@dataclass(frozen=True)
class Method(Generic[S]):
    """A way to reconstruct.

    Attributes:
        solve: ``(measurement, prior, samples, settings, generators, callback) -> images [k, slice, v, x]``.
        settings: the default, a frozen dataclass; None if it has none.
        kinds: which kinds of prior it can use, the first by preference; none for classical methods.
        candidates: changes to the settings among which ``tune`` chooses; of classical methods factors of their regularisation.
        cost: how long a slice takes on a laptop. Beside others, of a method of minutes one sample is enough.
        needs_bart: whether it is run by BART's program.
    """

    solve: Solve[S]
    settings: S = None  # pyright: ignore[reportAssignmentType]
    kinds: tuple[Literal["image", "masked"], ...] = ()
    candidates: tuple[Mapping[str, float], ...] = ()
    cost: Literal["seconds", "minutes"] = "seconds"
    needs_bart: bool = False


def classical(solver: Callable[[Measurement, S], Slices], settings: S, needs_bart: bool = False) -> Method[S]:
    """A method of one answer, without a prior: ``solver(measurement, settings) -> images [slice, v, x]``."""
    return Method(partial(_solve_classically, solver), settings, needs_bart=needs_bart)


def sampling(
    sampler: Sampler[OfSampler],
    settings: OfSampler,
    *candidates: Mapping[str, float],
    cost: Literal["seconds", "minutes"] = "seconds",
) -> Method[OfSampler]:
    """A posterior sampler with either kind of prior."""
    return Method(partial(_solve_by_sampling, sampler), settings, ("image", "masked"), candidates, cost)


def _solve_classically(
    solver: Callable[[Measurement, S], Slices],
    measurement: Measurement,
    prior: Prior | None,
    samples: int,
    settings: S,
    generators: Generators,
    callback: Callback,
) -> Images:
    return solver(measurement, settings)[None]


def _solve_by_sampling(
    sampler: Sampler[OfSampler],
    measurement: Measurement,
    prior: Prior | None,
    samples: int,
    settings: OfSampler,
    generators: Generators,
    callback: Callback,
) -> Images:
    assert prior is not None
    denoise = denoiser_for(prior, measurement, settings.masks, samples, generators)
    return sampler(denoise, measurement, samples, settings, generators, callback)
