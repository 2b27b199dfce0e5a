"""`supervised`: the fully sampled control, and the rule of `image` priors."""

from torch import Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.losses.loss import Loss, Shown, denoise, squared
from mri_ambient.training.losses.weights import weight_for


def supervised(denoiser: Denoiser, measurement: Measurement, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||D - x||^2 with x = A^H y of complete k-space."""
    error = denoise(denoiser, measurement, shown, sigma, noise) - measurement.adjoint
    return weight_for(shown, sigma, denoiser.architecture.sigma_data) * squared(error).mean((-2, -1))


SUPERVISED = Loss(supervised, needs_complete=True)
