"""What is measured of an image in the image domain, y = A x: some of its pixels, or inner products with it.

A is alike in all channels. Batches are of real images ``[batch, channel, y, x]``; :class:`OfComplex` makes of either a
:class:`mri_ambient.physics.operators.LinearOperator` of complex images, for the solvers and samplers of MRI.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

Image = Float[Tensor, "batch channel y x"]


@dataclass(frozen=True)
class Pixels:
    """A x: the pixels where ``mask`` is, 0 elsewhere. A is its own adjoint and its own projection.

    Attributes:
        mask: of each image, the pixels that are measured.
    """

    mask: Bool[Tensor, "batch 1 y x"]

    def __call__(self, image: Image) -> Image:
        """A x."""
        return torch.where(self.mask, image, 0)

    def adjoint(self, data: Image) -> Image:
        """A^T d; what is missing may be NaN."""
        return torch.where(self.mask, data, 0)

    def gram(self, image: Image) -> Image:
        """A^T A x."""
        return torch.where(self.mask, image, 0)

    def project(self, image: Image) -> Image:
        """A^+ A x: all that is known of x, as an image. What is missing may be NaN."""
        return torch.where(self.mask, image, 0)

    @property
    def coverage(self) -> Float[Tensor, "batch 1 y x"]:
        """The diagonal of A^+ A: how much is known of each pixel."""
        return self.mask.float()

    @property
    def support(self) -> Bool[Tensor, "batch 1 y x"]:
        """Where an image may be other than 0: everywhere."""
        return torch.ones_like(self.mask)

    @property
    def measured(self) -> Bool[Tensor, "batch 1 y x"]:
        """Which of the data were measured."""
        return self.mask

    def __getitem__(self, images: slice) -> "Pixels":
        """Those of some images of a batch."""
        return Pixels(self.mask[images])

    def to(self, device: torch.device | str) -> "Pixels":
        """The same on another device."""
        return Pixels(self.mask.to(device))


@dataclass(frozen=True)
class Rows:
    """A x: the inner products of each channel with ``rows``, which are linearly independent.

    Attributes:
        rows: m for each image.
    """

    rows: Float[Tensor, "batch m y x"]

    def __call__(self, image: Image) -> Float[Tensor, "batch channel m"]:
        """A x."""
        return torch.einsum("bmyx,bcyx->bcm", self.rows, image)

    def adjoint(self, data: Float[Tensor, "batch channel m"]) -> Image:
        """A^T d."""
        return torch.einsum("bmyx,bcm->bcyx", self.rows, data)

    def gram(self, image: Image) -> Image:
        """A^T A x."""
        return self.adjoint(self(image))

    def project(self, image: Image) -> Image:
        """A^+ A x = A^T (A A^T)^-1 A x."""
        return self.adjoint(torch.cholesky_solve(self(image).mT, self._factor).mT)

    @property
    def coverage(self) -> Float[Tensor, "batch 1 y x"]:
        """The diagonal of A^+ A: how much is known of each pixel."""
        flat = self.rows.flatten(2)
        return (torch.linalg.solve_triangular(self._factor, flat, upper=False).square().sum(1)).view(
            len(flat), 1, *self.rows.shape[2:]
        )

    @property
    def support(self) -> Bool[Tensor, "batch 1 y x"]:
        """Where an image may be other than 0: everywhere."""
        return torch.ones_like(self.rows[:, :1], dtype=torch.bool)

    @property
    def measured(self) -> Bool[Tensor, "batch 1 m"]:
        """Which of the data were measured: all."""
        return self.rows.new_ones(len(self.rows), 1, self.rows.shape[1], dtype=torch.bool)

    def __getitem__(self, images: slice) -> "Rows":
        """Those of some images of a batch."""
        return Rows(self.rows[images])

    def to(self, device: torch.device | str) -> "Rows":
        """The same on another device."""
        return Rows(self.rows.to(device))

    @cached_property
    def _factor(self) -> Float[Tensor, "batch m m"]:
        flat = self.rows.flatten(2)
        return torch.linalg.cholesky(flat @ flat.mT)


Operator = Pixels | Rows


@dataclass(frozen=True)
class OfComplex:
    """The same A of complex images, as a linear operator of MRI: its data have one "coil", and two axes.

    Data are complex ``[*batch, 1, y, x]`` of :class:`Pixels`, ``[*batch, 1, 1, m]`` of :class:`Rows`. A is real and treats all
    channels alike, so that K complex images behind it are one image of 2 K channels.

    Attributes:
        operator: A of real images, one for each of the last batch axis.

    Example:
        >>> operator = OfComplex(Pixels(torch.tensor([[[[True, False]]]])))
        >>> operator(torch.tensor([[[1 + 1j, 2]]]))
        tensor([[[[1.+1.j, 0.+0.j]]]])
    """

    operator: Operator

    def __call__(self, image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch 1 r c"]:
        """A x, 0 where nothing is measured."""
        measured = self._alike(self.operator, image, 2)
        return measured.unsqueeze(-3) if isinstance(self.operator, Pixels) else measured[..., None, None, :]

    def adjoint(self, data: Complex[Tensor, "*batch 1 r c"]) -> Complex[Tensor, "*batch y x"]:
        """A^T d; what is not measured counts as 0, even where it is NaN."""
        if isinstance(self.operator, Pixels):
            return self._alike(self.operator.adjoint, data.squeeze(-3), 2)
        return self._alike(self.operator.adjoint, data.flatten(-3), 1)

    def gram(self, image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """A^T A x; differentiable."""
        return self._alike(self.operator.gram, image, 2)

    @property
    def support(self) -> Bool[Tensor, "batch y x"]:
        """Where an image may be other than 0: everywhere."""
        return self.operator.support[:, 0]

    @property
    def measured(self) -> Bool[Tensor, "batch r c"]:
        """Which of the data were measured."""
        return self.operator.measured[:, 0] if isinstance(self.operator, Pixels) else self.operator.measured

    def __getitem__(self, slices: slice) -> "OfComplex":
        """Those of some images of a batch."""
        return OfComplex(self.operator[slices])

    def to(self, device: torch.device | str) -> "OfComplex":
        """The same on another device."""
        return OfComplex(self.operator.to(device))

    @staticmethod
    def _alike(apply: Callable[[Tensor], Tensor], numbers: Tensor, axes: int) -> Tensor:
        """``apply`` of real [batch, channel, ...] on complex [*k, batch, ...] of so many axes: k and parts are channels."""
        leading, single = numbers.shape[: -axes - 1], numbers.shape[-axes - 1 :]
        parts = torch.view_as_real(numbers.reshape(-1, *single)).movedim(-1, 0)
        found = apply(parts.flatten(0, 1).transpose(0, 1)).transpose(0, 1)
        real, imaginary = found.unflatten(0, (2, -1))
        return torch.complex(real, imaginary).reshape(*leading, *found.shape[1:])


def everything(images: Image) -> Pixels:
    """A = 1."""
    return Pixels(images.new_ones(len(images), 1, *images.shape[-2:], dtype=torch.bool))


def stack(operators: Sequence[Operator]) -> Operator:
    """Operators of one kind, and for images of one shape, as one batch."""
    pixels = [one.mask for one in operators if isinstance(one, Pixels)]
    rows = [one.rows for one in operators if isinstance(one, Rows)]
    return Pixels(torch.cat(pixels)) if pixels else Rows(torch.cat(rows))
