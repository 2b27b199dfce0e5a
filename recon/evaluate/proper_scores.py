"""Scores of samples against a truth that are best, on average, only for draws from the posterior itself."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.recon.reconstruct import Reconstruction


@dataclass(frozen=True)
class ProperScores:
    """Of K samples of a volume; less is better, and all are shares of the truth, so that volumes can be averaged.

    Attributes:
        crps: of magnitudes, the mean over pixels where coils see, over the mean of the truth there.
        crps_complex: of the real and of the imaginary part, added up, the same.
        energy_score: of each slice's complex image as a whole, mean over slices, over the norm of the truth.
        complex_error: ||mean - truth|| / ||truth||, of complex images.
        debiased_error: the same without what a mean of only K samples adds, ||std||^2 / K of its square.
    """

    crps: float
    crps_complex: float
    energy_score: float
    complex_error: float
    debiased_error: float


def proper_scores(
    found: Reconstruction, truth: Complex[Tensor, "slice y x"], support: Bool[Tensor, "slice y x"]
) -> ProperScores:
    """Of the first set of maps.

    Args:
        found: K samples, K >= 1; of one image the CRPS is its absolute error.
        truth: in the same units.
        support: pixels to judge.
    """
    samples = torch.where(support[:, None], found.samples, 0).movedim(1, 0)
    truth = torch.where(support, truth, 0)
    size, energy = truth.abs().sum(), truth.abs().square().sum()
    of_parts = crps(torch.view_as_real(samples), torch.view_as_real(truth)).sum()
    mean = samples.mean(0)
    wrong = (mean - truth).abs().square().sum()
    chance = (samples - mean).abs().square().sum() / max(len(samples) - 1, 1) / len(samples)
    return ProperScores(
        crps=float(crps(samples.abs(), truth.abs()).sum() / size),
        crps_complex=float(of_parts / size),
        energy_score=float((energy_score(samples, truth) / truth.flatten(1).norm(dim=1)).mean()),
        complex_error=float((wrong / energy).sqrt()),
        debiased_error=float(((wrong - chance).clamp_min(0) / energy).sqrt()),
    )


def crps(samples: Float[Tensor, "k ..."], truth: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """E|X - x| - E|X - X'| / 2, the continuous ranked probability score, by the estimator that K does not bias ("fair").

    (Gneiting & Raftery, JASA 102:359, 2007; Ferro, Q. J. R. Meteorol. Soc. 140:1917, 2014.) |X - x| if K is 1.

    Args:
        samples: K draws X.
        truth: x.

    Example:
        >>> crps(torch.tensor([0.0, 2.0]), torch.tensor(1.0))
        tensor(0.)
    """
    count = len(samples)
    near = (samples - truth).abs().mean(0)
    if count == 1:
        return near
    ranks = torch.arange(count, dtype=samples.dtype, device=samples.device).reshape(-1, *[1] * truth.ndim)
    spread = ((2 * ranks + 1 - count) * samples.sort(0).values).sum(0)  # half the sum of all |X - X'|
    return near - spread / (count * (count - 1))


def energy_score(
    samples: Complex[Tensor, "k slice y x"], truth: Complex[Tensor, "slice y x"]
) -> Float[Tensor, " slice"]:
    """E||X - x|| - E||X - X'|| / 2 of each slice's image, as :func:`crps`, which it is of one number."""
    count = len(samples)
    near = (samples - truth).flatten(2).norm(dim=2).mean(0)
    if count == 1:
        return near
    apart = sum((samples[i + 1 :] - samples[i]).flatten(2).norm(dim=2).sum(0) for i in range(count - 1))
    return near - apart / (count * (count - 1))
