"""CRPS and energy score: closed forms, and that the posterior itself has the least."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mri_ambient.recon.evaluate.proper_scores import crps, energy_score, proper_scores
from tests.recon.evaluate.test_std_calibration import PIXELS, draws


def gaussians(spread: float, count: int, cases: int = 20000) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws of N(0, spread^2), and truths of N(0, 1)."""
    generator = torch.Generator().manual_seed(0)
    return spread * torch.randn(count, cases, generator=generator), torch.randn(cases, generator=generator)


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_the_crps_of_a_gaussian_is_the_closed_form_whatever_k(spread, count):
    samples, truth = gaussians(spread, count)
    z = truth.numpy() / spread
    exact = spread * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - np.pi**-0.5)
    assert crps(samples, truth).mean().item() == pytest.approx(exact.mean(), abs=0.01)


def test_one_image_has_its_absolute_error():
    samples, truth = gaussians(1.0, 1)
    torch.testing.assert_close(crps(samples, truth), (samples[0] - truth).abs())


def test_the_energy_score_of_one_number_is_its_crps():
    samples, truth = gaussians(1.3, 5, 300)
    found = energy_score(samples[..., None, None].to(torch.complex64), truth[..., None, None].to(torch.complex64))
    torch.testing.assert_close(found, crps(samples, truth), rtol=1e-3, atol=1e-5)


def test_the_posterior_itself_scores_best():
    """Too narrow and too wide are both worse, though all means are alike; the debiased error is that of many samples."""
    found, truth = draws(8)
    everywhere = torch.ones(PIXELS, dtype=torch.bool)
    mean = found.mean[:, None]
    scores = {
        spread: proper_scores(
            type(found)(**{**vars(found), "samples": mean + spread * (found.samples - mean)}), truth, everywhere
        )
        for spread in (0.3, 1.0, 2.5)
    }
    for name in ("crps", "crps_complex", "energy_score"):
        values = {spread: getattr(score, name) for spread, score in scores.items()}
        assert min(values, key=values.__getitem__) == 1.0, (name, values)
    assert scores[1.0].complex_error == pytest.approx((1 + 1 / 8) ** 0.5 * scores[1.0].debiased_error, rel=0.02)
