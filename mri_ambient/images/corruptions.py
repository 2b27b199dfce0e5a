"""Image-domain corruptions (Ambient Diffusion: Daras et al., NeurIPS 2023): what is measured of an image, and a part of that.

Each is linear, y = A x, alike in all channels of an image. An image keeps one A for ever, drawn from a seed of its own;
A~ measures a part of what A does, and is drawn afresh as often as one likes. ``missing`` is the share of the numbers that
A lacks, 1 - rank(A) / pixels (of `random-box` at most that share).

random-pixels: each pixel is missing with probability ``missing``; A~ loses each of the others with probability ``share``.
random-box, fixed-box: a square at a random place is missing, of random size (0.5 to 1 of the largest side) or always of the
same; for A~ one more such square. keep-patch: all but a square at a random place is missing; A~ keeps a smaller one in it.
gaussian: m x n numbers N(0, 1/m); A~ lacks some of these rows. (As published, one is replaced by a fresh row, which takes
an image that is known; a row less is what one can do with measurements.)

What A~ hides can be learned only where A measures it with positive probability given A~, E[A^T A | A~] > 0: a `keep-patch`
shows nothing far from the patch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

KINDS = ("random-pixels", "random-box", "fixed-box", "keep-patch", "gaussian")
Image = Float[Tensor, "batch channel y x"]


@dataclass(frozen=True)
class Pixels:
    """A x: the pixels where ``mask`` is, 0 elsewhere. A is its own adjoint and its own projection."""

    mask: Bool[Tensor, "batch 1 y x"]

    def __call__(self, image: Image) -> Image:
        return torch.where(self.mask, image, 0)

    def adjoint(self, measured: Image) -> Image:
        return torch.where(self.mask, measured, 0)

    def project(self, image: Image) -> Image:
        """A^+ A x: all that is known of x, as an image. What is missing may be NaN."""
        return torch.where(self.mask, image, 0)

    @property
    def coverage(self) -> Float[Tensor, "batch 1 y x"]:
        """The diagonal of A^+ A: how much is known of each pixel."""
        return self.mask.float()

    def part(self, rank: int, count: int) -> "Pixels":
        return Pixels(self.mask[rank::count])

    def to(self, device: torch.device) -> "Pixels":
        return Pixels(self.mask.to(device))


@dataclass(frozen=True)
class Rows:
    """A x: the inner products of each channel with ``rows``, which are linearly independent."""

    rows: Float[Tensor, "batch m y x"]

    def __call__(self, image: Image) -> Float[Tensor, "batch channel m"]:
        return torch.einsum("bmyx,bcyx->bcm", self.rows, image)

    def adjoint(self, measured: Float[Tensor, "batch channel m"]) -> Image:
        return torch.einsum("bmyx,bcm->bcyx", self.rows, measured)

    def project(self, image: Image) -> Image:
        """A^+ A x = A^T (A A^T)^-1 A x."""
        return self.adjoint(torch.cholesky_solve(self(image).mT, self._factor).mT)

    @property
    def coverage(self) -> Float[Tensor, "batch 1 y x"]:
        flat = self.rows.flatten(2)
        return (torch.linalg.solve_triangular(self._factor, flat, upper=False).square().sum(1)).view(
            len(flat), 1, *self.rows.shape[2:]
        )

    def part(self, rank: int, count: int) -> "Rows":
        return Rows(self.rows[rank::count])

    def to(self, device: torch.device) -> "Rows":
        return Rows(self.rows.to(device))

    @cached_property
    def _factor(self) -> Float[Tensor, "batch m m"]:
        flat = self.rows.flatten(2)
        return torch.linalg.cholesky(flat @ flat.mT)


Operator = Pixels | Rows


def everything(images: Image) -> Pixels:
    """A = 1."""
    return Pixels(images.new_ones(len(images), 1, *images.shape[-2:], dtype=torch.bool))


def draw_operator(kind: str, missing: float, shape: tuple[int, int], generator: Generator) -> Operator:
    """A for one image of ``shape``. Raises ValueError for an unknown kind."""
    if kind == "gaussian":
        pixels = math.prod(shape)
        rows = max(1, round((1 - missing) * pixels))
        return Rows(torch.randn(1, rows, *shape, generator=generator) / math.sqrt(rows))
    if kind == "random-pixels":
        return Pixels(torch.rand(1, 1, *shape, generator=generator) >= missing)
    if kind == "keep-patch":
        whole = torch.ones(1, 1, *shape, dtype=torch.bool)
        return Pixels(whole & _square(whole, 1 - missing, generator))
    if kind in ("random-box", "fixed-box"):
        return _less_a_box(Pixels(torch.ones(1, 1, *shape, dtype=torch.bool)), kind, missing, generator)
    raise ValueError(f"corruption {kind!r} is not one of {', '.join(KINDS)}")


def lessen(operator: Operator, kind: str, missing: float, share: float, generator: Generator) -> Operator:
    """A~ of one image: ``operator``, drawn with ``kind`` and ``missing``, less about ``share`` of what it measures (of a box:
    less another one)."""
    if isinstance(operator, Rows):
        rows = operator.rows
        kept = max(1, rows.shape[1] - max(1, round(share * rows.shape[1])))
        return Rows(rows[:, torch.randperm(rows.shape[1], generator=generator)[:kept]])
    if kind == "random-pixels":
        return Pixels(operator.mask & (torch.rand(operator.mask.shape, generator=generator) >= share))
    if kind == "keep-patch":
        return Pixels(_square(operator.mask, 1 - share, generator))
    return _less_a_box(operator, kind, missing, generator)


def stack(operators: Sequence[Operator]) -> Operator:
    """Operators of one kind, and for images of one shape, as one batch."""
    pixels = [one.mask for one in operators if isinstance(one, Pixels)]
    rows = [one.rows for one in operators if isinstance(one, Rows)]
    return Pixels(torch.cat(pixels)) if pixels else Rows(torch.cat(rows))


def _less_a_box(operator: Pixels, kind: str, missing: float, generator: Generator) -> Pixels:
    shrink = 1 if kind == "fixed-box" else 0.5 + 0.5 * torch.rand(1, generator=generator).item()
    box = _square(torch.ones_like(operator.mask), missing * shrink**2, generator)
    return Pixels(operator.mask & ~box)


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
