"""From arrays to a Scan: the checks that every format shares."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from data_prep.readers.header import Header
from data_prep.scan import Scan
from mri_ambient.errors import UserError

STRAY = 0.1  # of the samples of a 2-D mask: so many may be 0 by chance, as integer data have it
HELP = "store it as complex (slice, coil, y, x), y the readout"


def make_scan(
    path: Path,
    format: str,
    kspace: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    header: Header | None = None,
    noise: np.ndarray | None = None,
    sens_maps: np.ndarray | None = None,
    subject: str | None = None,
    notes: tuple[str, ...] = (),
    simulated: bool = False,
) -> Scan:
    """Check ``kspace`` [slice, coil, y, x] and what came with it. Raises UserError in one sentence.

    mask: ``[x]`` or ``[y or 1, x]``; without it, and within it, what is not exactly zero was measured. noise: ``[coil, n]``.
    """
    if kspace.ndim != 4:
        raise UserError(f"{path}: `kspace` has {kspace.ndim} dimensions {kspace.shape}; {HELP}")
    if kspace.dtype.kind != "c":
        raise UserError(f"{path}: `kspace` is {kspace.dtype}, not complex; store complex64 raw data")
    if 0 in kspace.shape:
        raise UserError(f"{path}: `kspace` is empty, shape {kspace.shape}; export the scan again")
    header = header or Header()
    samples = _complex(kspace)
    there = torch.zeros(len(samples), *samples.shape[-2:], dtype=torch.bool)
    for index, image in enumerate(samples):  # slice by slice: a volume's temporaries would be as large as the volume
        peak = image.abs().amax(0)
        if not torch.isfinite(peak).all():
            raise UserError(f"{path}: `kspace` has NaN or infinite entries; export the scan again without them")
        there[index] = peak > 0
    measured = there.any(0)
    if not measured.any():
        raise UserError(f"{path}: `kspace` is zero everywhere; export the scan again")
    coils = samples.shape[1]
    if noise is not None and (noise.ndim != 2 or len(noise) != coils or noise.dtype.kind != "c"):
        raise UserError(
            f"{path}: `noise` is {noise.dtype} of shape {noise.shape}; store it complex, [coil, sample], with {coils} coils"
        )
    if noise is not None and not np.isfinite(noise).all():
        raise UserError(f"{path}: `noise` has NaN or infinite entries; measure it again, or remove it")

    acquired = torch.zeros(measured.shape[-1], dtype=torch.bool)
    first, last = header.limits or (0, len(acquired) - 1)
    acquired[first : last + 1] = True
    sampled = _line_or_sample_mask(measured) & acquired
    if mask is not None:
        own = _own_mask(path, mask, measured)
        if (own & ~sampled).any():
            notes = (*notes, "the mask also names samples that are 0 in every coil: they were not measured")
        sampled = sampled & own
    _check_one_pattern(path, there, sampled)
    if sens_maps is not None:
        _check_maps(path, sens_maps, tuple(samples.shape), header if len(sampled) == 1 else Header())
    return Scan(
        path=path,
        format=format,
        kspace=samples,
        mask=sampled,
        acquired=_without_padding(acquired, sampled),
        recon_rows=header.rows,
        field_of_view=header.field_of_view,
        noise=None if noise is None else _complex(noise),
        sens_maps=None if sens_maps is None else _complex(sens_maps),
        subject=subject,
        notes=header.notes + notes,
        simulated=simulated,
    )


def _complex(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.complex64))


def _own_mask(path: Path, stored: np.ndarray, measured: Bool[Tensor, "y x"]) -> Bool[Tensor, "#y x"]:
    mask = torch.from_numpy(np.atleast_2d(stored).astype(bool))
    if mask.ndim != 2 or mask.shape[-1] != measured.shape[-1] or mask.shape[0] not in (1, measured.shape[0]):
        raise UserError(
            f"{path}: `mask` has shape {stored.shape}, which does not fit k-space of {tuple(measured.shape)}; "
            "store one entry a column, or one a sample"
        )
    if not (mask & measured).any():
        raise UserError(f"{path}: `mask` keeps no measured sample; check which axis it describes")
    return mask[:1] if bool((mask == mask[:1]).all()) else mask


def _check_one_pattern(path: Path, there: Bool[Tensor, "slice y x"], sampled: Bool[Tensor, "#y x"]) -> None:
    """Raises UserError if a slice lacks what the scan has as a whole: a line, or many of the samples of a 2-D mask."""
    by_line = len(sampled) == 1
    found, wanted = (there.any(1), sampled[0]) if by_line else (there, sampled)
    allowed, what = (0, "lines") if by_line else (STRAY * int(wanted.sum()), "samples")
    for index, own in enumerate(found):
        missing = int((wanted & ~own).sum())
        if own.any() and missing > allowed:
            raise UserError(
                f"{path}: slice {index} lacks {missing} {what} that other slices have, and a scan has one sampling pattern "
                "here; store slices of one pattern as a scan of their own"
            )


def _line_or_sample_mask(measured: Bool[Tensor, "y x"]) -> Bool[Tensor, "#y x"]:
    """One row if whole lines are measured; a stray zero (of integer data) does not make a measured line unmeasured."""
    lines = measured.any(0)
    return lines[None] if bool((measured[:, lines].float().mean(0) > 0.9).all()) else measured


def _without_padding(acquired: Bool[Tensor, " x"], mask: Bool[Tensor, "#y x"]) -> Bool[Tensor, " x"]:
    """Zero columns at the edges of an otherwise complete k-space are padding, not something left unmeasured."""
    lines = mask.any(0).nonzero()
    inside = torch.zeros_like(acquired)
    inside[int(lines.min()) : int(lines.max()) + 1] = True
    return acquired & inside if bool(mask[:, inside].all()) else acquired


def _check_maps(path: Path, maps: np.ndarray, shape: tuple[int, ...], header: Header) -> None:
    """Of k-space's shape, or with the readout's oversampling removed already, if the data's can be."""
    slices, coils, rows, columns = shape
    heights = {rows, header.rows or rows}
    if maps.shape not in [(slices, coils, height, columns) for height in heights] or maps.dtype.kind != "c":
        raise UserError(
            f"{path}: `sens_maps` is {maps.dtype} of shape {maps.shape}, which does not fit k-space of {shape}; "
            "store complex maps of that shape, or pass --maps espirit"
        )
    if not np.isfinite(maps).all() or not np.abs(maps).any():
        raise UserError(f"{path}: `sens_maps` is zero everywhere, or not finite; pass --maps espirit to estimate them")
