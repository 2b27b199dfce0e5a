"""Which axis of a bare array is which: told from its sizes and from what k-space looks like along an axis."""

from pathlib import Path

import numpy as np
from jaxtyping import Complex, Float

from mri_ambient.errors import UserError

HELP = "store it as complex (slice, coil, y, x), y the readout"
PEAKED = 4.0  # times the mean: how bright the brightest line along an axis of k-space is at least
CLEARLY = 2.0  # times: how much more peaked an axis of k-space is than one of coils or slices
BOX, KERNEL, KERNEL_SHARE = 24, 5, 0.03
COILS_RANK, COILS_CORRELATION = 0.4, 0.75  # below both, images are of several coils and one slice


def as_kspace(path: Path, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """``array`` as complex [slice, coil, y, x], and what was done to it. Raises UserError if that can't be told."""
    array, notes = _as_complex(path, array)
    if 0 in array.shape:
        raise UserError(f"{path}: `kspace` is empty, shape {array.shape}; export the scan again")
    stored = array.shape
    if array.ndim > 4:
        array = array.reshape([n for n in stored if n > 1])
        notes += (f"`kspace` has {len(stored)} dimensions {stored}: those of length 1 are left out",)
    if array.ndim == 2:
        return array[None, None], (*notes, "`kspace` has 2 dimensions: it is taken for one slice of one coil")
    if array.ndim == 3 and _are_coils(array):
        return array[None], (
            *notes,
            "`kspace` has 3 dimensions: the first, whose images are of one slice, is the coils",
        )
    if array.ndim != 4:
        which = "`kspace[None]` if they are coils, `kspace[:, None]` if slices; " if array.ndim == 3 else ""
        raise UserError(f"{path}: `kspace` has {len(stored)} dimensions {stored}; {which}{HELP}")
    order = _order(path, array)
    if order != (0, 1, 2, 3):
        notes += (f"`kspace` of shape {array.shape} has other axes than (slice, coil, y, x): transposed by {order}",)
    return array.transpose(order), notes


def _as_complex(path: Path, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Also of pairs (real, imaginary): fields of a record, as MATLAB writes them, or a last axis of length 2."""
    if array.dtype.names and len(array.dtype.names) == 2:
        real, imaginary = (array[name] for name in array.dtype.names)
        if real.dtype.kind == imaginary.dtype.kind == "f":
            return real + 1j * imaginary, (f"`kspace` is stored in fields {' and '.join(array.dtype.names)}: joined",)
    if array.dtype.kind in "iuf" and array.ndim > 2 and array.shape[-1] == 2:
        return array[..., 0] + 1j * array[..., 1], ("`kspace` has a last axis of real and imaginary parts: joined",)
    if array.dtype.kind != "c":
        raise UserError(f"{path}: `kspace` is {array.dtype}, not complex; store complex64 raw data")
    return array, ()


def _order(path: Path, array: np.ndarray) -> tuple[int, ...]:
    """By which to transpose ``array``. Raises UserError if the axes are not as they should be and it can't be told how."""
    peaks = [_peak_over_mean(profile) for profile in _profiles(array)]
    one, other = sorted(sorted(range(4), key=lambda axis: peaks[axis])[2:])
    rest = [axis for axis in range(4) if axis not in (one, other)]
    image_like = min(peaks[one], peaks[other])
    clear = image_like > PEAKED and image_like > CLEARLY * max(peaks[axis] for axis in rest)
    if (one, other) != (2, 3):
        sizes = array.shape
        if clear and min(sizes[one], sizes[other]) > sizes[3 if 3 in rest else 2]:
            coil = _coil_axis(array.transpose(*rest, one, other))
            if coil is None and max(sizes[axis] for axis in rest) == 1:
                coil = 1
            if coil is not None:
                return (rest[1 - coil], rest[coil], one, other)
            orders = " or ".join(str((*each, one, other)) for each in (rest, rest[::-1]))
            raise UserError(
                f"{path}: `kspace` of shape {sizes} has its y and x in axes {one} and {other}, and which of the others is the "
                f"coils can't be told; store kspace.transpose{orders}, so that it is (slice, coil, y, x)"
            )
        if not min(peaks[2:]) > PEAKED and sizes[3] <= 32 and min(sizes[1:3]) > 2 * sizes[3]:
            raise UserError(
                f"{path}: `kspace` of shape {sizes} looks as if its last axis were the coils; store "
                "kspace.transpose(0, 3, 1, 2), so that it is (slice, coil, y, x)"
            )
        return (0, 1, 2, 3)
    return (1, 0, 2, 3) if clear and array.shape[0] > 1 and _coil_axis(array) == 0 else (0, 1, 2, 3)


def _profiles(array: np.ndarray) -> list[Float[np.ndarray, " n"]]:
    """The energy along each axis, of the largest entry 1; what is not finite counts as 0."""
    largest = max(float(np.nanmax(np.abs(part, dtype=None))) for part in array) or 1.0
    totals = [np.zeros(n) for n in array.shape]
    for index, part in enumerate(array):
        energy = np.square(np.nan_to_num(np.abs(part) / largest, posinf=0)).astype(float)
        totals[0][index] = energy.sum()
        for axis in range(3):
            totals[axis + 1] += energy.sum(tuple(other for other in range(3) if other != axis))
    return totals


def _peak_over_mean(profile: Float[np.ndarray, " n"]) -> float:
    measured = profile[profile > 0]
    return float(measured.max() / measured.mean()) if len(measured) else 1.0


def _coil_axis(array: Complex[np.ndarray, "a b y x"]) -> int | None:
    """Which of the first two axes is the coils; None if that is not clear."""
    shape = array.shape
    if 1 in shape[:2]:
        axis = int(shape[0] == 1)
        return axis if shape[axis] > 1 and _are_coils(array.reshape(-1, *shape[2:])) else None
    brightest = [np.argmax(profile) for profile in _profiles(array)[:2]]
    found = [_likeness(array[:, brightest[1]]), _likeness(array[brightest[0]])]
    for axis in (0, 1):
        (rank, correlation), (_, across) = found[axis], found[1 - axis]
        if rank < COILS_RANK and correlation < COILS_CORRELATION and correlation < across - 0.1:
            return axis
    return None


def _are_coils(images: Complex[np.ndarray, "n y x"]) -> bool:
    rank, correlation = _likeness(images)
    return rank < COILS_RANK and correlation < COILS_CORRELATION


def _likeness(kspace: Complex[np.ndarray, "n y x"]) -> tuple[float, float]:
    """How far the images share their k-space kernels, and the median correlation of any two of them.

    The rank of the calibration matrix (Uecker et al., MRM 71:990, 2014) of all images over the sum of each one's own: low if
    they are one object seen through smooth sensitivities. Images of one coil correlate, those of several coils hardly do, for
    their phases differ. (1, 1) where the centre of k-space is not measured in one piece.
    """
    energy = np.square(np.abs(kspace)).sum(0)
    y, x = np.unravel_index(energy.argmax(), energy.shape)
    measured = np.roll(energy, (BOX // 2 - y, BOX // 2 - x), (0, 1))[:BOX, :BOX] > 0
    half = min(BOX, *kspace.shape[1:]) // 2
    while half > KERNEL and not measured[BOX // 2 - half : BOX // 2 + half, BOX // 2 - half : BOX // 2 + half].all():
        half -= 1
    box = np.roll(kspace, (half - y, half - x), (1, 2))[:, : 2 * half, : 2 * half]
    norm = np.linalg.norm(box, axis=(1, 2), keepdims=True)
    if half <= KERNEL or not (np.isfinite(norm).all() and norm.all() and len(box) > 1):
        return 1.0, 1.0
    box = box / norm
    flat = box.reshape(len(box), -1)
    correlation = np.median(np.abs(flat @ flat.conj().T)[np.triu_indices(len(box), 1)])
    windows = np.lib.stride_tricks.sliding_window_view(box, (KERNEL, KERNEL), axis=(1, 2))
    matrices = windows.reshape(len(box), -1, KERNEL**2)
    own = sum(_rank(matrix) for matrix in matrices)
    return _rank(np.concatenate(list(matrices), axis=1)) / own, float(correlation)


def _rank(matrix: Complex[np.ndarray, "m n"]) -> int:
    values = np.linalg.svd(matrix, compute_uv=False)
    return int((values > KERNEL_SHARE * values[0]).sum())
