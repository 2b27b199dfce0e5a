"""Which axis of a bare array is which: told from its sizes and from what k-space looks like along an axis."""

import numpy as np
from jaxtyping import Complex, Float

from mri_ambient.data_prep.scan import Source
from mri_ambient.errors import UserError

HELP = "give it as complex (slice, coil, y, x), y the readout"
PEAKED = 4.0  # times the mean: how bright the brightest line along an axis of k-space is at least
CLEARLY = 2.0  # times: how much more peaked an axis of k-space is than one of coils or slices
BOX, KERNEL, SHARE = 12, 3, 0.1  # samples; the smallest singular value that counts, over the largest
BRIGHT = 16.0  # times the mean: a sample in the middle of k-space
UNLIKE, COILS, RANK = (
    0.5,
    0.83,
    0.33,
)  # correlation of coils' images: below the first, or below the second with low rank
SLICES = (0.85, 0.95)  # correlation of slices' images: probably, surely


def as_kspace(source: Source, array: np.ndarray, slices: int | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """``array`` as complex [slice, coil, y, x], and what was done to it. Raises UserError if that can't be told.

    slices: how many the file says that there are; if the first axis has as many, it is theirs, whatever images look like.
    """
    array, notes = _as_complex(source, array)
    if 0 in array.shape:
        raise UserError(f"{source}: `kspace` is empty, shape {array.shape}; export the scan again")
    stored = array.shape
    if array.ndim > 4:
        array = array.reshape([n for n in stored if n > 1])
        notes += (f"`kspace` has {len(stored)} dimensions {stored}: those of length 1 are left out",)
    if array.ndim == 2:
        return array[None, None], (*notes, "`kspace` has 2 dimensions: it is taken for one slice of one coil")
    if array.ndim == 3:
        coil = _coil_axis(array[:, None])
        if coil is not None:
            what = "slices of one coil" if coil else "the coils of one slice"
            notes += (f"`kspace` has 3 dimensions: the first, whose images are like that, is {what}",)
            return (array[:, None] if coil else array[None]), notes
    if array.ndim != 4:
        which = "`kspace[None]` if they are coils, `kspace[:, None]` if slices; " if array.ndim == 3 else ""
        raise UserError(f"{source}: `kspace` has {len(stored)} dimensions {stored}; {which}{HELP}")
    order, said = axes_of(source, array)
    if order == (1, 0, 2, 3) and array.shape[0] == slices != array.shape[1]:
        order, said = (0, 1, 2, 3), ()
    notes += said
    if order != (0, 1, 2, 3):
        notes += (f"`kspace` of shape {array.shape} has other axes than (slice, coil, y, x): transposed by {order}",)
    return array.transpose(order), notes


def _as_complex(source: Source, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Also of pairs (real, imaginary): fields of a record, as MATLAB writes them, or a last axis of length 2."""
    if array.dtype.names and len(array.dtype.names) == 2:
        real, imaginary = (array[name] for name in array.dtype.names)
        if real.dtype.kind == imaginary.dtype.kind == "f":
            return real + 1j * imaginary, (f"`kspace` is stored in fields {' and '.join(array.dtype.names)}: joined",)
    if array.dtype.kind in "iuf" and array.ndim > 2 and array.shape[-1] == 2:
        return array[..., 0] + 1j * array[..., 1], ("`kspace` has a last axis of real and imaginary parts: joined",)
    if array.dtype.kind != "c":
        raise UserError(f"{source}: `kspace` is {array.dtype}, not complex; give complex64 raw data")
    return array, ()


def axes_of(source: Source, array: np.ndarray) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """By which to transpose ``array``, and a note. Raises UserError if the axes are wrong and it can't be told how."""
    sizes, peaks = array.shape, _peaks(array)
    one, other, clear = _plane(peaks)
    rest = [axis for axis in range(4) if axis not in (one, other)]
    if (one, other) == (2, 3):
        return _slices_and_coils(source, array) if clear else ((0, 1, 2, 3), ())
    if clear and min(sizes[one], sizes[other]) > min(sizes[2:]):
        coil = _coil_axis(array.transpose(*rest, one, other))
        if coil is not None:
            return (rest[1 - coil], rest[coil], one, other), ()
        orders = " or ".join(str((*each, one, other)) for each in (rest, rest[::-1]))
        raise UserError(
            f"{source}: `kspace` of shape {sizes} has its y and x in axes {one} and {other}, and which of the others is the "
            f"coils can't be told; give kspace.transpose{orders}, so that it is (slice, coil, y, x)"
        )
    if min(peaks[2:]) <= PEAKED and sizes[3] <= 32 and min(sizes[1:3]) > 2 * sizes[3]:
        raise UserError(
            f"{source}: `kspace` of shape {sizes} looks as if its last axis were the coils; give "
            "kspace.transpose(0, 3, 1, 2), so that it is (slice, coil, y, x)"
        )
    return (0, 1, 2, 3), ()


def axes_of_one_slice(array: Complex[np.ndarray, "a b c"]) -> tuple[int, ...]:
    """By which to transpose ``array`` to [coil, y, x], as far as that is clear."""
    one, other, clear = _plane(_peaks(array[None]))
    return tuple(axis - 1 for axis in (6 - one - other, one, other)) if clear else (0, 1, 2)


def _plane(peaks: list[float]) -> tuple[int, int, bool]:
    """The two axes that are most like those of k-space, y and x, and whether they clearly are."""
    *rest, one, other = sorted(range(4), key=lambda axis: peaks[axis])
    peaked = min(peaks[one], peaks[other])
    clear = peaked > PEAKED and peaked > CLEARLY * max(peaks[axis] for axis in rest)
    return min(one, other), max(one, other), clear


def _slices_and_coils(source: Source, array: np.ndarray) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Of an array whose y and x are where they belong."""
    slices, coils = array.shape[:2]
    coil = _coil_axis(array)
    if coil == 0 and slices == 1:
        raise UserError(
            f"{source}: the {coils} coils of `kspace` see the same image, as slices of one coil do; give it as "
            "(slice, 1, y, x) if they are slices, or their sum if they are coils"
        )
    if coil == 0:
        return (1, 0, 2, 3), ()
    if coil is None and coils == 1 < slices:
        return (0, 1, 2, 3), (
            f"`kspace` is read as {slices} slices of one coil; if they are {slices} coils, give kspace.swapaxes(0, 1)",
        )
    return (0, 1, 2, 3), ()


def _profiles(array: np.ndarray) -> list[Float[np.ndarray, " n"]]:
    """The energy along each axis; what is not finite counts as 0."""
    totals = [np.zeros(n) for n in array.shape]
    with np.errstate(all="ignore"):
        largest = np.nan_to_num(max(np.fmax.reduce(np.abs(part), axis=None) for part in array), posinf=1) or 1.0
        for index, part in enumerate(array):
            energy = np.square(np.nan_to_num(np.abs(part) / largest, posinf=0)).astype(float)
            totals[0][index] = energy.sum()
            for axis in range(3):
                totals[axis + 1] += energy.sum(tuple(other for other in range(3) if other != axis))
    return totals


def _peaks(array: np.ndarray) -> list[float]:
    return [_peak_over_mean(profile) for profile in _profiles(array)]


def _peak_over_mean(profile: Float[np.ndarray, " n"]) -> float:
    measured = profile[profile > 0]
    return float(measured.max() / measured.mean()) if len(measured) else 1.0


def _coil_axis(array: Complex[np.ndarray, "a b y x"]) -> int | None:
    """Which of the first two axes is the coils; None if that is not clear.

    Images of one coil correlate, for neighbouring slices are alike; those of several coils do less, for their phases differ.
    """
    if 1 not in array.shape[:2]:
        brightest = [int(np.argmax(profile)) for profile in _profiles(array)[:2]]
        along = [_likeness(array[:, brightest[1]])[0], _likeness(array[brightest[0]])[0]]
        axis = int(along[1] < along[0])
        return axis if along[axis] < COILS and along[axis] < along[1 - axis] - 0.15 else None
    long = int(array.shape[0] == 1)
    count = array.shape[long]
    if count == 1:
        return 1
    correlation, rank = _likeness(array.reshape(-1, *array.shape[2:]))
    if correlation < UNLIKE or (correlation < COILS and rank < RANK):
        return long
    return 1 - long if count > 2 and correlation > SLICES[long] else None


def _likeness(kspace: Complex[np.ndarray, "n y x"]) -> tuple[float, float]:
    """The median correlation of two of the images, at low resolution, and how far they share their k-space kernels.

    That is the rank of the calibration matrix (Uecker et al., MRM 71:990, 2014) of all images over the sum of each one's own:
    low if they are one object seen through smooth sensitivities. (0.84, 1), which says nothing, where the centre of k-space
    is not measured in one piece, does not stand out, or is not in one place.
    """
    unknown = (COILS + 0.01, 1.0)
    with np.errstate(all="ignore"):
        kspace = kspace / np.abs(kspace).max()
        energy = np.square(np.abs(kspace)).sum(0)
    if not np.isfinite(energy).all() or energy.max() < BRIGHT * energy[energy > 0].mean():
        return unknown
    y, x = np.unravel_index(energy.argmax(), energy.shape)
    half = min(BOX, *kspace.shape[1:]) // 2
    box = np.roll(kspace, (half - y, half - x), (1, 2))[:, : 2 * half, : 2 * half]
    while half > KERNEL and not np.abs(box).sum(0).all():
        half, box = half - 1, box[:, 1:-1, 1:-1]
    norm = np.linalg.norm(box, axis=(1, 2), keepdims=True)
    outside = np.abs(kspace).max((1, 2)) > np.abs(box).max((1, 2))  # images whose centre is elsewhere
    if half <= KERNEL or not norm.all() or outside.any():
        return unknown
    flat = (box / norm).reshape(len(box), -1)
    correlation = np.median(np.abs(flat @ flat.conj().T)[np.triu_indices(len(box), 1)])
    windows = np.lib.stride_tricks.sliding_window_view(box / norm, (KERNEL, KERNEL), axis=(1, 2))
    matrices = windows.reshape(len(box), -1, KERNEL**2)
    own = sum(_rank(matrix) for matrix in matrices)
    return float(correlation), _rank(np.concatenate(list(matrices), axis=1)) / own


def _rank(matrix: Complex[np.ndarray, "m n"]) -> int:
    values = np.linalg.svd(matrix, compute_uv=False)
    return int((values > SHARE * values[0]).sum())
