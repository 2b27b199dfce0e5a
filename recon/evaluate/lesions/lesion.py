"""A small smooth blob."""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor


@dataclass(frozen=True)
class Lesion:
    """Where a blob is, how large and how bright.

    Attributes:
        slice: of the volume.
        centre: (y, x), in pixels.
        width: full width at half maximum, in pixels.
        contrast: of its centre, over the tissue there.
    """

    slice: int
    centre: tuple[int, int]
    width: float
    contrast: float

    def profile(self, matrix: tuple[int, int]) -> Float[Tensor, "y x"]:
        """exp(-4 ln 2 r^2 / width^2), 1 at the centre."""
        y, x = (torch.arange(n) - c for n, c in zip(matrix, self.centre, strict=True))
        return torch.exp2(-4 * (y[:, None] ** 2 + x**2) / self.width**2)

    def blob(self, image: Complex[Tensor, "y x"]) -> Complex[Tensor, "y x"]:
        """What to add to its slice: contrast x (local magnitude) x profile x (local phase)."""
        profile = self.profile((image.shape[-2], image.shape[-1]))
        tissue = (profile * image.abs()).sum() / profile.sum()
        return self.contrast * tissue * profile * torch.polar(torch.ones(()), image.angle())
