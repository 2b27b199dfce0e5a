"""Two sets of maps a pixel, for objects larger than the field of view: when they are needed, and where they come from.

Where an object folds onto itself two places with different coil sensitivities lie in one pixel, and one map can't explain both;
ESPIRiT shows it by a second eigenvalue near 1 (soft-SENSE, Uecker et al., MRM 71:990, 2014).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Complex
from torch import Tensor

from data_prep.calibration import box_of, only_acs
from data_prep.espirit import KERNEL, calibration_box, espirit, gram_at, kernel_correlation
from data_prep.maps import bart_ecalib
from mri_ambient.physics.fourier import ifft2c

KSpace = Complex[Tensor, "coil y x"]
NEEDED = (
    0.028  # of the ACS image's amplitude; with 10 to 48 lines simulated heads have up to .027, 15 % too wide .029 to .2
)
SECOND = 0.65  # the eigenvalue from which on a pixel counts: few ACS lines bring the second one no nearer to 1
CROP = 0.2  # of both sets, for the same reason: 5 lines, R=2: TV .12, with .5 .25, with .8 .39
POINTS = 48  # along each axis, about: eigenvalues vary slowly, and not every pixel has to be asked
WITH_TWO_SETS = ("espirit", "bart")
FEWEST_COILS = 3  # two maps of two coils explain anything


def needed_sets(kspace: Complex[Tensor, "slice coil y x"], acs: tuple[int, int], noise_std: Sequence[float]) -> int:
    """2 if the second set explains more than NEEDED of the ACS image in any slice, else 1: the slices of a volume share the
    number. noise_std: of a real component of a k-space sample, for each slice; 0 if nobody knows."""
    if kspace.shape[1] < FEWEST_COILS:
        return 1
    found = (second_share(k, acs, level) for k, level in zip(kspace, noise_std, strict=True))
    return 2 if any(share > NEEDED for share in found) else 1


def second_share(kspace: KSpace, acs: tuple[int, int], noise_std: float) -> float:
    """||S_2^H c|| / ||c|| over the pixels where the second eigenvalue is above SECOND and the third is not, c the ACS image.

    A threshold on the eigenvalue alone would count dark pixels, and those beside the head where noise decides; where the third
    eigenvalue is near 1 too the calibration has taken noise for signal, and nothing follows.
    """
    rows, columns = kspace.shape[-2:]
    box = calibration_box(acs)
    centre = box_of(kspace, box)
    correlation = kernel_correlation(centre, noise_threshold(centre, noise_std))
    down, across = (max(1, size // POINTS) for size in (rows, columns))
    gram = gram_at(correlation, (rows, columns), torch.arange(0, rows, down))[:, ::across]
    values, vectors = torch.linalg.eigh(gram)
    images = ifft2c(only_acs(kspace, box))[:, ::down, ::across].permute(1, 2, 0)
    second = (vectors[..., -2].conj() * images).sum(-1)
    folded = (values[..., -2] > SECOND) & (values[..., -3] <= SECOND)
    return float(second[folded].norm() / images.norm())


def noise_threshold(centre: Complex[Tensor, "coil r c"], noise_std: float) -> float:
    """The share of the calibration matrix's largest singular value that noise alone reaches, sigma (sqrt(m) + sqrt(n)) for m
    neighbourhoods of n samples (Marchenko & Pastur, 1967), and a tenth more, for they overlap; at least ESPIRiT's .02."""
    coils, height, width = centre.shape
    kernel = (min(KERNEL, (height + 1) // 2), min(KERNEL, (width + 1) // 2))
    windows = centre.unfold(1, kernel[0], 1).unfold(2, kernel[1], 1).permute(1, 2, 0, 3, 4)
    matrix = windows.reshape(-1, coils * kernel[0] * kernel[1])
    smaller = matrix.mH if matrix.shape[0] > matrix.shape[1] else matrix
    largest = float(torch.linalg.eigvalsh(smaller @ smaller.mH)[-1]) ** 0.5
    edge = 2**0.5 * noise_std * (matrix.shape[0] ** 0.5 + matrix.shape[1] ** 0.5)
    return min(max(0.02, 1.1 * edge / largest), 0.5) if math.isfinite(edge) else 0.02


def two_sets(
    kspace: KSpace, acs: tuple[int, int], source: str
) -> tuple[Complex[Tensor, "coil y x"], Complex[Tensor, "coil y x"]]:
    """The maps of both sets by `espirit` or `bart`."""
    if source == "bart":
        first, second = bart_ecalib(kspace, acs, 2, CROP)
    else:
        first, second = espirit(kspace, acs, sets=2, crop=CROP)
    return first, second
