"""Two sets of maps a pixel, for objects larger than the field of view: when they are needed, and where they come from.

Where an object folds onto itself two places with different coil sensitivities lie in one pixel, and one map can't explain both;
ESPIRiT shows it by a second eigenvalue near 1 (soft-SENSE, Uecker et al., MRM 71:990, 2014).
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.data_prep.acs import box_of, only_acs
from mri_ambient.data_prep.coils.espirit import THRESHOLD, calibration_box, espirit, gram_at, kernel_correlation
from mri_ambient.data_prep.coils.maps import bart_ecalib
from mri_ambient.physics.fourier import ifft2c

KSpace = Complex[Tensor, "coil y x"]
NEEDED = 0.025  # of the ACS image's amplitude; simulated heads have up to .019, 15 % too wide .033 to .19
MANY, NEEDED_OF_FEW = 10, 0.04  # below so many lines: heads up to .037, too wide ones up to .15, some of them less
SECOND = 0.65  # the eigenvalue from which on a pixel counts: few ACS lines bring the second one no nearer to 1
CROP = 0.2  # of both sets, for the same reason: 5 lines, R=2: TV .12, with .5 .25, with .8 .39
POINTS = 48  # along each axis, about: eigenvalues vary slowly, and not every pixel has to be asked
WITH_TWO_SETS = ("joint", "espirit", "bart")
FEWEST_COILS = 3  # two maps of two coils explain anything
FEWEST_LINES = 5  # kernels of fewer than 3 columns tell nothing


def needed_sets(slices: Iterable[KSpace], acs: tuple[int, int], noise_std: Sequence[float]) -> int:
    """2 if the second set explains more than NEEDED of the ACS image in any slice, else 1: the slices of a volume share the
    number. noise_std: of a real component of a k-space sample, for each slice."""
    needed = NEEDED if min(acs) >= MANY else NEEDED_OF_FEW
    shares = (second_share(kspace, acs, level) for kspace, level in zip(slices, noise_std, strict=True))
    return 2 if any(share > needed for share in shares) else 1


def second_share(kspace: KSpace, acs: tuple[int, int], noise_std: float) -> float:
    """||S_2^H c|| / ||c|| over the pixels where the second eigenvalue is above SECOND and the third is not, c the ACS image.

    A threshold on the eigenvalue alone would count dark pixels, and those beside the head where noise decides; where the third
    eigenvalue is near 1 too the calibration has taken noise for signal, and nothing follows. Of a field of view too narrow
    along x, the phase encode, the pixels that count are nearer to its left or right edge than to the others; at those an object
    is cut off by the readout and never folds, though eigenvalues beside the cut may be high.
    """
    coils, rows, columns = kspace.shape
    box = calibration_box(acs)
    if coils < FEWEST_COILS or min(box) < FEWEST_LINES:
        return 0.0
    correlation = kernel_correlation(box_of(kspace, box), THRESHOLD, noise_std)
    down, across = (max(1, size // POINTS) for size in (rows, columns))
    gram = gram_at(correlation, (rows, columns), torch.arange(0, rows, down))[:, ::across]
    values, vectors = torch.linalg.eigh(gram)
    images = ifft2c(only_acs(kspace, box))[:, ::down, ::across].permute(1, 2, 0)
    second = (vectors[..., -2].conj() * images).sum(-1)
    y, x = (torch.arange(0, size, step) / size - 0.5 for size, step in ((rows, down), (columns, across)))
    folded = (values[..., -2] > SECOND) & (values[..., -3] <= SECOND) & (x.abs() > y.abs()[:, None])
    return float(second[folded].norm() / images.norm())


def two_sets(kspace: KSpace, acs: tuple[int, int], source: str, noise_std: float) -> Complex[Tensor, "set coil y x"]:
    """The maps of both sets by `bart` or by `espirit`, from which `joint` starts."""
    if source == "bart":
        return torch.stack(bart_ecalib(kspace, acs, 2, CROP))
    return espirit(kspace, acs, noise_std, sets=2, crop=CROP)
