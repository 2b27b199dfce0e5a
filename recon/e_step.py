"""The E-step of a lap: the training scans as they are known under the last stage's prior."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex
from torch import Generator, Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.priors.card import Prior
from mri_ambient.recon.methods.classical import L1WaveletSettings, l1_wavelet
from mri_ambient.recon.methods.denoising import denoiser_for
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings, mmps


@torch.no_grad()
def e_step(
    prior: Prior | None,
    measurement: Measurement,
    generators: Sequence[Sequence[Generator]],
    *,
    sampler: MmpsSettings,
    regularisation: float = 3e-3,
    iterations: int = 100,
) -> Complex[Tensor, "draw slice v x"]:
    """Each slice from its own measured lines, 0 where no coil sees. ``generators[draw][slice]``, used by samplers alone.

    Without a prior: the L1-wavelet image. Of a `masked` prior: its one answer E[x | y, M]. Of an `image` prior: posterior
    samples by `mmps`, which knows the noise level. The first two are one draw, however many generators there are.
    """
    if prior is not None and prior.card.kind == "masked":
        return prior.denoiser.from_measurements(measurement)[None]
    if prior is None:
        return l1_wavelet(measurement, L1WaveletSettings(regularisation, iterations))[None]
    draws = [
        mmps(
            denoiser_for(prior, measurement, sampler.masks, 1, streams),
            measurement,
            1,
            sampler,
            streams,
        )
        for streams in generators
    ]
    return torch.where(measurement.operator.support, torch.cat(draws), 0)
