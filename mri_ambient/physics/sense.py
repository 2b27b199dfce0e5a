"""The forward model A = M F S: coil sensitivities, Fourier transform, sampling mask."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Complex, Shaped
from torch import Tensor

from mri_ambient.physics.fourier import fft2c, ifft2c


@dataclass(frozen=True)
class Sense:
    """Multi-coil Cartesian sampling (Pruessmann et al., MRM 42:952, 1999).

    maps: complex sensitivities S with sum_c |S_c|^2 = 1 on their support and 0 outside.
    mask: True where k-space is measured; a line mask ``[x]``, or ``[*batch, y or 1, x]``.
    sets: how many maps a pixel has (soft-SENSE, Uecker et al., MRM 71:990, 2014), A x = M F sum_s S_s x_s: two where an object
    folds onto itself. Images and maps of several sets lie one under the other, v = sets y rows, so that who solves for an image
    need not know of them. Sets are orthogonal, sum_c S_1c^* S_2c = 0, so that ||A|| <= 1 as with one.
    """

    maps: Complex[Tensor, "*batch coil v x"]
    mask: Bool[Tensor, "*shape"]
    sets: int = 1

    def __call__(self, image: Complex[Tensor, "*batch v x"]) -> Complex[Tensor, "*batch coil y x"]:
        """A x: the measured k-space of every coil, 0 where nothing is measured."""
        return self.apply_mask(fft2c(self.summed(self.maps * image.unsqueeze(-3))))

    def adjoint(self, kspace: Complex[Tensor, "*batch coil y x"]) -> Complex[Tensor, "*batch v x"]:
        """A^H k: the coil-combined image of the measured entries of ``kspace``."""
        return (self.conjugate * self.repeated(ifft2c(self.apply_mask(kspace)))).sum(-3)

    def gram(self, image: Complex[Tensor, "*batch v x"]) -> Complex[Tensor, "*batch v x"]:
        """A^H A x = S^H (F^H M F) S x.

        F^H M F is a circular convolution, which knows no centre, so that nothing is shifted but the mask; behind a line mask
        the transform along y cancels. This is what solvers spend their time on. The operator is its own adjoint, so its
        gradient is itself (and costs no memory); there is none for the maps.
        """
        return _Gram.apply(image, self)  # pyright: ignore[reportReturnType]

    @cached_property
    def conjugate(self) -> Complex[Tensor, "*batch coil v x"]:
        """S^*, in memory: multiplying by torch's lazy conjugate costs three times as much."""
        return self.maps.conj().resolve_conj()

    def apply_mask(self, kspace: Complex[Tensor, "*batch coil y x"]) -> Complex[Tensor, "*batch coil y x"]:
        """M k: what is not measured becomes 0, even where it was NaN."""
        return torch.where(self.measured.unsqueeze(-3), kspace, 0)

    def with_mask(self, mask: Bool[Tensor, "*shape"]) -> "Sense":
        """The same coils behind another mask."""
        return replace(self, mask=mask)

    def __getitem__(self, slices: slice) -> "Sense":
        """Those of some slices of a batch."""
        return replace(self, maps=self.maps[slices], mask=self.mask[slices] if self.mask.ndim > 1 else self.mask)

    def to(self, device: torch.device | str) -> "Sense":
        """The same on another device."""
        return replace(self, maps=self.maps.to(device), mask=self.mask.to(device))

    @property
    def measured(self) -> Bool[Tensor, "*batch #y x"]:
        """The mask, at least of one row."""
        return self.mask.unsqueeze(-2) if self.mask.ndim == 1 else self.mask

    @property
    def support(self) -> Bool[Tensor, "*batch v x"]:
        """Where any coil sees the object."""
        return (self.maps.abs() > 0).any(-3)

    def summed(self, images: Shaped[Tensor, "*batch v x"]) -> Shaped[Tensor, "*batch y x"]:
        """The sum over the sets."""
        return images if self.sets == 1 else apart(images, self.sets).sum(-3)

    def repeated(self, images: Shaped[Tensor, "*batch y x"]) -> Shaped[Tensor, "*batch v x"]:
        """The same for each set."""
        return images if self.sets == 1 else torch.cat([images] * self.sets, -2)


class _Gram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, sense: Sense) -> Tensor:
        ctx.sense = sense
        mask = sense.measured
        axes = (-1,) if mask.shape[-2] == 1 else (-2, -1)
        kept = torch.fft.ifftshift(mask, dim=axes).unsqueeze(-3)
        kspace = torch.fft.fftn(sense.summed(sense.maps * image.unsqueeze(-3)), dim=axes)
        coil_images = sense.repeated(torch.fft.ifftn(kspace.mul_(kept), dim=axes))
        return coil_images.mul_(sense.conjugate).sum(-3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.sense.gram(gradients[0]), None


def apart(images: Shaped[Tensor, "*batch v x"], sets: int) -> Shaped[Tensor, "*batch set y x"]:
    """What lies one under the other, by set."""
    return images.unflatten(-2, (sets, -1))


def stacked(first: Shaped[Tensor, "*batch y x"], *others: Shaped[Tensor, "*batch y x"] | None) -> Tensor:
    """Images or maps of several sets one under the other, as :class:`Sense` has them; None is a set that isn't there."""
    there = [images for images in others if images is not None]
    return torch.cat([first, *there], -2) if there else first


def whole_image(like: Complex[Tensor, "*batch y x"]) -> Sense:
    """One coil of sensitivity 1 and every line measured: the forward model under which all of the image is seen."""
    maps = torch.ones_like(like).unsqueeze(-3)
    return Sense(maps, torch.ones(like.shape[-1], dtype=torch.bool, device=like.device))
