"""How much a noise level, or a line that was not shown, counts."""

import torch
from jaxtyping import Float
from torch import Tensor

from mri_ambient.training.losses.loss import Shown

MOST = 100.0  # of 1/q


def edm_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """(sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al., 2022): flat where the error vanishes with sigma."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def masked_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """The same for a denoiser that lacks lines, whose error has a floor: 1 / (0.02 sd^2 + 1 / edm_weight)."""
    return 1 / (0.02 * sigma_data**2 + 1 / edm_weight(sigma, sigma_data))


def weight_for(shown: Shown, sigma: Tensor, sigma_data: float) -> Tensor:
    """EDM's where the slice is seen whole."""
    whole = shown.mask.flatten(1).all(1)
    return torch.where(whole, edm_weight(sigma, sigma_data), masked_weight(sigma, sigma_data))


def seldom(shown: Shown) -> Float[Tensor, "slice 1 1 x"]:
    """1/q of each line, cut at MOST: undoes how seldom a line that was not shown is measured."""
    return (1 / shown.q.clamp_min(1 / MOST)).unsqueeze(1)
