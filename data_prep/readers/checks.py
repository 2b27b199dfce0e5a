"""From arrays to a Scan: the checks that every format shares."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from mri_ambient.data_prep.readers.header import Header
from mri_ambient.data_prep.readers.layout import HELP
from mri_ambient.data_prep.readers.looks import Raw, in_one_piece, look
from mri_ambient.data_prep.readers.sampling import find_sampling, notes_of, without_padding
from mri_ambient.data_prep.readers.scaling import check_no_spike, in_sane_units
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from mri_ambient.physics.masks import measured_band

STRAY = 0.1  # of the samples of a 2-D mask: so many may be 0 by chance, as integer data have it


def make_scan(
    path: Path,
    format: str,
    kspace: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    header: Header | None = None,
    noise: np.ndarray | None = None,
    sens_maps: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    subject: str | None = None,
    notes: tuple[str, ...] = (),
    simulated: bool = False,
) -> Scan:
    """Check ``kspace`` [slice, coil, y, x] and what came with it. Raises UserError in one sentence.

    mask: ``[x]`` or ``[y or 1, x]``; without it, and within it, what is not exactly zero was measured. noise: ``[coil, n]``.
    reference: of a reference scan, like ``kspace``.
    """
    if kspace.ndim != 4:
        raise UserError(f"{path}: `kspace` has {kspace.ndim} dimensions {kspace.shape}; {HELP}")
    if kspace.dtype.kind != "c":
        raise UserError(f"{path}: `kspace` is {kspace.dtype}, not complex; store complex64 raw data")
    if 0 in kspace.shape:
        raise UserError(f"{path}: `kspace` is empty, shape {kspace.shape}; export the scan again")
    header = header or Header()
    samples, factor, said = in_sane_units(path, kspace)
    separate = None if reference is None else _complex(reference * factor)
    raw = Raw(path, samples, None, separate, sens_maps is not None, notes=(*header.notes, *notes, *said))
    power = raw.power
    check_no_spike(path, power)
    if noise is not None:
        _check_noise(path, noise, samples.shape[1], float(power.max().sqrt()) / factor)
        noise = noise * factor
    if mask is not None:
        raw = replace(raw, mask=_own_mask(path, mask, (power > 0).any(0)))
    raw = look(raw)
    if raw.turned and sens_maps is not None:
        sens_maps = sens_maps.swapaxes(-1, -2)
    sampled, acquired, said = _sampling(raw, header)
    raw = in_one_piece(raw, sampled)
    shape = tuple(raw.kspace.shape)
    if sens_maps is not None:
        _check_maps(path, sens_maps, shape, header)
    return Scan(
        path=path,
        format=format,
        kspace=raw.kspace,
        mask=sampled,
        acquired=acquired,
        recon_rows=header.rows,
        field_of_view=header.field_of_view,
        noise=None if noise is None else _complex(noise),
        sens_maps=None if sens_maps is None else _complex(sens_maps),
        reference=raw.reference,
        subject=subject,
        notes=raw.notes + said,
        simulated=simulated,
    )


def _sampling(raw: Raw, header: Header) -> tuple[Bool[Tensor, "#y x"], Bool[Tensor, " x"], tuple[str, ...]]:
    """The scan's mask, which columns were to be acquired, and notes on both. Raises UserError if slices differ."""
    there = raw.power > 0
    acquired = torch.zeros(there.shape[-1], dtype=torch.bool)
    first, last = header.limits or (0, len(acquired) - 1)
    acquired[first : last + 1] = True
    sampled, notes = find_sampling(there.any(0)).mask & acquired, ()
    if raw.mask is not None:
        if (raw.mask & ~(sampled if len(raw.mask) > 1 else sampled.any(0))).any():
            notes = ("the mask also names samples that are 0 in every coil: they were not measured",)
        sampled = sampled & raw.mask
    if not sampled.any():
        raise UserError(
            f"{raw.path}: the header's phase encodes, columns {first} to {last}, leave out all that was measured; correct them"
        )
    _check_one_pattern(raw.path, there, sampled)
    known = header.limits is not None
    acquired = without_padding(acquired, sampled, known)
    if raw.mask is None or len(raw.mask) == 1:  # else the reader has told of it
        notes += notes_of(torch.ones_like(acquired) if known else acquired, sampled)
    return sampled, acquired, notes


def _complex(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.complex64))


def _check_noise(path: Path, noise: np.ndarray, coils: int, brightest: float) -> None:
    if noise.ndim != 2 or len(noise) != coils or noise.dtype.kind != "c":
        raise UserError(
            f"{path}: `noise` is {noise.dtype} of shape {noise.shape}; store it complex, [coil, sample], with {coils} coils"
        )
    if not np.isfinite(noise).all():
        raise UserError(f"{path}: `noise` has NaN or infinite entries; measure it again, or remove it")
    loudest = float(np.abs(noise.astype(complex)).max(initial=0))
    if loudest > 10 * brightest:
        raise UserError(
            f"{path}: `noise` reaches {loudest:.2g}, `kspace` only {brightest:.2g}; store both in the same units, or remove it"
        )


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
    by_line = measured_band(sampled) is not None
    found, wanted = (there.any(1), sampled.any(0)) if by_line else (there, sampled)
    allowed, what = (0, "lines") if by_line else (STRAY * int(wanted.sum()), "samples")
    for index, own in enumerate(found):
        missing = int((wanted & ~own).sum())
        if own.any() and missing > allowed:
            raise UserError(
                f"{path}: slice {index} lacks {missing} {what} that other slices have, and a scan has one sampling pattern "
                "here; store slices of one pattern as a scan of their own"
            )


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
