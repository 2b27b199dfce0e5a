"""ESPIRiT: coil sensitivity maps from the autocalibration lines (Uecker et al., MRM 71:990, 2014).

The neighbourhoods of k-space in the calibration region span a subspace (their signal kernels). In the image, coil
sensitivities are at each pixel the eigenvector of eigenvalue 1 of a coil x coil matrix G made of those kernels.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor

from mri_ambient.data_prep.acs import box_of

LARGEST_BOX = 48  # rows and columns: more of them add noise and time, and hardly any knowledge of the coils
KERNEL = 6
THRESHOLD = 0.02  # of the largest singular value: sigpy's
EDGE = 1.1  # times the largest singular value of one draw of noise; other draws differ by a few per cent
FLOOR = 0.1  # the lowest tenth of the singular values is noise, whatever the signal
CROP = 0.84  # heads, 4 to 16 coils, SNR 10 to 60: the whole head is inside, with about as much air as at BART's 0.8
START = 8  # the power iteration starts from the eigenvectors of every START-th pixel
UNSETTLED = 1e-3  # an eigenvector's residual, relative to its eigenvalue, that is too large
BLOCK_BYTES = 2**24  # of the matrices G that exist at once: they fit in a cache

Gram = Complex[Tensor, "*pixels coil coil"]


def espirit(
    kspace: Complex[Tensor, "*slice coil y x"],
    acs: tuple[int, int],
    noise_std: float | None = None,
    sets: int = 1,
    threshold: float = THRESHOLD,
    crop: float = CROP,
    soft: bool = False,
    iterations: int = 8,
) -> Complex[Tensor, "*slice set coil y x"]:
    """Maps of every slice, on the device of ``kspace``, of which only the ACS is read; complex64.

    acs: rows and columns of the fully sampled centre; the calibration box is at most 48 of each and never larger than it.
    noise_std: of the real component of a sample, or an upper bound of it; None if nothing is known. sets: how many maps a
    pixel; the second serves where an object folds onto itself. threshold: singular values below this share of the largest
    are left out even without noise (sigpy's rule); see :func:`signal_threshold` for those of noise. crop: where a set's
    eigenvalue is below it there is no object, and the maps are 0 (soft: they fade out over crop +- 0.1, and so are not of unit
    norm there). Elsewhere sum_c |S_c|^2 = 1. The phase reference makes the calibration region's principal virtual coil real,
    which is smooth and changes little with the noise.
    """
    slices = kspace.flatten(0, -4) if kspace.ndim > 3 else kspace[None]
    maps = [_slice_maps(k, acs, noise_std, sets, threshold, crop, soft, iterations) for k in slices]
    return torch.stack(maps).reshape(*kspace.shape[:-3], sets, *kspace.shape[-3:])


def calibration_box(acs: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns to calibrate on: no more than the true ACS, and at most 48 of each."""
    return min(acs[0], LARGEST_BOX), min(acs[1], LARGEST_BOX)


def principal_coil(box: Complex[Tensor, "coil r c"]) -> Complex[Tensor, " coil"]:
    """The combination of coils that holds most of the box's energy, its largest weight real and positive."""
    signals = box.flatten(1)
    weights = torch.linalg.eigh(signals @ signals.mH).eigenvectors[:, -1]
    return weights * torch.exp(-1j * weights[weights.abs().argmax()].angle())


def _slice_maps(
    kspace: Tensor,
    acs: tuple[int, int],
    noise_std: float | None,
    sets: int,
    threshold: float,
    crop: float,
    soft: bool,
    iterations: int,
) -> Complex[Tensor, "set coil y x"]:
    coils, rows, columns = kspace.shape
    box = box_of(kspace, calibration_box(acs))
    reference = principal_coil(box)
    correlation = kernel_correlation(box, threshold, noise_std)
    maps = kspace.new_zeros(sets, coils, rows, columns)
    block = START * max(1, BLOCK_BYTES // (8 * coils**2 * columns * START))
    for top in range(0, rows, block):
        gram = gram_at(correlation, (rows, columns), torch.arange(top, min(top + block, rows)))
        for index in range(sets):
            vector, value = _principal(gram, iterations, crop - 0.1)
            weight = _ramp(value, crop) if soft else (value > crop).float()
            turned = vector * torch.exp(-1j * (vector @ reference.conj()).angle())[..., None]
            maps[index, :, top : top + block] = (turned * weight[..., None]).permute(2, 0, 1)
            if index + 1 < sets:
                gram = gram - value[..., None, None] * vector[..., :, None] * vector[..., None, :].conj()
    return maps


def kernel_correlation(
    box: Complex[Tensor, "coil r c"], threshold: float, noise_std: float | None = None
) -> Complex[Tensor, "coil coil p q"]:
    """sum_k of the cross-correlation of the signal kernels of coils i and j: G's Fourier coefficients, (2 n - 1) an axis.

    The signal kernels are the right singular vectors of the calibration matrix (one row a k-space neighbourhood).
    """
    coils, kernel = len(box), kernel_of((box.shape[1], box.shape[2]))
    matrix = calibration_matrix(box, kernel)
    wide = matrix.shape[0] < matrix.shape[1]  # many coils: the smaller of the two Gram matrices has the same values
    energy, vectors = torch.linalg.eigh(matrix @ matrix.mH if wide else matrix.mH @ matrix)
    kept = energy.clamp_min(0).sqrt() > signal_threshold(energy, box.shape, threshold, noise_std)
    kept[-1] = True
    signals = matrix.mH @ (vectors[:, kept] / energy[kept].sqrt()) if wide else vectors[:, kept]
    signals = signals.mH.reshape(-1, coils, *kernel)
    small = torch.fft.ifftn(signals, s=[2 * n - 1 for n in kernel], dim=(-2, -1), norm="forward")
    product = torch.einsum("kiyx,kjyx->ijyx", small, small.conj())
    correlation = torch.fft.fftn(product, dim=(-2, -1), norm="forward") / (kernel[0] * kernel[1])
    return torch.fft.fftshift(correlation, dim=(-2, -1))


def kernel_of(box: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the kernels: KERNEL, or about half of a smaller box."""
    return min(KERNEL, (box[0] + 1) // 2), min(KERNEL, (box[1] + 1) // 2)


def calibration_matrix(
    box: Complex[Tensor, "coil r c"], kernel: tuple[int, int]
) -> Complex[Tensor, "place coil_and_offset"]:
    """Every neighbourhood of ``kernel`` in the box as a row."""
    windows = box.unfold(1, kernel[0], 1).unfold(2, kernel[1], 1)
    return windows.permute(1, 2, 0, 3, 4).flatten(0, 1).flatten(1)


def signal_threshold(
    energy: Float[Tensor, " n"], box: tuple[int, ...], share: float, noise_std: float | None
) -> Float[Tensor, ""]:
    """Below it a singular value (the root of ``energy``, ascending) of the calibration matrix of ``box`` is left out.

    The larger of ``share`` of the largest, and of the largest that noise of this level has in a matrix of this size. For a
    matrix of independent entries that edge is Marchenko and Pastur's, std (sqrt(m) + sqrt(n)); the rows here overlap, which
    moves it, so it is read off one draw of noise. The level is ``noise_std`` (without a noise scan it is an upper bound), or
    what the smallest singular values tell, if that is less: they are noise, or hold a little signal as well. (Iyer et al., MRM
    84:3423, 2020, choose the threshold by SURE, a search; the edge needs none.)
    """
    of_noise = noise_energy(box).to(energy.device)
    lowest = max(1, round(FLOOR * len(energy)))
    level = (energy[:lowest].clamp_min(0).mean() / of_noise[:lowest].mean()).sqrt()
    if noise_std is not None:
        level = level.clamp_max(math.sqrt(2) * noise_std)
    return torch.maximum(share * energy[-1].sqrt(), EDGE * level * of_noise[-1].sqrt())


@lru_cache(maxsize=16)
def noise_energy(box: tuple[int, ...]) -> Float[Tensor, " n"]:
    """The squared singular values, ascending, of the calibration matrix of a ``box`` [coil, r, c] of unit complex noise."""
    noise = torch.randn(*box, dtype=torch.complex64, generator=Generator().manual_seed(0))
    matrix = calibration_matrix(noise, kernel_of((box[1], box[2])))
    wide = matrix.shape[0] < matrix.shape[1]
    return torch.linalg.eigvalsh(matrix @ matrix.mH if wide else matrix.mH @ matrix).clamp_min(0)


def gram_at(correlation: Complex[Tensor, "coil coil p q"], matrix: tuple[int, int], rows: Tensor) -> Gram:
    """G at the pixels of ``rows`` of an image of ``matrix``: the Fourier series of ``correlation``, [y, x, coil, coil]."""
    coils, heights, widths = len(correlation), *correlation.shape[-2:]
    device = correlation.device
    vertical = _harmonics(rows.to(device), matrix[0], heights)
    horizontal = _harmonics(torch.arange(matrix[1], device=device), matrix[1], widths)
    lines = horizontal @ correlation.permute(3, 2, 0, 1).reshape(widths, -1)  # [x, p coil coil]
    lines = lines.reshape(matrix[1], heights, -1).transpose(0, 1).reshape(heights, -1)
    return (vertical @ lines).reshape(len(rows), matrix[1], coils, coils)


def _harmonics(pixels: Tensor, size: int, count: int) -> Complex[Tensor, "pixel count"]:
    position = (pixels - size // 2).double()[:, None]
    order = (torch.arange(count, device=pixels.device) - count // 2).double()
    return torch.exp(2j * math.pi * position * order / size).to(torch.complex64)


def _principal(
    gram: Gram, iterations: int, relevant: float
) -> tuple[Complex[Tensor, "y x coil"], Float[Tensor, "y x"]]:
    """The largest eigenvalue and its vector at every pixel: power iteration from the eigenvectors of a coarse grid.

    G varies as slowly as its few harmonics let it, so the start is close and few iterations do; the few pixels where they do
    not, for two eigenvalues are nearly equal, are solved one by one if the value is above ``relevant``.
    """
    rows, columns = gram.shape[:2]
    first = [min(START // 2, size - 1) for size in (rows, columns)]  # the last block may have few rows
    coarse = torch.linalg.eigh(gram[first[0] :: START, first[1] :: START]).eigenvectors[..., -1]
    near = lambda n, m: (torch.arange(n, device=gram.device) // START).clamp_max(m - 1)  # noqa: E731
    vector = coarse[near(rows, coarse.shape[0])][:, near(columns, coarse.shape[1]), :, None]
    for _ in range(iterations - 1):  # not normalised in between: an eigenvalue's power stays far from underflow
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


def _ramp(value: Float[Tensor, "y x"], crop: float) -> Float[Tensor, "y x"]:
    share = ((value - crop + 0.1) / 0.2).clamp(0, 1)
    return share.square() * (3 - 2 * share)
