"""`random`: outer lines uniformly without replacement (Aali et al., 2024)."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mri_ambient.physics.mask_kinds.kind import LineMask, MaskKind, of_lines


def choose(outer: Tensor, wanted: int, _columns: int, generator: Generator) -> Tensor:
    """``wanted`` of ``outer``."""
    return outer[torch.randperm(len(outer), generator=generator)[:wanted]]


def probability(further: LineMask, _acs: int, lines: int, acquired: LineMask) -> Float[Tensor, " x"]:
    """removed / (candidates): every line that M~ lacks is equally likely to have been one of the removed ones (Millard & Chiew,
    IEEE TCI 9:707, 2023, for a fixed count)."""
    q = further.double()
    candidates = acquired & ~further
    q[candidates] = (lines - int(further.sum())) / max(int(candidates.sum()), 1)
    return q.float()


RANDOM = MaskKind(of_lines(choose), probability)
