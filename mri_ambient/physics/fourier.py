"""The one Fourier transform: centred and orthonormal, over the last axes."""

import torch
from jaxtyping import Complex
from torch import Tensor

YX = (-2, -1)


def fft2c(image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
    """Image -> k-space, DC at index N//2 on both axes; the same array as ``fastmri.fft2c`` and ``sigpy.fft``."""
    return fftc(image, YX)


def ifft2c(kspace: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
    """k-space -> image, the inverse and adjoint of :func:`fft2c`."""
    return ifftc(kspace, YX)


def fftc(image: Complex[Tensor, "..."], axes: tuple[int, ...]) -> Complex[Tensor, "..."]:
    """The centred orthonormal transform over ``axes`` alone."""
    shifted = torch.fft.ifftshift(image, dim=axes)
    return torch.fft.fftshift(torch.fft.fftn(shifted, dim=axes, norm="ortho"), dim=axes)


def ifftc(kspace: Complex[Tensor, "..."], axes: tuple[int, ...]) -> Complex[Tensor, "..."]:
    """The inverse of :func:`fftc`."""
    shifted = torch.fft.ifftshift(kspace, dim=axes)
    return torch.fft.fftshift(torch.fft.ifftn(shifted, dim=axes, norm="ortho"), dim=axes)
