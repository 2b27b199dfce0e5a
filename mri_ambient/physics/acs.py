"""The centre of k-space that is measured without gaps (ACS), as a mask: lines of it, or a box."""

import torch
from jaxtyping import Bool
from torch import Tensor


def acs_mask(columns: int, width: int) -> Bool[Tensor, " x"]:
    """The ``width`` central lines of ``columns``, around DC at columns // 2. Raises ValueError if there are not as many."""
    if not 0 <= width <= columns:
        raise ValueError(f"{width} ACS lines do not fit in {columns} columns")
    return centre_box((1, width), 1, columns)[0]


def centre_box(size: tuple[int, int], rows: int, columns: int) -> Bool[Tensor, "y x"]:
    """True on the central ``size`` samples, around DC at N // 2."""
    box = torch.zeros(rows, columns, dtype=torch.bool)
    top, left = rows // 2 - size[0] // 2, columns // 2 - size[1] // 2
    box[top : top + size[0], left : left + size[1]] = True
    return box
