"""Whether two sets of k-space lines are of one scan: the same contrast, phase and gain, up to noise."""

import numpy as np
from jaxtyping import Bool, Complex

TOLERANCE = 0.03  # of the signal, beside the noise
EDGE = 16  # the outermost 1 / EDGE of a readout, on each side, bounds the noise
KERNEL = 4, 3  # samples along the readout, lines
CENTRE = 24  # samples around the echo: the signal is there
FEWEST = 6  # lines
NUDGE = 0.1  # by how much a gain is changed to see whether the lines fit better or worse
FIT = 0.5  # of the misfit after such a change


def agree(ours: Complex[np.ndarray, "line coil sample"], theirs: Complex[np.ndarray, "line coil sample"]) -> bool:
    """Whether the same lines, measured twice, differ by noise alone."""
    signal = np.sum(np.abs(ours) ** 2)
    width = max(ours.shape[-1] // EDGE, 1)
    both = np.stack([ours, theirs])
    ends = np.concatenate([both[..., :width], both[..., -width:]], axis=-1)
    noise = 2 * np.median(np.mean(np.abs(ends) ** 2, axis=-1)) * ours.size
    return bool(np.sum(np.abs(ours - theirs) ** 2) <= TOLERANCE**2 * signal + 2 * noise)


def consistent(
    kspace: Complex[np.ndarray, "coil y x"], measured: Bool[np.ndarray, " x"], theirs: Bool[np.ndarray, " x"]
) -> bool:
    """Whether ``theirs`` among the ``measured`` columns are lines of the same scan as the others, though none is there twice.

    Small patches of one scan's multi-coil k-space lie near a subspace (Zhang et al., Magn Reson Med 66:1241, 2011): the misfit
    to it must be smaller with their gain as it is than with one that is a tenth different, which no other contrast's is.
    Noise that hides the difference, too few lines or one coil: False.
    """
    block = _central_run(kspace, measured, theirs)
    if block is None:
        return False
    lines, flags = block
    misfits = [
        _misfit(np.where(flags, gain * lines, lines))
        for gain in (1, 1 + NUDGE, 1 - NUDGE, 1 + 1j * NUDGE, 1 - 1j * NUDGE)
    ]
    return bool(misfits[0] < FIT * min(misfits[1:]))


def _central_run(
    kspace: Complex[np.ndarray, "coil y x"], measured: Bool[np.ndarray, " x"], theirs: Bool[np.ndarray, " x"]
) -> tuple[Complex[np.ndarray, "coil y line"], Bool[np.ndarray, " line"]] | None:
    """The longest run of measured columns, around its and their echo, if both scans are in it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], measured.astype(int), [0]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    run = slice(starts[longest], ends[longest])
    mine = theirs[run]
    if len(mine) < FEWEST or not mine.any() or mine.all() or len(kspace) < 2:
        return None
    lines = kspace[..., run]
    echo = int((np.abs(lines) ** 2).sum((0, 2)).argmax())
    return lines[:, max(echo - CENTRE // 2, 0) : echo + CENTRE // 2], mine


def _misfit(lines: Complex[np.ndarray, "coil y line"]) -> float:
    """The energy of all patches outside of the larger half of their principal components."""
    height, width = min(KERNEL[0], lines.shape[1]), KERNEL[1]
    patches = np.lib.stride_tricks.sliding_window_view(lines, (height, width), axis=(1, 2))
    matrix = np.moveaxis(patches, 0, 2).reshape(-1, len(lines) * height * width)
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(np.sum(values[len(values) // 2 :] ** 2))
