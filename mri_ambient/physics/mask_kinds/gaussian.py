"""`gaussian`: variable density, each set of outer lines with a probability proportional to the product of its lines' weights
exp(-d^2 / 2 s^2), d the distance from the centre."""

from jaxtyping import Float
from torch import Generator, Tensor

from mri_ambient.physics.fixed_count import draw_subset, inclusion_probability
from mri_ambient.physics.mask_kinds.kind import LineMask, MaskKind, of_lines

WIDTH = 0.2  # standard deviation s, of the number of columns


def choose(outer: Tensor, wanted: int, columns: int, generator: Generator) -> Tensor:
    """``wanted`` of ``outer``."""
    return outer[draw_subset(log_weights(outer, columns), wanted, generator)]


def probability(further: LineMask, _acs: int, lines: int, acquired: LineMask) -> Float[Tensor, " x"]:
    """The removed lines are, given M~, again drawn by weight: their inclusion probability."""
    q = further.double()
    places = (acquired & ~further).nonzero().squeeze(1)
    q[places] = inclusion_probability(log_weights(places, len(further)), lines - int(further.sum()))
    return q.float()


def log_weights(lines: Tensor, columns: int) -> Float[Tensor, " n"]:
    """-d^2 / 2 s^2 of some line numbers; float64."""
    distance = (lines - columns // 2).double() / (WIDTH * columns)
    return -0.5 * distance.square()


GAUSSIAN = MaskKind(of_lines(choose), probability)
