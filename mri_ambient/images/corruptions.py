"""The corruptions of images (Ambient Diffusion: Daras et al., NeurIPS 2023): what is measured of an image, and a part of that.

An image keeps one A for ever, drawn from a seed of its own; A~ measures a part of what A does, and is drawn afresh as often
as one likes. ``missing`` is the share of the numbers that A lacks, 1 - rank(A) / pixels (of `random-box` at most that share).

random-pixels: each pixel is missing with probability ``missing``; A~ loses each of the others with probability ``share``.
random-box, fixed-box: a square at a random place is missing, of random size (0.5 to 1 of the largest side) or always of the
same; for A~ one more such square. keep-patch: all but a square at a random place is missing; A~ keeps a smaller one in it.
gaussian: m x n numbers N(0, 1/m); A~ lacks some of these rows. (As published, one is replaced by a fresh row, which takes
an image that is known; a row less is what one can do with measurements.) noise: all is measured, with noise.

What A~ hides can be learned only where A measures it with positive probability given A~, E[A^T A | A~] > 0: a `keep-patch`
shows nothing far from the patch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from mri_ambient.images.operators import Operator, Pixels, Rows

Shape = tuple[int, int]


@dataclass(frozen=True)
class Corruption:
    """A way in which images are incomplete.

    Attributes:
        draw: ``(missing, shape, generator) -> A`` of one image of ``shape`` (y, x).
        lessen: ``(A, missing, share, generator) -> A~`` of one image: less about ``share`` of what A measures (of a box: less
            another one).
        noisy: whether what is measured is noise's, not the operator's, to spoil.
    """

    draw: Callable[[float, Shape, Generator], Operator]
    lessen: Callable[[Operator, float, float, Generator], Operator]
    noisy: bool = False


def _draw_all(missing: float, shape: Shape, generator: Generator) -> Pixels:
    return Pixels(torch.ones(1, 1, *shape, dtype=torch.bool))


def _draw_pixels(missing: float, shape: Shape, generator: Generator) -> Pixels:
    return Pixels(torch.rand(1, 1, *shape, generator=generator) >= missing)


def _less_pixels(operator: Operator, missing: float, share: float, generator: Generator) -> Pixels:
    mask = _mask(operator)
    return Pixels(mask & (torch.rand(mask.shape, generator=generator) >= share))


def _draw_patch(missing: float, shape: Shape, generator: Generator) -> Pixels:
    return Pixels(_square(torch.ones(1, 1, *shape, dtype=torch.bool), 1 - missing, generator))


def _smaller_patch(operator: Operator, missing: float, share: float, generator: Generator) -> Pixels:
    return Pixels(_square(_mask(operator), 1 - share, generator))


def _draw_box(smallest: float, missing: float, shape: Shape, generator: Generator) -> Pixels:
    return _less_box(smallest, _draw_all(missing, shape, generator), missing, 0, generator)


def _less_box(smallest: float, operator: Operator, missing: float, share: float, generator: Generator) -> Pixels:
    """smallest: the side of the box, as a share of the largest; 1: always the largest."""
    mask = _mask(operator)
    shrink = smallest if smallest == 1 else smallest + (1 - smallest) * torch.rand(1, generator=generator).item()
    return Pixels(mask & ~_square(torch.ones_like(mask), missing * shrink**2, generator))


def _draw_rows(missing: float, shape: Shape, generator: Generator) -> Rows:
    rows = max(1, round((1 - missing) * math.prod(shape)))
    return Rows(torch.randn(1, rows, *shape, generator=generator) / math.sqrt(rows))


def _less_rows(operator: Operator, missing: float, share: float, generator: Generator) -> Rows:
    assert isinstance(operator, Rows)
    rows = operator.rows
    kept = max(1, rows.shape[1] - max(1, round(share * rows.shape[1])))
    return Rows(rows[:, torch.randperm(rows.shape[1], generator=generator)[:kept]])


RANDOM_PIXELS = Corruption(_draw_pixels, _less_pixels)
RANDOM_BOX = Corruption(partial(_draw_box, 0.5), partial(_less_box, 0.5))
FIXED_BOX = Corruption(partial(_draw_box, 1.0), partial(_less_box, 1.0))
KEEP_PATCH = Corruption(_draw_patch, _smaller_patch)
GAUSSIAN = Corruption(_draw_rows, _less_rows)
NOISE = Corruption(_draw_all, _less_pixels, noisy=True)


def _mask(operator: Operator) -> Bool[Tensor, "1 1 y x"]:
    assert isinstance(operator, Pixels)
    return operator.mask


def _square(within: Bool[Tensor, "1 1 y x"], area: float, generator: Generator) -> Bool[Tensor, "1 1 y x"]:
    """A rectangle of the shape of the one that ``within`` is, and of ``area`` of its, at a random place in it."""
    rows, columns = (within[0, 0].any(axis).nonzero().squeeze(1) for axis in (1, 0))
    square = torch.zeros_like(within)
    spans = []
    for lines in (rows, columns):
        side = min(len(lines), max(1, round(math.sqrt(area) * len(lines))))
        start = int(lines[0]) + int(torch.randint(len(lines) - side + 1, (1,), generator=generator))
        spans.append(slice(start, start + side))
    square[..., spans[0], spans[1]] = True
    return square
