from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from recon.samplers.adps import AdpsSettings, adps
from recon.samplers.dds import DdsSettings, dds
from tests.recon.gaussian import SPREAD, gaussian_case

SAMPLES = 1000


def generators(seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed)]


def exact_dds(steps: int = 400) -> DdsSettings:
    return DdsSettings(steps=steps, sigma_max=10.0, sigma_min=0.002, rho=7.0, prior_spread=SPREAD, iterations=8)


def summary(samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return samples.mean(0), (samples - samples.mean(0)).abs().square().mean(0).sqrt()


@pytest.mark.parametrize("accel", [2, 4, 8])
def test_dds_samples_the_gaussian_posterior(accel):
    """Mean and std of 1,000 samples, pixel by pixel, within five Monte-Carlo errors; 2 % for the finite number of steps."""
    case = gaussian_case(accel)
    mean, std = summary(dds(case.denoise, case.problem, SAMPLES, exact_dds(), generators()))
    assert ((mean - case.mean).abs() / case.std).max() < 5 / SAMPLES**0.5 + 0.02
    assert (std / case.std - 1).abs().max() < 5 / (2 * SAMPLES) ** 0.5 + 0.02
    assert abs((std / case.std).mean() - 1) < 0.02


def test_a_wrong_posterior_would_be_noticed():
    """The bounds above can fail: with another prior spread in the sampler they do."""
    case = gaussian_case(4)
    wrong = DdsSettings(steps=100, sigma_max=10.0, sigma_min=0.002, rho=7.0, prior_spread=3 * SPREAD)
    _, std = summary(dds(case.denoise, case.problem, SAMPLES, wrong, generators()))
    assert abs((std / case.std).mean() - 1) > 0.02


def test_adps_is_the_published_update():
    """Against the recursion written out for D(x) = c x, whose gradient is known: grad ||y - cAx||^2 = -2c A^H (y - cAx)."""
    case = gaussian_case(4)
    settings = AdpsSettings(steps=6, step_size=0.7)
    found = adps(case.denoise, case.problem, 3, settings, generators())
    published = adps(case.denoise, case.problem, 3, replace(settings, published_iterate=True), generators())

    sigmas = [*((10 ** (1 / 7) + i / 5 * (0.004 ** (1 / 7) - 10 ** (1 / 7))) ** 7 for i in range(6)), 0.0]
    state = sigmas[0] * 2**0.5 * torch.randn((3, 1, 8, 8), dtype=torch.complex64, generator=generators()[0])
    sense, kspace = case.problem.sense, case.problem.kspace
    for sigma, following in pairwise(sigmas):
        before, c = state, SPREAD**2 / (SPREAD**2 + sigma**2)
        residual = kspace - sense(c * state)
        norm = residual.flatten(1).norm(dim=1)[:, None, None, None]
        state = state + (following - sigma) * (state - c * state) / sigma
        state = state + 0.7 / norm * 2 * c * sense.adjoint(residual)
    torch.testing.assert_close(found, state, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(published, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("accel", "error", "ratio"), [(2, 0.13, 0.45), (4, 0.40, 0.81), (8, 0.21, 1.00)])
def test_adps_on_the_gaussian_posterior(accel, error, ratio):
    """What the published rule allows here: its step knows neither sigma nor the noise, so the mean is off by ``error`` of
    its norm and the std is ``ratio`` of the true one on average (500 steps, step size 1, as published)."""
    case = gaussian_case(accel)
    mean, std = summary(adps(case.denoise, case.problem, 200, AdpsSettings(), generators()))
    assert (mean - case.mean).norm() / case.mean.norm() == pytest.approx(error, abs=0.03)
    assert (std / case.std).mean() == pytest.approx(ratio, abs=0.06)
