"""Whether two sets of k-space lines are of one scan: the same contrast, phase and gain, up to noise."""

import numpy as np
from jaxtyping import Bool, Complex, Float

TOLERANCE = 0.03  # of the signal's amplitude, beside the noise
MARGIN = 1.3  # of the noise that is expected
EDGE = 16  # the outermost 1 / EDGE of a readout, on each side, bounds the noise
KERNEL = 3, 3  # samples along the readout, lines
CENTRE = 24  # samples around the echo: the signal is there
FEWEST = 6  # lines
NUDGE = 0.1  # by how much a gain is changed to see whether the lines fit better or worse
FIT = 0.7  # of the misfit after such a change; 1 and more for another scan's lines


def agree(ours: Complex[np.ndarray, "line coil sample"], theirs: Complex[np.ndarray, "line coil sample"]) -> bool:
    """Whether the same lines, measured twice, differ by noise alone. They are compared around the echo, where signal is."""
    both = np.stack([ours, theirs])
    width = max(both.shape[-1] // EDGE, 1)
    ends = np.concatenate([both[..., :width], both[..., -width:]], axis=-1)
    middle = _around_echo(np.abs(ours) ** 2)
    ours, theirs = ours[..., middle], theirs[..., middle]
    noise = 2 * np.mean(np.abs(ends) ** 2)  # of a sample's difference; an upper bound, for signal is there too
    signal = np.sum(np.abs(ours) ** 2)
    gain = np.sqrt(np.sum(np.abs(theirs) ** 2) / signal) * np.exp(1j * np.angle(np.vdot(ours, theirs)))
    difference = np.sum(np.abs(ours - theirs) ** 2)
    return bool(
        abs(gain - 1) <= TOLERANCE + 3 * np.sqrt(noise / signal)
        and difference <= TOLERANCE**2 * signal + MARGIN * noise * ours.size
    )


def consistent(
    kspace: Complex[np.ndarray, "coil y x"], measured: Bool[np.ndarray, " x"], theirs: Bool[np.ndarray, " x"]
) -> bool:
    """Whether ``theirs`` among the ``measured`` columns are lines of the same scan as the others, though none is there twice.

    Small patches of one scan's multi-coil k-space lie near a subspace (Zhang et al., Magn Reson Med 66:1241, 2011): the misfit
    to it must be smaller with their gain as it is than with one that is a tenth different, which no other contrast's is; how
    many dimensions that subspace has is not known, so that several are tried. Noise that hides the difference, too few lines
    or one coil: False.
    """
    block = _central_run(kspace, measured, theirs)
    if block is None:
        return False
    lines, flags = block
    nudged = np.array([1 + NUDGE, 1 - NUDGE, 1 + 1j * NUDGE, 1 - 1j * NUDGE])
    own = _misfits(lines)
    least = np.min([_misfits(np.where(flags, gain * lines, lines)) for gain in nudged], axis=0)
    return bool((own < FIT * least).any())


def _central_run(
    kspace: Complex[np.ndarray, "coil y x"], measured: Bool[np.ndarray, " x"], theirs: Bool[np.ndarray, " x"]
) -> tuple[Complex[np.ndarray, "coil sample line"], Bool[np.ndarray, " line"]] | None:
    """The longest run of measured columns, around its and their echo, if both scans are in it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], measured.astype(int), [0]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    run = slice(starts[longest], ends[longest])
    mine = theirs[run]
    if len(mine) < FEWEST or not mine.any() or mine.all() or len(kspace) < 2:
        return None
    lines = kspace[..., run]
    return lines[:, _around_echo(np.moveaxis(np.abs(lines) ** 2, 1, -1))], mine


def _around_echo(energy: Float[np.ndarray, "*other sample"]) -> slice:
    echo = int(energy.reshape(-1, energy.shape[-1]).sum(0).argmax())
    return slice(max(echo - CENTRE // 2, 0), echo + CENTRE // 2)


def _misfits(lines: Complex[np.ndarray, "coil sample line"]) -> Float[np.ndarray, " dimension"]:
    """The energy of all patches outside of the subspace of their first principal components, a quarter to three of all."""
    patches = np.lib.stride_tricks.sliding_window_view(lines, KERNEL, axis=(1, 2))
    matrix = np.moveaxis(patches, 0, 2).reshape(-1, len(lines) * KERNEL[0] * KERNEL[1])
    energies = np.linalg.svd(matrix, compute_uv=False).astype(float) ** 2
    outside = np.cumsum(energies[::-1])[::-1]
    return outside[len(outside) // 4 : 3 * len(outside) // 4 + 1]
