"""A-OS: one call of an ambient denoiser, and the data again."""

import torch

from mri_ambient.measurement import Images, Measurement, project
from mri_ambient.priors.card import Prior
from mri_ambient.recon.methods.method import Callback, Generators, Method

SPREAD, ITERATIONS = 0.05, 10  # how far its image may be from the truth, of its brightness


@torch.no_grad()
def aos(prior: Prior, measurement: Measurement) -> Images:
    """E[x | y, M] (Aali et al., 2403.08728): the `masked` prior is shown the scan's own lines, their noise the only noise.

    One image a slice, without a spread that a second use of the data could make too small: so it is made consistent with them,
    argmin_z ||A z - y||^2 / noise^2 + ||z - E[x | y, M]||^2 / SPREAD^2.
    """
    return project(measurement, prior.denoiser.from_measurements(measurement)[None], SPREAD, ITERATIONS)


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
