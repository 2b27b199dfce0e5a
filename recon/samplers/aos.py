"""A-OS: one call of an ambient denoiser."""

import torch

from mri_ambient.priors.card import Prior
from recon.problem import Images, Problem


@torch.no_grad()
def aos(prior: Prior, problem: Problem) -> Images:
    """E[x | y, M] (Aali et al., 2403.08728): the `masked` prior is shown the scan's own lines, their noise the only noise.

    One image a slice, no spread.
    """
    sense = problem.sense
    return prior.denoiser.from_measurements(problem.kspace, sense.maps, sense.mask, problem.noise_std)[None]
