"""The training rules, each one function ``loss(denoiser, batch, shown, sigma, noise) -> [batch]``.

The denoiser is shown k-space behind M~ (``shown``), to which noise was added in image space (by `noise-aware` in k-space);
a loss compares its answer with what was measured behind M. sigma: [batch]; noise: complex, unit variance in each part,
[batch, y, x], or [batch, coil, y, x] for the losses in KSPACE_NOISE.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

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
    denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Float[Tensor, " batch"], noise: Complex[Tensor, "batch ..."]
) -> Complex[Tensor, "batch v x"]:
    """D(M~ y + A~ sigma z), or for noise in k-space D(M~ (y + sigma e)): made from measured samples and noise alone."""
    if noise.ndim == batch.kspace.ndim:
        noisy = torch.where(shown.mask.unsqueeze(1), batch.kspace + sigma[:, None, None, None] * noise, 0)
        return denoiser(noisy, batch.sense(shown.mask), total_noise(batch, sigma))
    sense = batch.sense(shown.mask)
    noisy = sense.apply_mask(batch.kspace) + sense(sigma[:, None, None] * noise)
    return denoiser(noisy, sense, sigma)


def total_noise(batch: Batch, sigma: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Of the scan's own and the added noise together."""
    return (batch.noise_std**2 + sigma**2).sqrt()


def weighted(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) mean_j in M |F S D - y|_j^2 / q_j: in expectation over M given M~, the error of the whole image.

    As sum_c |S_c|^2 = 1, summing |F S e|^2 over coils and lines gives |e|^2 over pixels; 1/q undoes how seldom a line that
    was not shown is measured (Millard & Chiew, 2023, for the fixed count of `physics.masks`), cut at W_MAX.
    """
    measured = batch.sense(batch.mask)
    error = measured(denoise(denoiser, batch, shown, sigma, noise)) - batch.kspace
    weight = (1 / shown.q.clamp_min(1 / W_MAX)).unsqueeze(1)
    pixels = batch.kspace.shape[-2] * batch.kspace.shape[-1]
    return masked_weight(sigma, denoiser.architecture.sigma_data) * (weight * squared(error)).sum((1, 2, 3)) / pixels


def noise_aware(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """`weighted` for measurements y = M F S x + n whose noise n has the known level ``batch.noise_std``, white and alike in
    all coils: its minimiser is E[x | the shown lines] of the true x, for all n.

    The input is M~ (y + sigma e), and the denoiser is told its whole noise, sqrt(noise_std^2 + sigma^2). On a line that was not
    shown, n is independent of the input, and y is as good a target as F S x (Noise2Noise, Lehtinen et al., 2018). On a shown
    line n is in the input; the noise of the target y - (noise_std^2 / sigma) e is not, for n - (noise_std^2 / sigma) e and
    n + sigma e are uncorrelated (Recorrupted-to-Recorrupted, Pang et al., 2021; up to the weight the Tweedie correction of
    Daras et al., 2404.10177). The weight sigma^2 / (sigma^2 + noise_std^2) evens out that target's own variance.
    """
    level, added = batch.noise_std[:, None, None, None], sigma[:, None, None, None]
    kept = shown.mask.unsqueeze(1)
    target = torch.where(kept, batch.kspace - level**2 / added * noise, batch.kspace)
    weight = torch.where(kept, added**2 / (added**2 + level**2), 1 / shown.q.clamp_min(1 / W_MAX).unsqueeze(1))
    measured = batch.sense(batch.mask)
    error = measured(denoise(denoiser, batch, shown, sigma, noise)) - measured.apply_mask(target)
    pixels = batch.kspace.shape[-2] * batch.kspace.shape[-1]
    overall = masked_weight(total_noise(batch, sigma), denoiser.architecture.sigma_data)
    return overall * (weight * squared(error)).sum((1, 2, 3)) / pixels


def published(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||A^H A D - A^H y||^2 with EDM's w, as published (Aali et al., 2024; Daras et al., 2023)."""
    measured = batch.sense(batch.mask)
    error = measured.gram(denoise(denoiser, batch, shown, sigma, noise)) - measured.adjoint(batch.kspace)
    return edm_weight(sigma, denoiser.architecture.sigma_data) * squared(error).mean((-2, -1))


def supervised(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||D - x||^2 with x = A^H y of complete k-space: the fully sampled control, and the rule of `image` priors."""
    image = batch.sense(batch.mask).adjoint(batch.kspace)
    error = denoise(denoiser, batch, shown, sigma, noise) - image
    return weight_for(shown, sigma, denoiser) * squared(error).mean((-2, -1))


LOSSES: dict[str, Loss] = {
    "weighted": weighted,
    "noise-aware": noise_aware,
    "published": published,
    "supervised": supervised,
}
KSPACE_NOISE = ("noise-aware",)


def squared(error: Complex[Tensor, "..."]) -> Float[Tensor, "..."]:
    """|error|^2, without the square root of ``abs``."""
    return torch.view_as_real(error).square().sum(-1)


def edm_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """(sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al., 2022): flat where the error vanishes with sigma."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def masked_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """The same for a denoiser that lacks lines, whose error has a floor: 1 / (0.02 sd^2 + 1 / edm_weight)."""
    return 1 / (0.02 * sigma_data**2 + 1 / edm_weight(sigma, sigma_data))


def weight_for(shown: Shown, sigma: Tensor, denoiser: Denoiser) -> Tensor:
    """EDM's where the slice is seen whole."""
    whole = shown.mask.flatten(1).all(1)
    sigma_data = denoiser.architecture.sigma_data
    return torch.where(whole, edm_weight(sigma, sigma_data), masked_weight(sigma, sigma_data))
