"""Where the centre of k-space lies by the data, for headers that say it wrongly."""

import numpy as np
from jaxtyping import Float

NEAR = 16  # within 1 / NEAR of the matrix, the centre is right: that much phase an image may have of its own
CLEAR = 10  # an echo's lines are that much stronger than the other measured ones


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
