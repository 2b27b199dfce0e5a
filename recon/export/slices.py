"""Where the slices lie along their normal, as far as the scan's file told it."""

from itertools import pairwise

from mri_ambient.recon.result_data import ResultData

EVEN = 0.01  # mm by which steps may differ


def heights_mm(result: ResultData) -> list[float] | None:
    """Of each slice; None if the scan's file does not tell."""
    geometry = result.about.provenance.get("geometry")
    heights = geometry.get("heights_mm") if isinstance(geometry, dict) else None
    return [float(height) for height in heights] if heights and len(heights) == len(result) else None


def spacing_mm(result: ResultData) -> float | None:
    """Between neighbours; None if it is not known or not the same for all."""
    heights = heights_mm(result)
    if heights is None:
        return None
    steps = [after - before for before, after in pairwise(heights)]
    even = steps and steps[0] and all(abs(step - steps[0]) <= EVEN for step in steps)
    return abs(steps[0]) if even else None
