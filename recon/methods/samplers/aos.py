"""A-OS: one call of an ambient denoiser."""

import torch

from mri_ambient.measurement import Images, Measurement
from mri_ambient.priors.card import Prior


@torch.no_grad()
def aos(prior: Prior, measurement: Measurement) -> Images:
    """E[x | y, M] (Aali et al., 2403.08728): the `masked` prior is shown the scan's own lines, their noise the only noise.

    One image a slice, no spread.
    """
    return prior.denoiser.from_measurements(measurement)[None]
