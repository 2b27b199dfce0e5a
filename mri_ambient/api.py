"""What the package does, for Python: the stages composed, with the words and the numbers of the command."""

from pathlib import Path
from typing import Literal, TypedDict, Unpack

import numpy as np
from torch import Tensor

from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.own import OwnDenoiser
from mri_ambient.recon.choices import COMPANIONS, Choices
from mri_ambient.recon.result import Result, read_result
from mri_ambient.recon.run_methods import run_methods
from mri_ambient.store import PreparedVolume
from mri_ambient.workflows.opening import made_ready

__all__ = ["load_prior", "prepare", "read_result", "read_scan", "reconstruct"]

ScanLike = Scan | PreparedVolume | str | Path | np.ndarray | Tensor
"""A scan, a prepared volume, the path of either, or k-space as :meth:`Scan.from_arrays` takes it."""

PriorLike = str | Path | Prior | OwnDenoiser | None
"""``bundled``, a prior's or a run's folder, a prior, a function (images, sigma) -> images; None: the newest finished run's, else
the bundled one."""


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


def prepare(scan: ScanLike, accel: float | None = None, **options: Unpack[PrepareOptions]) -> PreparedVolume:
    """A raw scan, whitened, compressed, normalised, with its coil maps: what methods and training take.

    Args:
        scan: a scan, a path, or k-space, complex [coil, y, x] or [slice, coil, y, x].
        accel: R, to undersample a complete scan; None keeps the scan's own sampling.
        **options: mask, acs, maps, coils, whiten, map_sets.

    Raises:
        UserError: the scan can't be used; says why, and what to do.

    Example:
        >>> import mri_ambient as ma
        >>> volume = ma.prepare(ma.simulate(matrix=48, slices=1, seed=1), accel=3, acs=8)
        >>> volume.kspace.shape
        torch.Size([1, 8, 48, 48])
    """
    opened, settings = _opened(scan, accel, options)
    return made_ready(opened, settings)[0]


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
        >>> prior.denoise(torch.zeros(2, 64, 64, dtype=torch.complex64), sigma=0.1).shape
        torch.Size([2, 64, 64])
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
        prior: ``bundled``, a folder, a :class:`Prior`, or any function (images, sigma) -> images, complex64 [n, y, x] and float32
            [n, 1, 1], in units of the normalised image.
        samples: K, posterior samples.
        accel: R, to undersample a complete scan, whose errors are then known; None keeps the scan's own sampling.
        device: auto (the accelerator, if there is one), cpu, cuda or mps.
        seed: of every draw.
        **options: those of :class:`ReconstructOptions`, and of :func:`prepare` for raw scans.

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
    of_methods: ReconstructOptions = {}
    for name in ReconstructOptions.__annotations__.keys() - PrepareOptions.__annotations__.keys():
        if name in options:
            of_methods[name] = options.pop(name)
    if samples < 1:
        raise UserError(f"samples {samples}: has to be at least 1")
    opened, settings = _opened(scan, accel, options)
    tuned = of_methods.get("tuned")
    choices = Choices(
        methods=tuple(dict.fromkeys((*of_methods.get("beside", COMPANIONS), method))),
        kept=method,
        prior=Path(prior) if isinstance(prior, str | Path) else None,
        samples=samples,
        tuned=None if tuned is None else Path(tuned),
        seed=seed,
        magnitude=of_methods.get("reference", "mvue"),
        force_model=of_methods.get("force_model", False),
        device=device,
    )
    tools = tools_of(choices, prior, opened, of_methods.get("pixel_mm"))
    return run_methods(*made_ready(opened, settings, choices.magnitude), choices, tools)
