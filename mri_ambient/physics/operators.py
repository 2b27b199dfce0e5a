"""What every forward model can do: solvers, samplers and measurements ask no more of it."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class LinearOperator(Protocol):
    """A linear A from images to data, each image of a batch with its own: SENSE, or a corruption of the image domain.

    Images are complex ``[*batch, v, x]``, data complex ``[*batch, channel, ...]`` (of SENSE a channel is a coil). What several
    images share (the K samples of a slice) broadcasts over leading axes.
    """

    def __call__(self, image: Tensor, /) -> Tensor:
        """A x, 0 where nothing is measured."""
        ...

    def adjoint(self, data: Tensor, /) -> Tensor:
        """A^H d; what is not measured counts as 0, even where it is NaN."""
        ...

    def gram(self, image: Tensor, /) -> Tensor:
        """A^H A x; differentiable."""
        ...

    @property
    def support(self) -> Tensor:
        """bool ``[*batch, v, x]``: where an image may be other than 0, of scans where any coil sees."""
        ...

    @property
    def measured(self) -> Tensor:
        """bool, broadcasts to data without their channels: which were measured."""
        ...

    def __getitem__(self, slices: slice, /) -> "LinearOperator":
        """The operators of some images of the batch."""
        ...

    def to(self, device: torch.device | str, /) -> "LinearOperator":
        """The same on another device."""
        ...
