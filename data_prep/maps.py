"""Coil sensitivity maps from the autocalibration lines alone."""

from collections.abc import Callable

import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.physics.fourier import ifft2c

CALIBRATION_ROWS = 48
KERNEL = 6

KSpace = Complex[Tensor, "coil y x"]
Maps = Complex[Tensor, "coil y x"]


def espirit(
    kspace: KSpace, acs: tuple[int, int], threshold: float = 0.02, crop: float = 0.8, iterations: int = 40
) -> Maps:
    """ESPIRiT (Uecker et al., MRM 71:990, 2014) with a rectangular calibration box, one set of maps.

    acs: rows and columns of the fully sampled centre; the box is at most 48 rows high and never wider than it.
    threshold: singular values below this share of the largest are noise. crop: pixels whose eigenvalue is below it are
    outside the object and get 0. The phase of each pixel makes the principal virtual coil real, which is smooth.
    """
    coils, rows, columns = kspace.shape
    box = calibration_box(kspace, acs)
    kernel = (min(KERNEL, box.shape[1] // 2), min(KERNEL, (box.shape[2] + 1) // 2))
    signals = _signal_kernels(box, kernel, threshold)

    # sum_k K_k K_k^H at each pixel: correlate the kernels on a grid that just holds the result, then interpolate.
    small = torch.fft.ifftn(signals, s=[2 * n - 1 for n in kernel], dim=(-2, -1), norm="forward")
    product = torch.einsum("kiyx,kjyx->ijyx", small, small.conj())
    correlation = torch.fft.fftshift(torch.fft.fftn(product, dim=(-2, -1), norm="forward"), dim=(-2, -1))
    padded = kspace.new_zeros(coils, coils, rows, columns)
    top, left = rows // 2 - kernel[0] + 1, columns // 2 - kernel[1] + 1
    padded[..., top : top + 2 * kernel[0] - 1, left : left + 2 * kernel[1] - 1] = correlation
    gram = ifft2c(padded).permute(2, 3, 0, 1) * (rows * columns) ** 0.5 / (kernel[0] * kernel[1])

    vector = kspace.new_ones(rows, columns, coils, 1)
    eigenvalue = torch.zeros(rows, columns)
    for _ in range(iterations):
        image = gram @ vector
        eigenvalue = image.abs().square().sum((-2, -1)).sqrt()
        vector = image / eigenvalue[..., None, None].clamp_min(1e-12)
    maps = vector[..., 0].permute(2, 0, 1)
    reference = (principal_coil(box)[:, None, None].conj() * maps).sum(0)
    return torch.where(eigenvalue > crop, maps * torch.exp(-1j * reference.angle()), 0)


def sigpy_espirit(kspace: KSpace, acs: tuple[int, int]) -> Maps:
    """sigpy's ESPIRiT, whose calibration box is square: as wide as the ACS in both directions."""
    from sigpy.mri.app import EspiritCalib

    width = min(*acs, 24)
    kernel = min(KERNEL, (width + 1) // 2)
    calibration = EspiritCalib(kspace.numpy(), calib_width=width, kernel_width=kernel, crop=0.8, show_pbar=False)
    maps = torch.from_numpy(calibration.run())
    reference = (principal_coil(calibration_box(kspace, acs))[:, None, None].conj() * maps).sum(0)
    return maps * torch.exp(-1j * reference.angle())


MAPS: dict[str, Callable[[KSpace, tuple[int, int]], Maps]] = {"espirit": espirit, "sigpy": sigpy_espirit}


def calibration_box(kspace: KSpace, acs: tuple[int, int]) -> Complex[Tensor, "coil r c"]:
    """The fully sampled centre of k-space, no larger than the true ACS and at most 48 rows high."""
    rows, columns = kspace.shape[-2:]
    height, width = min(acs[0], CALIBRATION_ROWS), acs[1]
    top, left = rows // 2 - height // 2, columns // 2 - width // 2
    return kspace[:, top : top + height, left : left + width]


def principal_coil(box: Complex[Tensor, "coil r c"]) -> Complex[Tensor, " coil"]:
    """The combination of coils that holds most of the box's energy, its largest weight real and positive."""
    signals = box.flatten(1)
    weights = torch.linalg.eigh(signals @ signals.mH).eigenvectors[:, -1]
    return weights * torch.exp(-1j * weights[weights.abs().argmax()].angle())


def _signal_kernels(box: Tensor, kernel: tuple[int, int], threshold: float) -> Complex[Tensor, "k coil u v"]:
    """The right singular vectors of the calibration matrix (one row a k-space neighbourhood) that carry signal."""
    windows = box.unfold(1, kernel[0], 1).unfold(2, kernel[1], 1)
    matrix = windows.permute(1, 2, 0, 3, 4).reshape(-1, box.shape[0] * kernel[0] * kernel[1])
    energy, vectors = torch.linalg.eigh(matrix.mH @ matrix)
    kept = energy > threshold**2 * energy[-1]
    return vectors[:, kept].mH.reshape(-1, box.shape[0], *kernel)
