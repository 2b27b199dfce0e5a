"""`noise-aware`: `weighted` for scans of a known noise level."""

import torch
from torch import Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.losses.loss import Loss, Shown, denoise, mean_of_lines, total_noise
from mri_ambient.training.losses.weights import masked_weight, seldom


def noise_aware(denoiser: Denoiser, measurement: Measurement, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """`weighted` for measurements y = M F S x + n whose noise n has the known level ``measurement.noise_std``, white and alike
    in all coils: its minimiser is E[x | the shown lines] of the true x, for all n.

    The input is M~ (y + sigma e), and the denoiser is told its whole noise, sqrt(noise_std^2 + sigma^2). On a line that was not
    shown, n is independent of the input, and y is as good a target as F S x (Noise2Noise, Lehtinen et al., 2018). On a shown
    line n is in the input; the noise of the target y - (noise_std^2 / sigma) e is not, for n - (noise_std^2 / sigma) e and
    n + sigma e are uncorrelated (Recorrupted-to-Recorrupted, Pang et al., 2021; up to the weight the Tweedie correction of
    Daras et al., 2404.10177). The weight sigma^2 / (sigma^2 + noise_std^2) evens out that target's own variance.
    """
    level, added = measurement.noise_std[:, None, None, None], sigma[:, None, None, None]
    kept, kspace = shown.mask.unsqueeze(1), measurement.kspace
    target = torch.where(kept, kspace - level**2 / added * noise, kspace)
    weight = torch.where(kept, added**2 / (added**2 + level**2), seldom(shown))
    answer = measurement.operator(denoise(denoiser, measurement, shown, sigma, noise))
    error = answer - measurement.sense.apply_mask(target)
    overall = masked_weight(total_noise(measurement, sigma), denoiser.architecture.sigma_data)
    return mean_of_lines(error, weight, overall)


NOISE_AWARE = Loss(noise_aware, noise_domain="kspace", needs_noise_level=True)
