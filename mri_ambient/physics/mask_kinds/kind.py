"""What a kind of mask is: an object that says how it is drawn, and how likely a line is to be in it."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Generator, Tensor

from mri_ambient.physics.acs import acs_mask

LineMask = Bool[Tensor, " x"]
Draw = Callable[[int, tuple[int, int], LineMask, int, Generator], Bool[Tensor, "#y x"]]
Probability = Callable[[LineMask, int, int, LineMask], Float[Tensor, " x"]]


@dataclass(frozen=True)
class MaskKind:
    """A way to undersample.

    Attributes:
        draw: ``(count, acs, acquired, rows, generator) -> mask [1 or rows, x]`` of exactly ``count`` lines (or samples) of the
            acquired columns, the ACS of so many rows and columns, which are no more, among them; bool.
        probability: ``(further, acs, lines, acquired) -> q [x]``, P(line in M | M~) for an M of so many lines and its further
            removal M~, see :func:`mri_ambient.physics.masks.measured_probability`; None if nobody knows it.
        lines: whether it is one of whole lines, all rows of them.
        gives_away: whether some lines tell which others are measured, so that q is 0 for many.
    """

    draw: Draw
    probability: Probability | None = None
    lines: bool = True
    gives_away: bool = False

    @property
    def trains(self) -> bool:
        """Whether priors can be learned from scans behind such masks: only if it is known how likely each line is."""
        return self.lines and self.probability is not None


def of_lines(choose: Callable[[Tensor, int, int, Generator], Tensor]) -> Draw:
    """Draws the ACS and some of the other acquired lines.

    Args:
        choose: ``(outer, wanted, columns, generator)``, ``wanted`` of the line numbers in ``outer``.
    """

    def draw(
        count: int, acs: tuple[int, int], acquired: LineMask, _rows: int, generator: Generator
    ) -> Bool[Tensor, "1 x"]:
        centre = acs_mask(len(acquired), acs[1])
        outer = (acquired & ~centre).nonzero().squeeze(1)
        mask = centre & acquired
        mask[choose(outer, min(count - acs[1], len(outer)), len(acquired), generator)] = True
        return mask[None]

    return draw
