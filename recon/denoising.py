"""A prior as the samplers see it: ``denoise(images, sigma) -> E[x | what the prior is shown of the noisy images]``."""

from collections.abc import Callable

import torch

from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Prior
from mri_ambient.priors.sampling import whole_denoiser
from recon.problem import Images, Problem

Denoise = Callable[[Images, float], Images]


def denoiser_for(prior: Prior, problem: Problem) -> Denoise:
    """An `image` prior sees the whole noisy image; a `masked` one sees it through the scan's coils and its own mask."""
    shown = whole_denoiser(prior) if prior.card.kind == "image" else None

    def denoise(images: Images, sigma: float) -> Images:
        flat = images.flatten(0, 1)
        if shown:
            estimate = shown(flat, sigma)
        else:
            sense = repeated(problem.sense, len(images))
            estimate = prior.denoiser(sense(flat), sense.maps, sense.mask, torch.full((len(flat),), sigma))
        return estimate.unflatten(0, images.shape[:2])

    return denoise


def repeated(sense: Sense, count: int) -> Sense:
    """The operators of all slices, one after another, ``count`` times: that of images [k, slice, y, x] with k and slice as one
    axis."""
    return Sense(sense.maps.repeat(count, 1, 1, 1), sense.mask.repeat(count, 1, 1))
