"""ESPIRiT: coil sensitivity maps from the autocalibration lines (Uecker et al., MRM 71:990, 2014).

In the image, coil sensitivities are at each pixel the eigenvector of eigenvalue 1 of a coil x coil matrix G made of the signal
kernels of :mod:`mri_ambient.data_prep.coils.calibration`.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.data_prep.coils.calibration import ESPIRIT, Calibration, EspiritSettings, calibrate

ITERATIONS = 8
START = 8  # the power iteration starts from the eigenvectors of every START-th pixel
UNSETTLED = 1e-3  # an eigenvector's residual, relative to its eigenvalue, that is too large
BLOCK_BYTES = 2**24  # of the matrices G that exist at once: they fit in a cache

Gram = Complex[Tensor, "*pixels coil coil"]


def espirit(
    kspace: Complex[Tensor, "*slice coil y x"],
    acs: tuple[int, int],
    noise_std: float | None = None,
    sets: int = 1,
    settings: EspiritSettings = ESPIRIT,
) -> Complex[Tensor, "*slice set coil y x"]:
    """Maps of every slice, complex64, on the device of ``kspace``.

    Args:
        kspace: of which only the ACS is read.
        acs: rows and columns of the fully sampled centre.
        noise_std: of the real component of a sample, or an upper bound of it; None if nothing is known.
        sets: how many maps a pixel; the second serves where an object folds onto itself.
        settings: thresholds, kernel and box.

    Example:
        >>> espirit(torch.randn(4, 32, 24, dtype=torch.complex64), (12, 12)).shape
        torch.Size([1, 4, 32, 24])
    """
    slices = kspace.flatten(0, -4) if kspace.ndim > 3 else kspace[None]
    maps = [espirit_maps(calibrate(k, acs, noise_std, settings), sets) for k in slices]
    return torch.stack(maps).reshape(*kspace.shape[:-3], sets, *kspace.shape[-3:])


def espirit_maps(calibration: Calibration, sets: int = 1, crop: float | None = None) -> Complex[Tensor, "set coil y x"]:
    """Maps of one slice: G v = v, sum_c |v_c|^2 = 1, 0 where a set's eigenvalue is below ``crop`` (None: the settings').

    The phase reference makes the calibration region's principal virtual coil real, which is smooth and changes little with the
    noise.
    """
    (rows, columns), coils = calibration.matrix, len(calibration.box)
    crop = calibration.settings.crop if crop is None else crop
    maps = calibration.box.new_zeros(sets, coils, rows, columns)
    block = START * max(1, BLOCK_BYTES // (8 * coils**2 * columns * START))
    for top in range(0, rows, block):
        gram = gram_at(calibration.correlation, (rows, columns), torch.arange(top, min(top + block, rows)))
        for index in range(sets):
            vector, value = _principal(gram, crop - 0.1)
            turned = vector * torch.exp(-1j * (vector @ calibration.reference.conj()).angle())[..., None]
            maps[index, :, top : top + block] = (turned * (value > crop).float()[..., None]).permute(2, 0, 1)
            if index + 1 < sets:
                gram = gram - value[..., None, None] * vector[..., :, None] * vector[..., None, :].conj()
    return maps


def gram_at(correlation: Complex[Tensor, "coil coil p q"], matrix: tuple[int, int], rows: Tensor) -> Gram:
    """G at the pixels of ``rows`` of an image of ``matrix``: the Fourier series of ``correlation``, [y, x, coil, coil]."""
    coils, heights, widths = len(correlation), *correlation.shape[-2:]
    device = correlation.device
    vertical = _harmonics(rows, matrix[0], heights).to(device)
    horizontal = _harmonics(torch.arange(matrix[1]), matrix[1], widths).to(device)
    lines = horizontal @ correlation.permute(3, 2, 0, 1).reshape(widths, -1)  # [x, p coil coil]
    lines = lines.reshape(matrix[1], heights, -1).transpose(0, 1).reshape(heights, -1)
    return (vertical @ lines).reshape(len(rows), matrix[1], coils, coils)


def _harmonics(pixels: Tensor, size: int, count: int) -> Complex[Tensor, "pixel count"]:
    position = (pixels - size // 2).double()[:, None]
    order = (torch.arange(count) - count // 2).double()
    return torch.exp(2j * math.pi * position * order / size).to(torch.complex64)


def _principal(gram: Gram, relevant: float) -> tuple[Complex[Tensor, "y x coil"], Float[Tensor, "y x"]]:
    """The largest eigenvalue and its vector at every pixel: power iteration from the eigenvectors of a coarse grid.

    G varies as slowly as its few harmonics let it, so the start is close and few iterations do; the few pixels where they do
    not, for two eigenvalues are nearly equal, are solved one by one if the value is above ``relevant``.
    """
    rows, columns = gram.shape[:2]
    first = [min(START // 2, size - 1) for size in (rows, columns)]  # the last block may have few rows
    coarse = torch.linalg.eigh(gram[first[0] :: START, first[1] :: START]).eigenvectors[..., -1]
    near = lambda n, m: (torch.arange(n, device=gram.device) // START).clamp_max(m - 1)  # noqa: E731
    vector = coarse[near(rows, coarse.shape[0])][:, near(columns, coarse.shape[1]), :, None]
    for _ in range(ITERATIONS - 1):  # not normalised in between: an eigenvalue's power stays far from underflow
        vector = gram @ vector
    vector = vector / _norm(vector).clamp_min(1e-30)
    image = gram @ vector
    value = _norm(image)
    unsettled = ((_norm(image - value * vector) > UNSETTLED * value) & (value > relevant))[..., 0, 0]
    vector, value = (image / value.clamp_min(1e-30))[..., 0], value[..., 0, 0]
    if unsettled.any():
        values, vectors = torch.linalg.eigh(gram[unsettled])
        vector[unsettled], value[unsettled] = vectors[..., -1], values[:, -1]
    return vector, value


def _norm(vector: Complex[Tensor, "y x coil 1"]) -> Float[Tensor, "y x 1 1"]:
    return (vector.mH @ vector).real.sqrt()
