"""What users get is calibrated: truths of the bundled prior itself, tuned settings (`benchmarks/sbc.py` at full size)."""

from collections.abc import Callable

import pytest
import torch

from benchmarks.sbc import Case, case_from, figures_of, ranks, settings_for
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.methods.samplers import mmps
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct

SLICES, SAMPLES, SEED = 2, 6, 5
Reconstructed = Callable[[Case, float, str], Reconstruction]


@pytest.fixture(scope="module")
def prior() -> Prior:
    return find_prior(("image",), BUNDLED)


@pytest.fixture(scope="module", params=[2.0, 8.0])
def accel(request) -> float:
    return request.param


@pytest.fixture(scope="module")
def case(prior, accel) -> Case:
    return case_from(prior, SLICES, accel, SEED)


def is_calibrated(found: Reconstruction, case: Case) -> bool:
    """As far as so few slices and samples tell."""
    figures = figures_of(found, case)
    return 0.8 < figures["T"] < 1.3 and 0.8 < figures["std/error"] < 1.3 and abs(figures["90 %"] - 0.9) < 0.08


@pytest.mark.parametrize("method", ["mmps", "daps"])
def test_what_users_get_is_calibrated(prior, case, accel, method):
    found = reconstruct(case.volume, method, prior, SAMPLES, 0, settings_for(prior, method, accel))
    assert is_calibrated(found, case), figures_of(found, case)
    extremes = (ranks(found, case) % SAMPLES == 0).mean()
    assert extremes < 2.2 * 2 / (SAMPLES + 1)


def test_a_std_that_is_too_small_is_noticed(prior, case, accel, monkeypatch):
    """Steps around means, as published."""
    monkeypatch.setattr(mmps, "gaussian_draw", lambda measurement, covariance, pull, *_: torch.zeros_like(pull))
    found = reconstruct(case.volume, "mmps", prior, SAMPLES, 0, settings_for(prior, "mmps", accel))
    assert not is_calibrated(found, case)
