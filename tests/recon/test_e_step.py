from pathlib import Path

import torch

from mri_ambient.measurement import measurement_of
from mri_ambient.priors.card import Card, Prior
from mri_ambient.priors.denoisers import Architecture, Denoiser
from mri_ambient.recon.e_step import e_step
from mri_ambient.recon.methods.classical import L1WaveletSettings, l1_wavelet
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings
from mri_ambient.store import PreparedVolume

SETTINGS = MmpsSettings(steps=4)


class White(Denoiser):
    """The denoiser of a white Gaussian prior; from measurements, it answers with the adjoint."""

    def __init__(self):
        super().__init__(Architecture())

    def estimate(self, sense, kspace, sigma):
        return (0.09 / (0.09 + sigma**2))[:, None, None] * sense.adjoint(kspace)


def prior(kind: str) -> Prior:
    about = {"kind": kind, "architecture": Architecture(), "matrix": (48, 48), "pixel_mm": None, "images_seen": 0}
    return Prior(White(), Card.model_validate(about | {"training": {}, "data": ""}), Path())


def draw(volume: PreparedVolume, kind: str, slices: list[int], draws: list[int]) -> torch.Tensor:
    streams = [[torch.Generator().manual_seed(100 * d + i) for i in slices] for d in draws]
    which = None if kind == "none" else prior(kind)
    part = measurement_of(volume)[slices[0] : slices[-1] + 1]
    return e_step(which, part, streams, sampler=SETTINGS)


def test_draws_depend_on_their_own_random_numbers_alone(undersampled):
    """Neither on the other draws nor on the other slices."""
    found = draw(undersampled, "image", [0, 1, 2], [0, 1])
    assert found.shape == (2, 3, 48, 48)
    assert found.dtype == torch.complex64
    torch.testing.assert_close(draw(undersampled, "image", [2], [1])[0, 0], found[1, 2], rtol=1e-4, atol=1e-5)
    assert (found[0] - found[1]).abs().mean() > 0.01
    assert (found[:, ~(undersampled.sens_maps[:3].abs() > 0).any(1)] == 0).all()


def test_a_draw_agrees_with_the_measured_lines(undersampled):
    measurement = measurement_of(undersampled, slice(1, 2))
    image = draw(undersampled, "image", [1], [0])[0]
    misfit = (measurement.operator(image) - measurement.kspace).norm() / measurement.kspace.norm()
    assert misfit < 0.1


def test_without_a_sampler_there_is_one_draw(undersampled):
    """Of a masked prior one call; without a prior the classical image."""
    found = draw(undersampled, "masked", [0, 1], [0, 1, 2])
    measurement = measurement_of(undersampled, slice(1, 2))
    scale = 0.09 / (0.09 + measurement.noise_std[:, None, None] ** 2)
    torch.testing.assert_close(found[0, 1:], scale * measurement.adjoint, rtol=1e-3, atol=1e-4)
    assert len(found) == 1
    classical = draw(undersampled, "none", [1], [0, 1])
    assert classical.shape == (1, 1, 48, 48)
    torch.testing.assert_close(classical[0], l1_wavelet(measurement, L1WaveletSettings(3e-3)))
