"""`poisson`: samples in two dimensions that keep a distance (:mod:`mri_ambient.physics.poisson_disc`); for reconstruction."""

from jaxtyping import Bool
from torch import Generator, Tensor

from mri_ambient.physics.mask_kinds.kind import LineMask, MaskKind
from mri_ambient.physics.poisson_disc import poisson_disc_mask


def draw(count: int, acs: tuple[int, int], acquired: LineMask, rows: int, generator: Generator) -> Bool[Tensor, "y x"]:
    """Exactly ``count`` samples. Raises ValueError if the ACS alone has more, or the matrix fewer."""
    return poisson_disc_mask(count, acs, rows, acquired, generator)


POISSON = MaskKind(draw, lines=False)
