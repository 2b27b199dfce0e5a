"""Change the matrix of a scan in k-space: the field of view stays, the pixel changes."""

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from mri_ambient.physics.fourier import fft2c, ifft2c


def resize_kspace(kspace: Complex[Tensor, "*batch y x"], matrix: tuple[int, int]) -> Complex[Tensor, "*batch v u"]:
    """Keep (or zero-pad to) the central ``matrix`` samples, scaled so that the image's brightness stays."""
    rows, columns = kspace.shape[-2:]
    gain = (matrix[0] * matrix[1] / (rows * columns)) ** 0.5
    return _centre(_centre(kspace, -2, matrix[0]), -1, matrix[1]) * gain


def resize_image(image: Complex[Tensor, "*batch y x"], matrix: tuple[int, int]) -> Complex[Tensor, "*batch v u"]:
    """Sinc interpolation: through k-space and back."""
    return ifft2c(resize_kspace(fft2c(image), matrix))


def resize_mask(mask: Bool[Tensor, "*batch y x"], rows: int, matrix: tuple[int, int]) -> Bool[Tensor, "*batch v u"]:
    """What remains measured of a scan of ``rows`` rows; samples beyond the old matrix never were. A line mask (one row) stays
    one unless there are rows beyond."""
    if mask.shape[-2] == 1 and matrix[0] <= rows:
        return _centre(mask, -1, matrix[1])
    mask = mask.expand(*mask.shape[:-2], rows, mask.shape[-1])
    return _centre(_centre(mask, -2, matrix[0]), -1, matrix[1])


def resize_maps(
    maps: Complex[Tensor, "*batch coil y x"], matrix: tuple[int, int]
) -> Complex[Tensor, "*batch coil v u"]:
    """Bilinear, for maps are smooth, then to unit sum of squares again where at least half of the pixel is inside."""
    channels = torch.cat([maps.real, maps.imag], -3)
    resized = torch.nn.functional.interpolate(
        channels.reshape(-1, *channels.shape[-3:]), matrix, mode="bilinear", antialias=True
    )
    coils = torch.complex(*resized.reshape(*channels.shape[:-2], *matrix).chunk(2, -3))
    norm = coils.abs().square().sum(-3, keepdim=True).sqrt()
    return torch.where(norm > 0.5, coils / norm.clamp_min(1e-6), 0)


def _centre(array: Tensor, axis: int, size: int) -> Tensor:
    """Crop or zero-pad one axis so that index N // 2 stays the centre."""
    length = array.shape[axis]
    if size <= length:
        return array.narrow(axis, length // 2 - size // 2, size)
    shape = list(array.shape)
    shape[axis] = size
    padded = array.new_zeros(shape)
    padded.narrow(axis, size // 2 - length // 2, length).copy_(array)
    return padded
