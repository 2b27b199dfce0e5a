"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Volume = Float[np.ndarray, "slice y x"]


@dataclass(frozen=True)
class Metric:
    """How wrong, or how alike, an estimate of a volume is; called as ``metric(reference, estimate)``.

    Attributes:
        compute: of the reference and the estimate, magnitudes [slice, y, x] in the same units, one number.
        better: whether a better estimate has the lower or the higher number.
        title: over its column and its axis; short.
        digits: after the point, in tables.
        plotted: whether the comparison's figure has an axis of it.

    Example:
        >>> half = Metric(lambda reference, estimate: float(abs(reference - estimate).max()), "lower", "worst pixel")
        >>> half(np.ones((1, 2, 2)), np.zeros((1, 2, 2)))
        1.0
    """

    compute: Callable[[Volume, Volume], float]
    better: Literal["lower", "higher"]
    title: str
    digits: int = 3
    plotted: bool = False

    def __call__(self, reference: Volume, estimate: Volume) -> float:
        return self.compute(reference, estimate)
