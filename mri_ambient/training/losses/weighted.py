"""`weighted`: measured lines, each by how seldom it is measured."""

from torch import Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.losses.loss import Loss, Shown, denoise, mean_of_lines
from mri_ambient.training.losses.weights import masked_weight, seldom


def weighted(denoiser: Denoiser, measurement: Measurement, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) mean_j in M |F S D - y|_j^2 / q_j: in expectation over M given M~, the error of the whole image.

    As sum_c |S_c|^2 = 1, summing |F S e|^2 over coils and lines gives |e|^2 over pixels; 1/q undoes how seldom a line that
    was not shown is measured (Millard & Chiew, 2023, for the fixed count of `physics.masks`).
    """
    error = measurement.operator(denoise(denoiser, measurement, shown, sigma, noise)) - measurement.kspace
    return mean_of_lines(error, seldom(shown), masked_weight(sigma, denoiser.architecture.sigma_data))


WEIGHTED = Loss(weighted)
