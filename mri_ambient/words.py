"""The words that :mod:`mri_ambient.api` understands besides its first arguments, and how they are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from mri_ambient.errors import UserError

Options = TypeVar("Options")
Count = Annotated[int, Field(ge=1)]
Number = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Maps = Annotated[str, Field(pattern="^(joint|espirit|sigpy|bart|file)$")]
Whitening = Annotated[str, Field(pattern="^(auto|noise-scan|none)$")]
Sets = Annotated[str, Field(pattern="^(1|2|auto)$"), BeforeValidator(str)]


class PrepareOptions(TypedDict, total=False):
    """How a raw scan is prepared: see :class:`mri_ambient.data_prep.prepare.PrepareSettings`."""

    mask: str
    acs: Count | None
    maps: Maps | None
    coils: Count | None
    whiten: Whitening
    map_sets: Sets


class ReconstructOptions(PrepareOptions, total=False):
    """Also of :func:`reconstruct`.

    Attributes:
        beside: methods that are run for comparison, in this order; by default zero-filled and l1-wavelet, ``()`` for none.
        tuned: the path of settings found by ``tune``; None: those beside the prior.
        reference: magnitudes, and what errors are measured against: mvue (coil-combined) or rss.
        force_model: reconstruct even where the coil maps are far from explaining the scan.
        pixel_mm: (y, x) or one number, the pixel at which the caller's own denoiser was trained; the scan has to state its
            field of view.
    """

    beside: str | Sequence[str]
    tuned: Path | str | None
    reference: Literal["mvue", "rss"]
    force_model: bool
    pixel_mm: float | tuple[float, float] | None


class SimulateOptions(TypedDict, total=False):
    """What is simulated: see :class:`mri_ambient.data_prep.simulation.simulate.SimulateSettings`."""

    matrix: Annotated[int, Field(ge=32)]
    slices: Count
    coils: Count
    snr: Annotated[float, Field(gt=0)]
    seed: int
    anatomy: str | None
    contrasts: str | Sequence[str]
    off_resonance: bool
    wrap: Annotated[float, Field(ge=0)]


class TuneOptions(TypedDict, total=False):
    """What :func:`tune` tries.

    Attributes:
        accel: R, one or several.
        methods: names; by default all that this machine can run.
        prior: a folder, of a prior or a run; None: the newest finished run's, else the bundled one.
        samples: K.
        slices: only so many of each scan, the middle ones; None: all.
        mask: the kind of mask.
        seed: of every random number.
        device: auto, cpu, cuda or mps.
        workers: processes; 0: this one.
        dask: a Dask scheduler, tcp://host:8786.
        force: replace what is there.
    """

    accel: float | str | Sequence[float]
    methods: str | Sequence[str]
    prior: str | Path | None
    samples: Count
    slices: Count | None
    mask: str
    seed: int
    device: str
    workers: Annotated[int, Field(ge=0)]
    dask: str | None
    force: bool


class CompareOptions(TypedDict, total=False):
    """What :func:`compare` compares; what isn't named here is as in :class:`TuneOptions`.

    Attributes:
        prior: a folder, or several.
        lesions: also insert some: does their contrast return?
        tuned: the path of settings found by :func:`tune`; None: those beside the prior.
        reference: magnitudes, and what errors are measured against: mvue (coil-combined) or rss.
    """

    accel: float | str | Sequence[float]
    methods: str | Sequence[str]
    prior: str | Path | Sequence[str | Path]
    samples: Count
    slices: Count | None
    mask: str
    lesions: bool
    tuned: str | Path | None
    reference: Literal["mvue", "rss"]
    seed: int
    device: str
    workers: Annotated[int, Field(ge=0)]
    dask: str | None
    force: bool


class TrainOptions(TypedDict, total=False):
    """How a prior is learned: see :class:`mri_ambient.training.run_config.RunOptions`.

    Attributes:
        accel: R, one or several.
        init: a prior or a run, or ``bundled``, whose weights the stages of its kinds start from.
        config: all settings in YAML, which the others overrule.
        device: auto, cpu, cuda or mps.
    """

    accel: float | str | Sequence[float]
    mask: str
    loss: str
    denoiser: str
    laps: Annotated[int, Field(ge=0)]
    images: Count
    seed: int
    init: str | Path
    config: str | Path
    device: str


def checked(options: Mapping[str, object], known: type[Options]) -> Options:
    """The options of a TypedDict, numbers and arrays of numpy as Python's.

    Raises UserError if one is not among them, or can't be that.
    """
    for name in options.keys() - known.__annotations__.keys():
        raise UserError(f"{name}: is no option here; there are {', '.join(known.__annotations__)}")
    plain = {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in options.items()}
    try:
        return TypeAdapter(known).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        what = first["msg"].replace("Input should", "has to").replace("String should", "has to")
        raise UserError(f"{name} {plain[name]!r:.80}: {what[0].lower()}{what[1:]}; see help(mri_ambient)") from error
