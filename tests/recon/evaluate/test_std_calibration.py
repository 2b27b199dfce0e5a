from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.recon.evaluate.std_calibration import (
    coverage,
    spread_over_error,
    standardised_errors,
    std_scale_of,
    tissue,
)
from mri_ambient.recon.methods.samplers.dds import DdsSettings
from mri_ambient.recon.reconstruct import Reconstruction
from tests.operators import random_complex
from tests.recon.test_reconstruct import untrained

PIXELS = (4, 50, 50)


def reconstruction(samples: Tensor) -> Reconstruction:
    return Reconstruction("dds", samples, torch.ones(len(samples)), 1.0, (50, 50), 0, None)


def draws(count: int, samples_spread: float = 1.0) -> tuple[Reconstruction, Tensor]:
    """K samples and the truth from one Gaussian at each pixel, its mean and std other at every pixel."""
    mean = 60 * torch.polar(torch.ones(PIXELS), torch.rand(PIXELS, generator=torch.Generator().manual_seed(1)) * 6)
    std = 0.5 + torch.rand(PIXELS, generator=torch.Generator().manual_seed(2))
    noise = random_complex((PIXELS[0], count, *PIXELS[1:]), 3, torch.complex64)
    truth = mean + std * random_complex(PIXELS, 4, torch.complex64)
    return reconstruction(mean[:, None] + samples_spread * std[:, None] * noise), truth


@pytest.mark.parametrize("count", [2, 4, 16])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_gaussian_samples_cover_as_much_as_they_say(count, level):
    found, truth = draws(count)
    errors = standardised_errors(found, truth, torch.ones(PIXELS, dtype=torch.bool))
    monte_carlo = (level * (1 - level) / errors.size) ** 0.5
    assert coverage(errors, level, count) == pytest.approx(level, abs=4 * monte_carlo)
    assert std_scale_of(errors, count, level) == pytest.approx(1, abs=0.05)
    for wrong in (0.7, 1.4):
        assert abs(coverage(errors, level, count, wrong) - level) > 10 * monte_carlo


def test_a_std_scale_mends_a_spread_that_is_too_small():
    found, truth = draws(8, samples_spread=0.5)
    errors = standardised_errors(found, truth, torch.ones(PIXELS, dtype=torch.bool))
    assert coverage(errors, 0.9, 8) < 0.7
    scale = std_scale_of(errors, 8)
    assert 1.8 < scale < 2.1
    assert coverage(errors, 0.9, 8, scale) == pytest.approx(0.9, abs=0.001)
    # rms |truth - mean|: the truth's own spread 1, and 1/8 of the samples' variance
    assert spread_over_error(found, truth) == pytest.approx((1 + 1 / 8) ** 0.5 * 0.5 / (1 + 0.25 / 8) ** 0.5, rel=0.02)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_spread_over_error_is_1_for_draws_of_one_posterior_whatever_k(count):
    found, truth = draws(count)
    assert spread_over_error(found, truth) == pytest.approx(1, abs=0.02)


def test_only_the_support_counts():
    found, truth = draws(4)
    support = torch.zeros(PIXELS, dtype=torch.bool)
    support[:, 10:20] = True
    whole = standardised_errors(found, truth, support)
    assert whole.shape == (4 * 10 * 50,)
    outside = torch.where(support, truth, torch.nan)
    assert np.array_equal(standardised_errors(found, outside, support), whole)


def test_air_does_not_count():
    reference = torch.full(PIXELS, 0.01 + 0j)
    reference[:, :10] = 1j
    reference[0, 0, 0] = 5  # one bright voxel; the maximum is the volume's
    support = torch.ones(PIXELS, dtype=torch.bool)
    support[:, :, :5] = False
    where = tissue(reference, support)
    assert where.sum() == 4 * 10 * 45
    assert not where[:, 10:].any()


def test_one_image_has_no_interval():
    found, truth = draws(4)
    single = reconstruction(found.samples[:, :1])
    with pytest.raises(UserError, match="needs at least 2 samples"):
        standardised_errors(single, truth, torch.ones(PIXELS, dtype=torch.bool))


def test_whether_a_spread_means_something():
    found, _ = draws(4)
    masked, image = untrained("masked").card, untrained("image").card
    assert replace(found, prior=image, settings=DdsSettings()).spreads
    assert not replace(found, prior=masked, settings=DdsSettings(masks="scan")).spreads
    assert replace(found, prior=masked, settings=DdsSettings(masks="once")).spreads
    assert not reconstruction(found.samples[:, :1]).spreads
