"""Noise levels for sampling."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def edm_schedule(steps: int, sigma_max: float, sigma_min: float, rho: float) -> Float[Tensor, " levels"]:
    """sigma_i = (max^(1/rho) + i/(steps-1) (min^(1/rho) - max^(1/rho)))^rho, then 0; steps + 1 levels.

    Karras et al., 2022, eq. 5. An infinite rho is its limit, equal ratios: sigma_i = max (min / max)^(i/(steps-1)).
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    if math.isinf(rho):
        return torch.cat([sigma_max * (sigma_min / sigma_max) ** ramp, ramp.new_zeros(1)]).float()
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, ramp.new_zeros(1)]).float()
