"""Where the centre of k-space lies by the data, for headers that say it wrongly."""

from pathlib import Path

import numpy as np
from jaxtyping import Complex, Float

from mri_ambient.data_prep.readers.mrd_header import Encoding
from mri_ambient.errors import UserError

NEAR = 16  # within 1 / NEAR of the matrix, the centre is right: that much phase an image may have of its own
CLEAR = 10  # an echo's lines are that much stronger than the other measured ones


def shifts_to_centre(
    path: Path, kspace: Complex[np.ndarray, "slice coil y x"], rows: slice, encoding: Encoding, notes: list[str]
) -> tuple[int, int]:
    """By how many rows and columns to move ``kspace``, with a note for each; 0 unless the data leave no doubt.

    rows: what the readouts fill; if that is all, they have one place. Raises UserError if the echo's place is not that of the
    header, and the matrix does not fit around it.
    """
    with np.errstate(all="ignore"):  # what is not finite is told later
        energy = np.sum([np.sum(np.abs(image) ** 2, axis=0, dtype=float) for image in kspace], axis=0)
    if not np.isfinite(energy).all():
        return 0, 0
    by_row, by_column = energy.sum(1), energy.sum(0)
    peak, right = echo(by_column), shift_to_centre(by_column)
    if right is None or (not encoding.stated and peak is None and not by_column.all()):
        said = f"line {encoding.columns // 2 - encoding.first_column}" if encoding.stated else "what is no line"
        found = "no line stands out" if peak is None else f"the strongest line is {peak - encoding.first_column}"
        raise UserError(
            f"{path}: the header's encodingLimits put {said} in the middle of k-space, but {found}, around which the matrix "
            "does not fit; correct the limits' center"
        )
    down = 0 if rows == slice(0, encoding.rows) else shift_to_centre(by_row)
    if down is None:
        raise UserError(
            f"{path}: the echo is not at the readouts' center_sample, and around it they do not fit the matrix of "
            f"{encoding.rows} rows; correct the center_sample or the header's encodedSpace"
        )
    if right or not encoding.stated:
        centre = encoding.columns // 2 - encoding.first_column - right
        notes.append(f"line {centre} is taken for the centre of k-space, as the data have it, not the header's")
    if down:
        notes.append(f"the echo is {abs(down)} samples off the readouts' center_sample: the data are followed")
    return down, right


def echo(energy: Float[np.ndarray, " n"]) -> int | None:
    """The strongest of lines (or rows), if it and its neighbours stand out from the others that were measured (not 0)."""
    near, peak = _near(len(energy)), int(energy.argmax())
    distance = np.abs(np.arange(len(energy)) - peak)
    around, others = energy[distance <= near], energy[(distance > 2 * near) & (energy > 0)]
    around = around[around > 0]
    return peak if len(others) and len(around) and around.mean() > CLEAR * others.mean() else None


def shift_to_centre(energy: Float[np.ndarray, " n"]) -> int | None:
    """By how much the echo is off the middle: 0 if it is near or is not clear; None if what was measured does not fit then.

    What leaves no measured line outside, and fills the matrix, is preferred to the exact peak.
    """
    peak, middle = echo(energy), len(energy) // 2
    if (
        peak is None
        or abs(peak - middle) <= _near(len(energy))
        or _energy_at(energy, middle) * CLEAR > _energy_at(energy, peak)
    ):
        return 0
    measured = np.flatnonzero(energy)
    least, most = -measured[0], len(energy) - 1 - measured[-1]
    wanted = middle - peak
    shift = min(max(wanted, least), most)
    return int(shift) if abs(shift - wanted) <= _near(len(energy)) else None


def _near(size: int) -> int:
    return max(size // NEAR, 2)


def _energy_at(energy: Float[np.ndarray, " n"], place: int) -> float:
    near = _near(len(energy))
    return float(energy[max(place - near, 0) : place + near + 1].max())
