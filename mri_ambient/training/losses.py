"""The training rules, each one function ``loss(denoiser, batch, shown, sigma, noise) -> [batch]``.

The denoiser is shown k-space behind M~ (``shown``), to which noise was added in image space; a loss compares its answer
with what was measured behind M. sigma: [batch]; noise: z, [batch, y, x] complex, unit variance in each part.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.physics.sense import Sense
from mri_ambient.priors.denoisers import Denoiser
from mri_ambient.training.data import Batch

W_MAX = 100.0


@dataclass(frozen=True)
class Shown:
    """The lines the denoiser is shown, and q = P(line in M | M~)."""

    mask: Bool[Tensor, "batch 1 x"]
    q: Float[Tensor, "batch 1 x"]


Loss = Callable[[Denoiser, Batch, Shown, Tensor, Tensor], Tensor]


def denoise(
    denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Float[Tensor, " batch"], noise: Complex[Tensor, "batch y x"]
) -> Complex[Tensor, "batch y x"]:
    """D(M~ y + A~ sigma z): made from measured samples and noise alone."""
    sense = Sense(batch.maps, shown.mask)
    noisy = sense.keep(batch.kspace) + sense(sigma[:, None, None] * noise)
    return denoiser(noisy, batch.maps, shown.mask, sigma)


def weighted(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) mean_j in M |F S D - y|_j^2 / q_j: in expectation over M given M~, the error of the whole image.

    As sum_c |S_c|^2 = 1, summing |F S e|^2 over coils and lines gives |e|^2 over pixels; 1/q undoes how seldom a line that
    was not shown is measured (Millard & Chiew, 2023, for the fixed count of `physics.masks`), cut at W_MAX.
    """
    measured = Sense(batch.maps, batch.mask)
    error = measured(denoise(denoiser, batch, shown, sigma, noise)) - batch.kspace
    weight = (1 / shown.q.clamp_min(1 / W_MAX)).unsqueeze(1)
    pixels = batch.kspace.shape[-2] * batch.kspace.shape[-1]
    return masked_weight(sigma, denoiser) * (weight * error.abs().square()).sum((1, 2, 3)) / pixels


def published(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||A^H A D - A^H y||^2 with EDM's w, as published (Aali et al., 2024; Daras et al., 2023)."""
    measured = Sense(batch.maps, batch.mask)
    error = measured.normal(denoise(denoiser, batch, shown, sigma, noise)) - measured.adjoint(batch.kspace)
    return edm_weight(sigma, denoiser) * error.abs().square().mean((-2, -1))


def supervised(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||D - x||^2 with x = A^H y of complete k-space: the fully sampled control, and the rule of `image` priors."""
    image = Sense(batch.maps, batch.mask).adjoint(batch.kspace)
    error = denoise(denoiser, batch, shown, sigma, noise) - image
    return weight_for(shown, sigma, denoiser) * error.abs().square().mean((-2, -1))


LOSSES: dict[str, Loss] = {"weighted": weighted, "published": published, "supervised": supervised}


def edm_weight(sigma: Tensor, denoiser: Denoiser) -> Tensor:
    """(sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al., 2022): flat where the error vanishes with sigma."""
    sigma_data = denoiser.architecture.sigma_data
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def masked_weight(sigma: Tensor, denoiser: Denoiser) -> Tensor:
    """The same for a denoiser that lacks lines, whose error has a floor: 1 / (0.02 sd^2 + 1 / edm_weight)."""
    return 1 / (0.02 * denoiser.architecture.sigma_data**2 + 1 / edm_weight(sigma, denoiser))


def weight_for(shown: Shown, sigma: Tensor, denoiser: Denoiser) -> Tensor:
    return (edm_weight if bool(shown.mask.all()) else masked_weight)(sigma, denoiser)
