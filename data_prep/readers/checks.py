"""From arrays to a Scan: the checks that every format shares."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from mri_ambient.data_prep.geometry import Geometry
from mri_ambient.data_prep.readers.header import Header
from mri_ambient.data_prep.readers.layout import HELP
from mri_ambient.data_prep.readers.looks import Raw, in_one_piece, look
from mri_ambient.data_prep.readers.sampling import find_sampling, notes_of, without_padding
from mri_ambient.data_prep.readers.scaling import check_no_spike, in_sane_units
from mri_ambient.data_prep.scan import Scan, Source
from mri_ambient.errors import UserError
from mri_ambient.physics.masks import measured_band

STRAY = 0.1  # of the samples of a 2-D mask: so many may be 0 by chance, as integer data have it


@dataclass(frozen=True)
class Acquired:
    """What a reader hands over: arrays as they are stored, and what is said of them.

    Attributes:
        source: the file, or the name of arrays in memory: messages begin with it.
        format: what it was found to be.
        kspace: complex ``[slice, coil, y, x]``.
        mask: ``[x]`` or ``[y or 1, x]``; without it, and within it, what is not exactly zero was measured.
        header: what tells of the matrix and the field of view.
        noise: complex ``[coil, n]``.
        sens_maps: complex, like ``kspace``, or with the readout's oversampling removed.
        reference: of a reference scan, like ``kspace``.
        subject, geometry, notes, simulated: as in :class:`Scan`.
        noiseless: of a simulation, like ``kspace``.
    """

    source: Source
    format: str
    kspace: np.ndarray
    mask: np.ndarray | None = None
    header: Header | None = None
    noise: np.ndarray | None = None
    sens_maps: np.ndarray | None = None
    reference: np.ndarray | None = None
    subject: str | None = None
    geometry: Geometry | None = None
    notes: tuple[str, ...] = ()
    simulated: bool = False
    noiseless: np.ndarray | None = None


def make_scan(given: Acquired) -> Scan:
    """Look at k-space, and check what came with it. Raises UserError in one sentence."""
    source, header, kspace = given.source, given.header or Header(), given.kspace
    if kspace.ndim != 4:
        raise UserError(f"{source}: `kspace` has {kspace.ndim} dimensions {kspace.shape}; {HELP}")
    if kspace.dtype.kind != "c":
        raise UserError(f"{source}: `kspace` is {kspace.dtype}, not complex; give complex64 raw data")
    if 0 in kspace.shape:
        raise UserError(f"{source}: `kspace` is empty, shape {kspace.shape}; export the scan again")
    samples, factor, said = in_sane_units(source, kspace)
    reference = None if given.reference is None else _complex(given.reference * factor)
    notes = (*header.notes, *given.notes, *said)
    raw = Raw(source, samples, None, reference, given.sens_maps is not None, notes=notes)
    power = raw.power
    check_no_spike(source, power)
    noise, sens_maps = given.noise, given.sens_maps
    if noise is not None:
        _check_noise(source, noise, samples.shape[1], float(power.max().sqrt()) / factor)
        noise = noise * factor
    if given.mask is not None:
        raw = replace(raw, mask=_own_mask(source, given.mask, (power > 0).any(0)))
    raw = look(raw)
    view = header.field_of_view
    if raw.turned:
        view = view and (view[1], view[0])
        sens_maps = None if sens_maps is None else sens_maps.swapaxes(-1, -2)
    sampled, acquired, said = _sampling(raw, header)
    raw = in_one_piece(raw, sampled)
    if sens_maps is not None:
        _check_maps(source, sens_maps, tuple(raw.kspace.shape), header)
    return Scan(
        source=source,
        format=given.format,
        kspace=raw.kspace,
        mask=sampled,
        acquired=acquired,
        recon_rows=header.rows,
        field_of_view=view,
        noise=None if noise is None else _complex(noise),
        sens_maps=None if sens_maps is None else _complex(sens_maps),
        reference=raw.reference,
        subject=given.subject,
        geometry=given.geometry,
        notes=raw.notes + said,
        simulated=given.simulated,
        noiseless=_truth(given, raw.kspace),
    )


def _truth(given: Acquired, kspace: Tensor) -> Tensor | None:
    """That of a simulation, whose k-space was taken as it is."""
    if given.noiseless is None or given.noiseless.shape != kspace.shape:
        return None
    return _complex(given.noiseless) if np.array_equal(given.kspace, kspace.numpy()) else None


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
            f"{raw.source}: the header's phase encodes, columns {first} to {last}, leave out all that was measured; correct "
            "them"
        )
    _check_one_pattern(raw.source, there, sampled)
    known = header.limits is not None
    acquired = without_padding(acquired, sampled, known)
    if raw.mask is None or len(raw.mask) == 1:  # else the reader has told of it
        notes += notes_of(torch.ones_like(acquired) if known else acquired, sampled)
    return sampled, acquired, notes


def _complex(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.complex64))


def _check_noise(source: Source, noise: np.ndarray, coils: int, brightest: float) -> None:
    if noise.ndim != 2 or len(noise) != coils or noise.dtype.kind != "c":
        raise UserError(
            f"{source}: `noise` is {noise.dtype} of shape {noise.shape}; give it complex, [coil, sample], with {coils} coils"
        )
    if not np.isfinite(noise).all():
        raise UserError(f"{source}: `noise` has NaN or infinite entries; measure it again, or remove it")
    if noise.shape[1] < 2 * coils or not np.abs(noise).any(1).all():
        raise UserError(
            f"{source}: `noise` has {noise.shape[1]} samples of {coils} coils, some 0 or too few to tell their "
            f"covariance; measure at least {2 * coils}, or remove it"
        )
    loudest = float(np.abs(noise.astype(complex)).max(initial=0))
    if loudest > 10 * brightest:
        raise UserError(
            f"{source}: `noise` reaches {loudest:.2g}, `kspace` only {brightest:.2g}; give both in the same units, or remove it"
        )


def _own_mask(source: Source, stored: np.ndarray, measured: Bool[Tensor, "y x"]) -> Bool[Tensor, "#y x"]:
    mask = torch.from_numpy(np.atleast_2d(stored).astype(bool))
    if mask.ndim != 2 or mask.shape[-1] != measured.shape[-1] or mask.shape[0] not in (1, measured.shape[0]):
        raise UserError(
            f"{source}: `mask` has shape {stored.shape}, which does not fit k-space of {tuple(measured.shape)}; "
            "give one entry a column, or one a sample"
        )
    if not (mask & measured).any():
        raise UserError(f"{source}: `mask` keeps no measured sample; check which axis it describes")
    return mask[:1] if bool((mask == mask[:1]).all()) else mask


def _check_one_pattern(source: Source, there: Bool[Tensor, "slice y x"], sampled: Bool[Tensor, "#y x"]) -> None:
    """Raises UserError if a slice lacks what the scan has as a whole: a line, or many of the samples of a 2-D mask."""
    by_line = measured_band(sampled) is not None
    found, wanted = (there.any(1), sampled.any(0)) if by_line else (there, sampled)
    allowed, what = (0, "lines") if by_line else (STRAY * int(wanted.sum()), "samples")
    for index, own in enumerate(found):
        missing = int((wanted & ~own).sum())
        if own.any() and missing > allowed:
            raise UserError(
                f"{source}: slice {index} lacks {missing} {what} that other slices have, and a scan has one sampling pattern "
                "here; give slices of one pattern as a scan of their own"
            )


def _check_maps(source: Source, maps: np.ndarray, shape: tuple[int, ...], header: Header) -> None:
    """Of k-space's shape, or with the readout's oversampling removed already, if the data's can be."""
    slices, coils, rows, columns = shape
    heights = {rows, header.rows or rows}
    if maps.shape not in [(slices, coils, height, columns) for height in heights] or maps.dtype.kind != "c":
        raise UserError(
            f"{source}: `sens_maps` is {maps.dtype} of shape {maps.shape}, which does not fit k-space of {shape}; "
            "give complex maps of that shape, or pass --maps espirit"
        )
    if not np.isfinite(maps).all() or not np.abs(maps).any():
        raise UserError(
            f"{source}: `sens_maps` is zero everywhere, or not finite; pass --maps espirit to estimate them"
        )
