"""Whether the spread of K samples says how wrong their mean is: intervals, their coverage, and the scale of the std that mends
it."""

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from scipy.stats import t as student
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.recon.reconstruct import Reconstruction

TINY = 1e-30
AIR = 0.1


def standardised_errors(
    found: Reconstruction, reference: Complex[Tensor, "slice y x"], support: Bool[Tensor, "slice y x"]
) -> Float[np.ndarray, " n"]:
    """||reference| - |mean|| / (sqrt(1 + 1/K) std / sqrt(2)) at every pixel of the ``support``.

    If K samples and the truth are draws from one posterior, truth - mean has the variance (1 + 1/K) std^2, std^2 that of a
    complex number. Where the posterior is circular half of it lies along the mean, and where it is narrow against the mean
    only that half changes the magnitude. std^2 is itself estimated, from 2 (K - 1) real numbers: the ratio follows Student's t
    of that many degrees of freedom. Where |mean| is not much more than std (air) this is an approximation. The reference's own
    noise is part of the error.

    Args:
        found: K samples.
        reference: the truth, in the same units.
        support: pixels to judge, such as :func:`tissue`.

    Raises:
        UserError: K is 1.
    """
    count = found.samples.shape[1]
    if count < 2:
        raise UserError(f"{found.method}: has one image and no spread; an interval needs at least 2 samples")
    error = (reference.abs() - found.mean.abs()).abs()
    unit = found.std * ((1 + 1 / count) / 2) ** 0.5
    return torch.where(error > 0, error / unit.clamp_min(TINY), 0)[support].double().numpy()


def tissue(reference: Complex[Tensor, "slice y x"], support: Bool[Tensor, "slice y x"]) -> Bool[Tensor, "slice y x"]:
    """Where coils see, and |reference| is above AIR of its maximum.

    Elsewhere there is no magnitude to be sure of, only noise, and most of an image is elsewhere.

    Args:
        reference: the truth.
        support: where coils see.
    """
    magnitude = reference.abs()
    return support & (magnitude > AIR * magnitude.max())


def half_width(level: float, degrees: int) -> float:
    """t_{(1 + level) / 2, degrees}: within so many standard errors lies a share ``level`` of Student's t.

    Args:
        level: 0 to 1.
        degrees: of freedom.

    Example:
        >>> round(half_width(0.9, 14), 3)
        1.761
    """
    return float(student.ppf((1 + level) / 2, degrees))


def coverage(errors: Float[np.ndarray, " n"], level: float, samples: int, std_scale: float = 1.0) -> float:
    """The share of pixels inside |mean| +- c t_{(1 + level) / 2, 2 (K - 1)} sqrt(1 + 1/K) std / sqrt(2).

    It is ``level`` if the spread is calibrated.

    Args:
        errors: :func:`standardised_errors`.
        level: what the intervals promise, 0 to 1.
        samples: K.
        std_scale: c, by which the std is multiplied.
    """
    return float((errors <= std_scale * half_width(level, 2 * (samples - 1))).mean())


def std_scale_of(errors: Float[np.ndarray, " n"], samples: int, level: float = 0.9) -> float:
    """By what the std has to be multiplied for intervals of ``level`` to cover as much; found on validation scans.

    Args:
        errors: their :func:`standardised_errors`.
        samples: K.
        level: 0 to 1.
    """
    return float(np.quantile(errors, level)) / half_width(level, 2 * (samples - 1))


def spread_over_error(found: Reconstruction, reference: Complex[Tensor, "slice y x"]) -> float:
    """sqrt(1 + 1/K) root mean square std over root mean square |mean - reference|, over all pixels: 1 if calibrated.

    For then mean - truth has the variance (1 + 1/K) std^2, see :func:`standardised_errors`.

    Args:
        found: K samples.
        reference: the truth, in the same units.
    """
    count = found.samples.shape[1]
    return float((1 + 1 / count) ** 0.5 * found.std.norm() / (found.mean - reference).norm())
