"""A prior as the samplers see it: ``denoise(images, sigma) -> E[x | what the prior is shown of the noisy images]``."""

from collections.abc import Callable

import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Prior
from mri_ambient.priors.sampling import whole_denoiser
from recon.problem import Problem

Images = Complex[Tensor, "k y x"]
Denoise = Callable[[Images, float], Images]


def denoiser_for(prior: Prior, problem: Problem) -> Denoise:
    """An `image` prior sees the whole noisy image; a `masked` one sees it through the scan's coils and its own mask."""

    if prior.card.kind == "image":
        return whole_denoiser(prior)

    def denoise(images: Images, sigma: float) -> Images:
        sense = batched(problem.sense, len(images))
        levels = torch.full((len(images),), sigma)
        return prior.denoiser(sense(images), sense.maps, sense.mask, levels)

    return denoise


def batched(sense: Sense, count: int) -> Sense:
    """The same operator for ``count`` images at once."""
    return Sense(sense.maps.expand(count, -1, -1, -1), sense.mask.expand(count, -1, -1))
