"""Arrays in memory become a Scan: numpy's or torch's, in the order of axes that is asked for."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mri_ambient.data_prep.readers.checks import Acquired, make_scan
from mri_ambient.data_prep.readers.header import Header, plausible_field_of_view
from mri_ambient.data_prep.readers.layout import axes_of, axes_of_one_slice
from mri_ambient.data_prep.scan import Array, Scan
from mri_ambient.errors import UserError

ORDERS = "[coil, y, x] or [slice, coil, y, x], y the readout"


def read_arrays(
    name: str,
    kspace: Array,
    mask: Array | None,
    maps: Array | None,
    noise: Array | None,
    fov_mm: float | Sequence[float] | None,
) -> Scan:
    """See :meth:`mri_ambient.data_prep.scan.Scan.from_arrays`; ``name`` is what messages begin with. Raises UserError."""
    if not isinstance(name, str):
        raise UserError(f"name {name}: is a {type(name).__name__}; pass a text")
    samples, notes = _kspace(name, kspace)
    return make_scan(
        Acquired(
            source=name,
            format="arrays",
            kspace=samples,
            mask=None if mask is None else _mask(name, mask),
            header=Header(field_of_view=None if fov_mm is None else _field_of_view(name, fov_mm, samples.shape[-2:])),
            noise=None if noise is None else _numpy(name, "noise", noise),
            sens_maps=None if maps is None else _maps(name, maps, samples.shape),
            notes=notes,
        )
    )


def _numpy(name: str, what: str, array: Array) -> np.ndarray:
    """A copy on the CPU."""
    if not isinstance(array, Tensor):
        return np.array(array)
    try:
        return array.detach().cpu().resolve_conj().resolve_neg().numpy().copy()
    except TypeError as error:  # a type that numpy has not
        raise UserError(f"{name}: `{what}` is {array.dtype}; pass complex64, or a mask as bool") from error


def _kspace(name: str, given: Array) -> tuple[np.ndarray, tuple[str, ...]]:
    """[slice, coil, y, x], and notes."""
    kspace = _numpy(name, "kspace", given)
    if kspace.ndim not in (3, 4) or 0 in kspace.shape:
        raise UserError(f"{name}: `kspace` has shape {kspace.shape}; pass {ORDERS}")
    if kspace.dtype.kind != "c":
        raise UserError(f"{name}: `kspace` is {kspace.dtype}, not complex; pass complex64, {ORDERS}")
    if kspace.dtype.itemsize > np.dtype(np.complex128).itemsize:
        kspace = kspace.astype(np.complex128)
    if not np.isfinite(kspace).all():
        raise UserError(f"{name}: `kspace` has NaN or infinite entries; pass 0 where nothing was measured")
    order, notes = axes_of_one_slice(kspace) if kspace.ndim == 3 else (), ()
    if order in ((), (0, 1, 2)):
        kspace = kspace.reshape(-1, *kspace.shape[-3:])
        order, notes = axes_of(name, kspace)
    if order != (0, 1, 2, 3):
        turn = "transpose" if isinstance(given, np.ndarray) else "permute"
        raise UserError(
            f"{name}: `kspace` of shape {tuple(given.shape)} has its axes in another order than {ORDERS}; "
            f"pass kspace.{turn}{order}"
        )
    return kspace, notes


def _mask(name: str, given: Array) -> np.ndarray:
    mask = _numpy(name, "mask", given)
    if not np.isin(mask, (0, 1)).all():
        raise UserError(f"{name}: `mask` is {mask.dtype} with other values than 0 and 1; pass bool, [x] or [y, x]")
    return mask


def _maps(name: str, given: Array, shape: tuple[int, ...]) -> np.ndarray:
    maps = _numpy(name, "maps", given)
    if maps.ndim == 3 and shape[0] == 1:
        maps = maps[None]
    if maps.shape != shape or maps.dtype.kind != "c":
        raise UserError(
            f"{name}: `maps` is {maps.dtype} of shape {tuple(given.shape)}, which does not fit `kspace` of {shape} (slice, "
            "coil, y, x); pass complex maps of that shape, or none, and they are estimated"
        )
    if not np.isfinite(maps).all() or not maps.any():
        raise UserError(f"{name}: `maps` is 0 everywhere, or not finite; pass none, and they are estimated")
    return maps


def _field_of_view(name: str, given: float | Sequence[float], matrix: tuple[int, ...]) -> tuple[float, float]:
    try:
        y, x = np.broadcast_to(np.asarray(given, float), 2).tolist()
    except ValueError as error:
        raise UserError(f"{name}: `fov_mm` is {given}; pass (y, x) in mm, or one number for both") from error
    if plausible_field_of_view((y, x), (matrix[0], matrix[1]))[1] is not None:
        raise UserError(
            f"{name}: `fov_mm`, {y:g} x {x:g} of {matrix[0]} x {matrix[1]} pixels, can't be; pass (y, x) in mm"
        )
    return y, x
