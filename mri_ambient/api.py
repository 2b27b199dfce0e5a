"""What the package does, for Python: the stages composed, with the words and the numbers of the command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import numpy as np
from torch import Tensor

from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings
from mri_ambient.data_prep.simulation.simulate import simulate as simulated
from mri_ambient.errors import UserError
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.own import OwnDenoiser, own_prior
from mri_ambient.priors.runs import prior_folder
from mri_ambient.recon.choices import COMPANIONS, Choices
from mri_ambient.recon.result import Result, read_result
from mri_ambient.recon.run_methods import run_methods, tools_for
from mri_ambient.store import PreparedVolume
from mri_ambient.training.run_config import RunOptions
from mri_ambient.workflows.comparing import CompareSettings, TuneSettings, compare, tune
from mri_ambient.workflows.learning import train_run
from mri_ambient.workflows.opening import Opened, checked, made_ready, read

__all__ = [
    "CompareSettings",
    "Prior",
    "Result",
    "Scan",
    "TuneSettings",
    "compare",
    "load_prior",
    "prepare",
    "read_result",
    "read_scan",
    "reconstruct",
    "simulate",
    "train",
    "tune",
]

ScanLike = Scan | PreparedVolume | str | Path | np.ndarray | Tensor
"""A scan, a prepared volume, the path of either, or k-space as :meth:`Scan.from_arrays` takes it."""

PriorLike = str | Path | Prior | OwnDenoiser | None
"""``bundled``, a prior's or a run's folder, a prior, a function (images, sigma) -> images; None: the newest finished run's."""


class PrepareOptions(TypedDict, total=False):
    """How a raw scan is prepared: see :class:`mri_ambient.data_prep.prepare.PrepareSettings`."""

    mask: str
    acs: int | None
    maps: str | None
    coils: int | None
    whiten: str
    map_sets: str


class ReconstructOptions(PrepareOptions, total=False):
    """Also of :func:`reconstruct`.

    Attributes:
        beside: methods that are run for comparison, in this order; by default zero-filled and l1-wavelet, ``()`` for none.
        tuned: the path of settings found by ``tune``; None: those beside the prior.
        reference: magnitudes, and what errors are measured against: mvue (coil-combined) or rss.
        force_model: reconstruct even where the coil maps are far from explaining the scan.
        pixel_mm: (y, x), the pixel at which the caller's own denoiser was trained.
    """

    beside: tuple[str, ...]
    tuned: Path | str | None
    reference: Literal["mvue", "rss"]
    force_model: bool
    pixel_mm: tuple[float, float] | None


class SimulateOptions(TypedDict, total=False):
    """What is simulated: see :class:`mri_ambient.data_prep.simulation.simulate.SimulateSettings`."""

    matrix: int
    slices: int
    coils: int
    snr: float
    seed: int
    anatomy: str | None
    contrasts: tuple[str, ...]
    off_resonance: bool
    wrap: float


class TrainOptions(TypedDict, total=False):
    """How a prior is learned: see :class:`mri_ambient.training.run_config.RunOptions`.

    Attributes:
        accel: R, one or several.
        init: a prior or a run, or ``bundled``, whose weights the stages of its kinds start from.
        config: all settings in YAML, which the others overrule.
        device: auto, cpu, cuda or mps.
    """

    accel: float | Sequence[float]
    mask: str
    loss: str
    denoiser: str
    laps: int
    images: int
    seed: int
    init: str | Path
    config: str | Path
    device: str


def prepare(scan: ScanLike, accel: float | None = None, **options: Unpack[PrepareOptions]) -> PreparedVolume:
    """A raw scan, whitened, compressed, normalised, with its coil maps: what methods and training take.

    Args:
        scan: a scan, a path, or k-space, complex [coil, y, x] or [slice, coil, y, x].
        accel: R, to undersample a complete scan; None keeps the scan's own sampling.
        **options: those of :class:`PrepareOptions`.

    Raises:
        UserError: the scan can't be used; says why, and what to do.

    Example:
        >>> import mri_ambient as ma
        >>> volume = ma.prepare(ma.simulate(matrix=48, slices=1, seed=1), accel=3, acs=8)
        >>> tuple(volume.kspace.shape)
        (1, 8, 48, 48)
    """
    opened, settings = _opened(scan, accel, dict(options))
    return made_ready(opened, settings)[0]


def simulate(subject: int = 0, **settings: Unpack[SimulateOptions]) -> Scan:
    """A simulated scan of a head, complete and with noise, nothing downloaded.

    Args:
        subject: its number; each has its own anatomy and coils.
        **settings: those of :class:`SimulateOptions`.

    Raises:
        UserError: the anatomy can't be read, or a setting can't be.

    Example:
        >>> import mri_ambient as ma
        >>> scan = ma.simulate(matrix=32, slices=2, coils=4)
        >>> tuple(scan.kspace.shape), scan.fully_sampled
        ((2, 4, 32, 32), True)
    """
    _check_names(settings, SimulateOptions)
    return simulated(SimulateSettings(**settings), subject)


def load_prior(path: str | Path = "bundled", kind: Literal["image", "masked"] | None = None) -> Prior:
    """A prior, ready to be called.

    Args:
        path: ``bundled``, or the folder of a prior or of a run.
        kind: image (of whole images) or masked (of k-space behind a mask); None: an image prior if there is one.

    Raises:
        UserError: there is none.

    Example:
        >>> import torch, mri_ambient as ma
        >>> prior = ma.load_prior("bundled")
        >>> tuple(prior.denoise(torch.zeros(2, 64, 64, dtype=torch.complex64), sigma=0.1).shape)
        (2, 64, 64)
    """
    return find_prior((kind,) if kind else ("image", "masked"), Path(path))


def reconstruct(
    scan: ScanLike,
    method: str = "mmps",
    prior: PriorLike = "bundled",
    samples: int = 8,
    accel: float | None = None,
    device: str = "auto",
    seed: int = 0,
    **options: Unpack[ReconstructOptions],
) -> Result:
    """Reconstruct a scan, as ``mri-ambient recon`` does: the same words give the same numbers.

    Args:
        scan: a scan, a prepared volume, the path of either, or k-space, complex [coil, y, x] or [slice, coil, y, x].
        method: one of :data:`mri_ambient.recon.methods.registry.METHODS`.
        prior: ``bundled``, a folder, a :class:`Prior`, or any function (images, sigma) -> images, complex64 [n, y, x] and
            float32 [n, 1, 1], in units of the normalised image; None: the newest finished run's, else the bundled one.
        samples: K, posterior samples.
        accel: R, to undersample a complete scan, whose errors are then known; None keeps the scan's own sampling.
        device: auto (the accelerator, if there is one), cpu, cuda or mps.
        seed: of every draw.
        **options: those of :class:`ReconstructOptions`, and of :class:`PrepareOptions` for raw scans.

    Returns:
        The result: mean, std, samples, scores(), save(), report(), export().

    Raises:
        UserError: the scan, the prior or the device can't be used, or the coil maps are far from explaining the scan.

    Example:
        >>> import mri_ambient as ma
        >>> scan = ma.simulate(matrix=48, slices=1, seed=1)
        >>> result = ma.reconstruct(scan, method="cg-sense", accel=3, acs=8, beside=())
        >>> result.mean.shape, result.mean.dtype
        ((1, 48, 48), dtype('complex64'))
    """
    _check_names(options, ReconstructOptions)
    if samples < 1:
        raise UserError(f"samples {samples}: has to be at least 1")
    tuned = options.get("tuned")
    choices = Choices(
        methods=tuple(dict.fromkeys((*options.get("beside", COMPANIONS), method))),
        kept=method,
        prior=Path(prior) if isinstance(prior, str | Path) else None,
        samples=samples,
        tuned=None if tuned is None else Path(tuned),
        seed=seed,
        magnitude=options.get("reference", "mvue"),
        force_model=options.get("force_model", False),
        device=device,
    )
    of_scan = {name: value for name, value in options.items() if name in PrepareOptions.__annotations__}
    opened, settings = _opened(scan, accel, of_scan)
    in_hand = prior
    if in_hand is not None and not isinstance(in_hand, str | Path | Prior):
        rows, columns = opened.kspace.shape[-2:]
        in_hand = own_prior(in_hand, (rows, columns), options.get("pixel_mm"))
    tools = tools_for(choices, in_hand if isinstance(in_hand, Prior) else None)
    return run_methods(*made_ready(opened, settings, choices.magnitude, device), choices, tools)


def train(
    data: str | Path = "prepared", out: str | Path | None = None, resume: bool = False, **options: Unpack[TrainOptions]
) -> Prior:
    """Learn a prior from the measured lines of prepared volumes, as ``mri-ambient train`` does.

    Args:
        data: a folder of prepared volumes.
        out: the run's folder; None: runs/LOSS-DENOISER-rR.
        resume: continue a run that was stopped.
        **options: those of :class:`TrainOptions`.

    Returns:
        The run's prior.

    Raises:
        UserError: there is nothing to train on, or a setting can't be; told before the first step.
    """
    _check_names(options, TrainOptions)
    accel = options.get("accel")
    accels = tuple(accel) if isinstance(accel, Sequence) else None if accel is None else (accel,)
    init, config = options.get("init"), options.get("config")
    run_options = RunOptions(
        data=Path(data),
        accel=accels,
        mask=options.get("mask"),
        loss=options.get("loss"),
        denoiser=options.get("denoiser"),
        laps=options.get("laps"),
        images=options.get("images"),
        seed=options.get("seed"),
        init=prior_folder(Path(init)) if init else None,
    )
    folder = None if out is None else Path(out)
    return train_run(run_options, Path(config) if config else None, folder, resume, options.get("device", "auto"))[0]


def _opened(scan: ScanLike, accel: float | None, options: Mapping[str, object]) -> tuple[Opened, PrepareSettings]:
    """The scan, and how it is prepared. Raises UserError if they don't go together."""
    _check_names(options, PrepareOptions)
    settings = PrepareSettings(accel=accel, **options)  # pyright: ignore[reportArgumentType]
    if isinstance(scan, str | Path):
        return read(Path(scan), settings), settings
    if isinstance(scan, np.ndarray | Tensor):
        scan = Scan.from_arrays(scan)
    return checked(scan, settings, scan.name), settings


def _check_names(options: Mapping[str, object], known: type) -> None:
    for name in options.keys() - known.__annotations__.keys():
        raise UserError(f"{name}: is no option here; there are {', '.join(known.__annotations__)}")
