"""`published`: the rule of ambient diffusion for MRI, as published."""

from torch import Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.losses.loss import Loss, Shown, denoise, squared
from mri_ambient.training.losses.weights import edm_weight


def published(denoiser: Denoiser, measurement: Measurement, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||A^H A D - A^H y||^2 with EDM's w, as published (Aali et al., 2024; Daras et al., 2023)."""
    answer = denoise(denoiser, measurement, shown, sigma, noise)
    error = measurement.operator.gram(answer) - measurement.adjoint
    return edm_weight(sigma, denoiser.architecture.sigma_data) * squared(error).mean((-2, -1))


PUBLISHED = Loss(published)
