"""`equispaced`: one outer line every (outer / wanted) lines, from a random offset."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mri_ambient.physics.acs import acs_mask
from mri_ambient.physics.mask_kinds.kind import LineMask, MaskKind, of_lines


def choose(outer: Tensor, wanted: int, _columns: int, generator: Generator) -> Tensor:
    """``wanted`` of ``outer``."""
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    return outer[places(len(outer), wanted, offset)[0]]


def probability(further: LineMask, acs: int, lines: int, acquired: LineMask) -> Float[Tensor, " x"]:
    """The share of the offsets that agree with M~ whose mask has the line: many lines have q = 0."""
    q = further.double()
    centre = acs_mask(len(further), acs)
    outer = (acquired & ~centre).nonzero().squeeze(1)
    wanted = lines - int((centre & acquired).sum())
    # The mask is constant between the offsets at which one of its lines moves by one: take each interval's middle.
    edges = torch.arange(len(outer) + 1, dtype=torch.float64) * wanted / len(outer) % 1
    edges = torch.cat([edges, edges.new_tensor([0.0, 1.0])]).round(decimals=9).unique()
    masks = torch.zeros(len(edges) - 1, len(outer), dtype=torch.bool)
    masks.scatter_(1, places(len(outer), wanted, (edges[1:] + edges[:-1]) / 2), True)
    agreeing = (masks | ~further[outer]).all(1)
    share = torch.diff(edges) * agreeing
    q[outer] = (share @ masks.double()) / share.sum().clamp_min(1e-12)
    return q.float()


def places(outer: int, wanted: int, offsets: Float[Tensor, " n"]) -> Tensor:
    """Indices [n, wanted] into the outer lines for offsets in [0, 1)."""
    spacing = outer / max(wanted, 1)
    steps = torch.arange(wanted, dtype=torch.float64) + offsets[:, None]
    return (steps * spacing).long().clamp_max(outer - 1)


EQUISPACED = MaskKind(of_lines(choose), probability, gives_away=True)
