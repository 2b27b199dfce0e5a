"""The field of view that a file states, as far as it can be true."""

import math

METRES = 2.0  # a field of view up to here is in metres
LARGEST = 2000.0  # mm
PIXEL = (0.05, 30.0)  # mm, of any scan of people or animals

Pair = tuple[float, float]


def believable(field_of_view: Pair | None, matrix: tuple[int, int]) -> tuple[Pair | None, tuple[str, ...]]:
    """(y, x) in mm or None, and a note on what was wrong with it. matrix: rows and columns that fill it."""
    if field_of_view is None or _fits(field_of_view, matrix):
        return field_of_view, ()
    stated = "{:g}x{:g}".format(*field_of_view)
    millimetres = (1000 * field_of_view[0], 1000 * field_of_view[1])
    if max(field_of_view) <= METRES and _fits(millimetres, matrix):
        return millimetres, (
            f"the field of view, {stated}, is in metres: it is taken for {millimetres[0]:g}x{millimetres[1]:g} mm",
        )
    return None, (
        f"the field of view, {stated} mm for {matrix[0]}x{matrix[1]} pixels, can't be true: it is not followed",
    )


def _fits(field_of_view: Pair, matrix: tuple[int, int]) -> bool:
    return all(
        math.isfinite(side) and 0 < side <= LARGEST and PIXEL[0] <= side / n <= PIXEL[1]
        for side, n in zip(field_of_view, matrix, strict=True)
    )
