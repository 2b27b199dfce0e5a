"""From arrays to a Scan: the checks that every format shares."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from data_prep.readers.centre import check_is_kspace, find_centre, find_half_turn
from data_prep.readers.geometry import believable
from data_prep.readers.header import Header
from data_prep.readers.layout import HELP
from data_prep.readers.sampling import find_leftovers, find_sampling, notes_of, without_padding
from data_prep.readers.scaling import check_no_spike, in_sane_units
from data_prep.scan import Scan
from mri_ambient.errors import UserError

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
    samples, factor, said = in_sane_units(path, kspace)
    notes += said
    power = torch.stack(
        [image.abs().square().sum(0) for image in samples]
    )  # by slice: temporaries as large as a volume
    check_no_spike(path, power)
    coils = samples.shape[1]
    if noise is not None:
        _check_noise(path, noise, coils)
        noise = noise * factor
    if mask is None and (leftovers := find_leftovers(path, power)):
        samples, power = torch.where(leftovers.kept, samples, 0), torch.where(leftovers.kept, power, 0)
        notes += leftovers.notes
    check_is_kspace(path, samples[int(power.sum((1, 2)).argmax())])
    stored = None if mask is None else _own_mask(path, mask, (power > 0).any(0))
    centre = find_centre(path, power if stored is None else power * stored)
    notes += centre.notes
    for axis in (axis - 2 for axis in (0, 1) if centre.roll[axis]):
        half = power.shape[axis] // 2
        samples, power = samples.roll(half, axis), power.roll(half, axis)
        stored = stored if stored is None or stored.shape[axis] == 1 else stored.roll(half, axis)
    found = find_sampling((power > 0).any(0))
    if found.by_row:
        samples, power, maps = samples.mT.contiguous(), power.mT, sens_maps
        sens_maps = None if maps is None else maps.swapaxes(-1, -2)
        stored = None if mask is None else _own_mask(path, mask if mask.ndim == 1 else mask.T, (power > 0).any(0))
        found = find_sampling((power > 0).any(0))
        notes += ("its lines run along x: k-space is turned, and so are images of it (transposed)",)
    there = power > 0

    acquired = torch.zeros(samples.shape[-1], dtype=torch.bool)
    first, last = header.limits or (0, len(acquired) - 1)
    acquired[first : last + 1] = True
    sampled = found.mask & acquired
    if stored is not None:
        if (stored & ~(sampled if len(stored) > 1 else sampled.any(0))).any():
            notes = (*notes, "the mask also names samples that are 0 in every coil: they were not measured")
        sampled = sampled & stored
    if not sampled.any():
        raise UserError(
            f"{path}: the header's phase encodes, {first} to {last}, leave out all that was measured; correct it"
        )
    _check_one_pattern(path, there, sampled)
    known = header.limits is not None
    acquired = without_padding(acquired, sampled, known)
    if not known and (mask is None or mask.ndim == 1):
        notes += notes_of(acquired, sampled)
    half_turns = find_half_turn(samples, sampled.expand(samples.shape[-2:]))
    for axis, size in ((axis - 2, samples.shape[axis - 2]) for axis in (0, 1) if half_turns[axis]):
        if sens_maps is not None:
            raise UserError(
                f"{path}: the object lies across the image's edge, half a field of view off, and which of k-space and "
                "`sens_maps` is shifted can't be told; multiply k-space by (-1)^(y + x), or remove the maps"
            )
        sign = 1 - 2 * ((torch.arange(size) - size // 2) % 2).float()
        samples = samples * (sign if axis == -1 else sign[:, None])
        notes += (
            f"images lay half a field of view off along {'yx'[axis]}: k-space is multiplied by (-1)^{'yx'[axis]}",
        )
    kept = header.rows or samples.shape[-2], samples.shape[-1]
    field_of_view, said = believable(header.field_of_view, kept)
    notes += said
    if sens_maps is not None:
        _check_maps(path, sens_maps, tuple(samples.shape), header if len(sampled) == 1 else Header())
    return Scan(
        path=path,
        format=format,
        kspace=samples,
        mask=sampled,
        acquired=acquired,
        recon_rows=header.rows,
        field_of_view=field_of_view,
        noise=None if noise is None else _complex(noise),
        sens_maps=None if sens_maps is None else _complex(sens_maps),
        subject=subject,
        notes=header.notes + notes,
        simulated=simulated,
    )


def _complex(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.complex64))


def _check_noise(path: Path, noise: np.ndarray, coils: int) -> None:
    if noise.ndim != 2 or len(noise) != coils or noise.dtype.kind != "c":
        raise UserError(
            f"{path}: `noise` is {noise.dtype} of shape {noise.shape}; store it complex, [coil, sample], with {coils} coils"
        )
    if not np.isfinite(noise).all():
        raise UserError(f"{path}: `noise` has NaN or infinite entries; measure it again, or remove it")


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
    by_line = len(sampled) == 1 or bool((sampled[sampled.any(1)] == sampled.any(0)).all())
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
