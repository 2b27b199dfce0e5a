"""What the package does, for Python: the stages composed, with the words and the numbers of the command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, Unpack

import numpy as np
from torch import Tensor

from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readout import target_rows
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings
from mri_ambient.data_prep.simulation.simulate import simulate as simulated
from mri_ambient.devices import single_precision
from mri_ambient.errors import UserError
from mri_ambient.files import as_path
from mri_ambient.lists import as_accels, as_names
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.own import OwnDenoiser, own_prior
from mri_ambient.priors.runs import prior_folder
from mri_ambient.processes import Spread
from mri_ambient.recon.choices import COMPANIONS, Choices
from mri_ambient.recon.evaluate.compare import Comparison
from mri_ambient.recon.result import Result, read_result
from mri_ambient.recon.run_methods import run_methods, tools_for
from mri_ambient.store import PreparedVolume
from mri_ambient.training.run_config import RunOptions
from mri_ambient.words import (
    CompareOptions,
    Count,
    Number,
    PrepareOptions,
    ReconstructOptions,
    SimulateOptions,
    TrainOptions,
    TuneOptions,
    checked,
)
from mri_ambient.workflows.comparing import CompareSettings, TuneSettings, Tuning, compare_scans, tune_methods
from mri_ambient.workflows.learning import train_run
from mri_ambient.workflows.opening import Opened, fitting, made_ready, read

__all__ = [
    "Prior",
    "Result",
    "Scan",
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


class _Prepare(PrepareOptions, total=False):
    accel: Number | None
    device: str


class _Reconstruct(ReconstructOptions, _Prepare):
    method: str
    samples: Count
    seed: int


Words = TypeVar("Words")


@single_precision()
def prepare(
    scan: ScanLike, accel: float | None = None, device: str = "auto", **options: Unpack[PrepareOptions]
) -> PreparedVolume:
    """A raw scan, whitened, compressed, normalised, with its coil maps: what methods and training take.

    Args:
        scan: a scan, a path, or k-space, complex [coil, y, x] or [slice, coil, y, x].
        accel: R, to undersample a complete scan; None keeps the scan's own sampling.
        device: where coil maps are estimated: auto (the accelerator, if there is one), cpu, cuda or mps.
        **options: those of :class:`PrepareOptions`.

    Raises:
        UserError: the scan can't be used; says why, and what to do.

    Example:
        >>> import mri_ambient as ma
        >>> volume = ma.prepare(ma.simulate(matrix=48, slices=1, seed=1), accel=3, acs=8)
        >>> tuple(volume.kspace.shape)
        (1, 8, 48, 48)
    """
    opened, settings = _opened(scan, _checked_words({**options, "accel": accel, "device": device}, _Prepare))
    return made_ready(opened, settings, device=device)[0]


@single_precision()
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
    words = checked(settings, SimulateOptions)
    contrasts = tuple(as_names(settings.get("contrasts", ())))
    given = SimulateSettings(**words | {"contrasts": contrasts})  # pyright: ignore[reportArgumentType]
    return simulated(given, subject)


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
    return find_prior((kind,) if kind else ("image", "masked"), as_path(path))


@single_precision()
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
    named = {"accel": accel, "device": device, "method": method, "samples": samples, "seed": seed}
    words = _checked_words({**options, **named}, _Reconstruct)
    magnitude, tuned = options.get("reference", "mvue"), options.get("tuned")
    choices = Choices(
        methods=tuple(dict.fromkeys((*as_names(options.get("beside", COMPANIONS)), method))),
        kept=method,
        prior=Path(prior) if isinstance(prior, str | Path) else None,
        samples=words["samples"],
        tuned=None if tuned is None else Path(tuned),
        seed=words["seed"],
        magnitude=magnitude,
        force_model=options.get("force_model", False),
        device=device,
    )
    opened, settings = _opened(scan, words)
    in_hand, pixel = prior, options.get("pixel_mm")
    if in_hand is not None and not isinstance(in_hand, str | Path | Prior):
        in_hand = own_prior(in_hand, _matrix_of(opened), pixel_of(pixel, opened))
    elif pixel is not None:
        raise UserError("pixel_mm: is for a denoiser of your own; the prior that is chosen knows its pixel")
    tools = tools_for(choices, in_hand if isinstance(in_hand, Prior) else None)
    return run_methods(*made_ready(opened, settings, choices.magnitude, device), choices, tools)


@single_precision()
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

    Example:
        >>> import mri_ambient as ma
        >>> for subject in range(2):
        ...     scan = ma.simulate(subject, matrix=32, slices=1, coils=2)
        ...     ma.prepare(scan, acs=8).save(f"prepared/{scan.name}.h5")
        >>> ma.train("prepared", "run", accel=2, images=16, laps=0).card.kind
        'masked'
    """
    options = checked(options, TrainOptions)
    accels = as_accels(options["accel"]) if "accel" in options else None
    init, config = options.get("init"), options.get("config")
    run_options = RunOptions(
        data=as_path(data),
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


@single_precision()
def compare(path: str | Path, out: str | Path = "comparison", **options: Unpack[CompareOptions]) -> Comparison:
    """All methods at all R on fully sampled scans, as ``mri-ambient compare`` does: CSV, figures and a page in ``out``.

    A rerun repeats nothing that is finished. A scan that can't be used, or a method that fails on one, is reported and the rest
    go on. More than one worker needs the usual ``if __name__ == "__main__":`` in a script.

    Args:
        path: a folder of fully sampled raw scans, or one scan.
        out: the folder to write.
        **options: those of :class:`CompareOptions`.

    Returns:
        The rows, what failed, and what was compared.

    Raises:
        UserError: no scan can be used, a method or a prior is not there, or ``out`` holds another comparison.

    Example:
        >>> import mri_ambient as ma
        >>> from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
        >>> scans = simulate_folder(Path("raw"), 1, SimulateSettings(matrix=48, slices=1, coils=4))
        >>> found = ma.compare("raw", accel=2, methods="zero-filled, cg-sense")
        >>> [row.method for row in found.rows], found.failed
        (['zero-filled', 'cg-sense'], [])
    """
    options = checked(options, CompareOptions)
    priors, tuned = options.get("prior", ()), options.get("tuned")
    settings = CompareSettings(
        accels=as_accels(options.get("accel", (2, 4, 6, 8))),
        methods=tuple(as_names(options.get("methods", ()))),
        priors=tuple(map(Path, [priors] if isinstance(priors, str | Path) else priors)),
        samples=options.get("samples", 8),
        slices=options.get("slices"),
        mask=options.get("mask", "random"),
        lesions=options.get("lesions", False),
        tuned=None if tuned is None else Path(tuned),
        magnitude=options.get("reference", "mvue"),
        seed=options.get("seed", 0),
        device=options.get("device", "auto"),
        spread=Spread(options.get("workers", 0), options.get("dask")),
        force=options.get("force", False),
    )
    return compare_scans(as_path(path), as_path(out), settings)


@single_precision()
def tune(path: str | Path, out: str | Path | None = None, **options: Unpack[TuneOptions]) -> Tuning:
    """Every method's settings chosen on validation scans, as ``mri-ambient tune`` does.

    Args:
        path: a folder of raw scans, none of them to be tested on, or one scan.
        out: the file to write; None: tuned.json beside the prior, in the working folder for the bundled one.
        **options: those of :class:`TuneOptions`.

    Returns:
        What was chosen, its file, and what failed.

    Raises:
        UserError: no scan can be used, a method or a prior is not there, or the file exists.

    Example:
        >>> import mri_ambient as ma
        >>> from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
        >>> scans = simulate_folder(Path("validation"), 1, SimulateSettings(matrix=48, slices=1, coils=4))
        >>> list(ma.tune("validation", "tuned.json", accel=2, methods="cg-sense").tuned.methods)
        ['cg-sense']
    """
    options = checked(options, TuneOptions)
    prior = options.get("prior")
    settings = TuneSettings(
        accels=as_accels(options.get("accel", (4, 8))),
        methods=tuple(as_names(options.get("methods", ()))),
        prior=None if prior is None else Path(prior),
        samples=options.get("samples", 4),
        slices=options.get("slices"),
        mask=options.get("mask", "random"),
        seed=options.get("seed", 0),
        device=options.get("device", "auto"),
        spread=Spread(options.get("workers", 0), options.get("dask")),
        force=options.get("force", False),
    )
    return tune_methods(as_path(path), None if out is None else as_path(out), settings)


def _checked_words(words: Mapping[str, object], known: type[Words]) -> Words:
    """The words by which a scan is prepared, and others. Raises UserError if one can't be, or is an array."""
    for name in ("mask", "maps"):
        if not isinstance(words.get(name), str | None):
            raise UserError(f"{name}: is an array here; make a scan of it, ma.Scan.from_arrays(kspace, {name}=...)")
    found = checked(words, known)
    mask = words.get("mask", "random")
    if mask != "random" and words.get("accel") is None:
        raise UserError(f"mask {mask}: says how accel undersamples; give both, or neither")
    return found


def _opened(scan: ScanLike, words: _Prepare) -> tuple[Opened, PrepareSettings]:
    """The scan, and how it is prepared. Raises UserError if they don't go together."""
    of_scan = {
        name: value for name, value in words.items() if name == "accel" or name in PrepareOptions.__annotations__
    }
    settings = PrepareSettings(**of_scan)  # pyright: ignore[reportArgumentType]
    if isinstance(scan, str | Path):
        return read(Path(scan), settings), settings
    if isinstance(scan, np.ndarray | Tensor):
        scan = Scan.from_arrays(scan)
    if not isinstance(scan, Scan | PreparedVolume):
        raise UserError(
            f"scan: is a {type(scan).__name__}; pass a scan, a prepared volume, the path of either, or k-space"
        )
    return fitting(scan, settings, scan.name), settings


def _matrix_of(scan: Opened) -> tuple[int, int]:
    """Of the images."""
    return target_rows(scan) if isinstance(scan, Scan) else scan.kspace.shape[-2], scan.kspace.shape[-1]


def pixel_of(given: float | tuple[float, float] | None, scan: Opened) -> tuple[float, float] | None:
    """(y, x) in mm. Raises UserError if the scan can't be brought to it."""
    if given is None:
        return None
    fov = scan.field_of_view if isinstance(scan, Scan) else scan.provenance["field_of_view_mm"]
    if fov is None:
        raise UserError(
            f"{scan.name}: doesn't state its field of view, which pixel_mm needs; pass fov_mm to Scan.from_arrays"
        )
    y, x = (given, given) if isinstance(given, int | float) else given
    if not (y > 0 and x > 0):
        raise UserError(f"pixel_mm {given}: has to be above 0")
    return float(y), float(x)
