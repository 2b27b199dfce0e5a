"""A-OS: one call of an ambient denoiser."""

import torch

from mri_ambient.measurement import Images, Measurement
from mri_ambient.priors.card import Prior
from mri_ambient.recon.methods.method import Callback, Generators, Method


@torch.no_grad()
def aos(prior: Prior, measurement: Measurement) -> Images:
    """E[x | y, M] (Aali et al., 2403.08728): the `masked` prior is shown the scan's own lines, their noise the only noise.

    One image a slice, no spread.
    """
    return prior.denoiser.from_measurements(measurement)[None]


def _solve(
    measurement: Measurement,
    prior: Prior | None,
    samples: int,
    settings: None,
    generators: Generators,
    callback: Callback,
) -> Images:
    assert prior is not None
    return aos(prior, measurement)


AOS = Method(_solve, kinds=("masked",))
