"""Compressed sensing by ``bart pics``, for people who have BART. One image a slice.

BART minimises 1/2 ||A x - y||^2 + lambda R(x), as sigpy does; -w 1 keeps it from scaling the data, so that lambda means the
same, and -p gives it the scan's mask. Its step sizes, its random shifts and their seed are its own. Its FISTA (wavelets and low
rank) ends with a gradient step, not with a threshold: for the minimiser z it returns z + 0.95 A^H (y - A z).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.bart import bart
from mri_ambient.measurement import Measurement
from mri_ambient.physics.sense import apart
from mri_ambient.recon.methods.classical import ClassicalSettings
from mri_ambient.recon.methods.method import Slices, classical

YX = 3  # BART's bit mask of the first two dimensions
TIME = 10  # its eleventh dimension, along which low rank is meant
ADMM_RHO = (
    0.01  # with 100 iterations NRMSE .127; with BART's own 0.5, .197: images of 1, their gradients' duals of lambda
)


@dataclass(frozen=True)
class BartL1WaveletSettings(ClassicalSettings):
    """wavelet, spin: as in :class:`mri_ambient.recon.methods.classical.L1WaveletSettings`."""

    regularisation: float = 2e-3
    iterations: int = 100
    wavelet: Literal["haar", "dau2", "cdf44"] = "dau2"
    spin: bool = True


@dataclass(frozen=True)
class BartTvSettings(ClassicalSettings):
    regularisation: float = 3e-3
    iterations: int = 100


@dataclass(frozen=True)
class BartLlrSettings(ClassicalSettings):
    """block: width of the square blocks, in pixels."""

    regularisation: float = 1e-2
    iterations: int = 100
    block: int = 8


def bart_l1_wavelet(measurement: Measurement, settings: BartL1WaveletSettings = BartL1WaveletSettings()) -> Slices:
    """argmin_x 1/2 ||A x - y||^2 + lambda ||W x||_1, by FISTA (Lustig et al., MRM 58:1182, 2007).

    The objective of :func:`mri_ambient.recon.methods.classical.l1_wavelet` but for W: BART's default is the shorter
    Daubechies wavelet of two vanishing moments, periodic at the edges. Raises UserError if BART is not installed, as all
    of this file.
    """
    spin = "" if settings.spin else "-n "
    regularised = f"--wavelet {settings.wavelet} -R W:{YX}:0:{settings.regularisation:g}"
    return pics(measurement, f"{spin}-i {settings.iterations} {regularised}")


def bart_tv(measurement: Measurement, settings: BartTvSettings = BartTvSettings()) -> Slices:
    """argmin_x 1/2 ||A x - y||^2 + lambda sum_p sqrt(|D_y x|_p^2 + |D_x x|_p^2), by ADMM (Block et al., MRM 57:1086, 2007).

    Isotropic, where :func:`mri_ambient.recon.methods.classical.tv` is anisotropic: a lambda penalises edges along the
    diagonals less here.
    """
    return pics(measurement, f"-u {ADMM_RHO} -i {settings.iterations} -R T:{YX}:0:{settings.regularisation:g}")


def bart_llr(measurement: Measurement, settings: BartLlrSettings = BartLlrSettings()) -> Slices:
    """argmin_u 1/2 sum_c ||M F u_c - y_c||^2 + lambda sum_b ||B_b u||_*, then x = S^H u (CLEAR, Trzasko & Manduca, 2011).

    Low rank needs a second dimension. One image x has none: each of its blocks is one column, and ||.||_* merely its norm. What
    is locally of low rank in a single slice are its coil images u_c: over a block, sensitivities hardly vary, so that B_b u,
    pixels by coils, has few singular values. The maps come in only when the coils are combined. To BART the coils are time; it
    shifts the blocks at random, and thresholds singular values at lambda times :func:`threshold_of_bart`, divided out here.
    """
    strength = settings.regularisation / threshold_of_bart(
        measurement.matrix, settings.block, measurement.kspace.shape[1]
    )
    options = f"-i {settings.iterations} -b {settings.block} -R L:{YX}:{YX}:{strength:g}"
    ones = np.ones((*measurement.matrix, 1, 1), np.complex64)
    images = []
    for kspace, maps, mask in by_slice(measurement):
        as_time = np.moveaxis(kspace[..., *[None] * (TIME - 3)], 3, TIME)
        coils = call(options, as_time, ones, np.broadcast_to(mask.reshape(*mask.shape, *[1] * 9), as_time.shape))
        images.append((maps[:, :, 0].conj() * coils.reshape(*measurement.matrix, -1, 1)).sum(-2))
    return seen(measurement, images)


def threshold_of_bart(matrix: tuple[int, int], block: int, coils: int) -> float:
    """sqrt(m) + sqrt(n) + sqrt(ln(b min(m, n))), b blocks of m pixels by n coils: about the top singular value of unit noise.

    Read off BART 0.8.00's answers, to six digits, on matrices of 32 to 128, blocks of 4 to 16 pixels and 4 or 8 coils. (A
    block whose singular values are hardly above the threshold BART sets to 0 altogether.)
    """
    pixels, blocks = block**2, math.prod(math.ceil(size / block) for size in matrix)
    return math.sqrt(pixels) + math.sqrt(coils) + math.sqrt(math.log(blocks * min(pixels, coils)))


def pics(measurement: Measurement, options: str) -> Slices:
    """``bart pics`` with the maps of ``measurement``, slice by slice; 0 where no coil sees."""
    return seen(measurement, [call(options, *arrays) for arrays in by_slice(measurement)])


def call(options: str, kspace: np.ndarray, maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    (image,) = bart(f"pics -w 1 {options}", kspace, maps, files={"p": mask}, threads=1)
    return image


def by_slice(measurement: Measurement) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(k-space [y, x, 1, coil], maps [y, x, 1, coil, set], mask [y, x]) of each slice, in BART's order of dimensions."""
    measurement = measurement.to("cpu")
    masks = measurement.sense.mask.expand(-1, *measurement.matrix).to(torch.complex64)
    kspace = measurement.sense.apply_mask(measurement.kspace) * centre_of_pics(measurement.matrix)
    maps = apart(measurement.sense.maps, measurement.sense.sets).permute(0, 3, 4, 1, 2)[:, :, :, None].numpy()
    return list(zip(as_bart(kspace), maps, masks.numpy(), strict=True))


def centre_of_pics(matrix: tuple[int, int]) -> Complex[Tensor, "y x"]:
    """exp(2 pi i c (c - 2 k) / N), c = N // 2, along both axes: what centred k-space lacks for ``pics`` to see it centred.

    ``pics`` turns k-space by exp(2 pi i c k / N), as it does the maps, instead of by its inverse. For even N that leaves a sign
    of the whole image, for odd N a shift.
    """
    y, x = (torch.exp(2j * torch.pi * (n // 2) * (n // 2 - 2 * torch.arange(n)) / n) for n in matrix)
    return y[:, None] * x


def as_bart(coils: Complex[Tensor, "slice coil y x"]) -> np.ndarray:
    return coils.permute(0, 2, 3, 1)[:, :, :, None].numpy()


def seen(measurement: Measurement, images: list[np.ndarray]) -> Slices:
    """Images [y, x, .., set]; 0 where no coil sees."""
    by_set = [np.moveaxis(image.reshape(*measurement.matrix, measurement.sense.sets), -1, 0) for image in images]
    found = torch.stack([torch.from_numpy(np.ascontiguousarray(sets)) for sets in by_set]).flatten(1, 2)
    return torch.where(measurement.operator.support, found.to(measurement.device), 0)


BART_L1_WAVELET = classical(bart_l1_wavelet, BartL1WaveletSettings(), needs_bart=True)
BART_TV = classical(bart_tv, BartTvSettings(), needs_bart=True)
BART_LLR = classical(bart_llr, BartLlrSettings(), needs_bart=True)
