"""What users get is calibrated: truths of the bundled prior itself, tuned settings (`benchmarks/sbc.py` at full size)."""

from dataclasses import replace

import pytest

from benchmarks.sbc import Case, case_from, figures_of, ranks, settings_for
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct

SLICES, SAMPLES, SEED = 2, 6, 5


@pytest.fixture(scope="module")
def prior() -> Prior:
    return find_prior(("image",), BUNDLED)


@pytest.fixture(scope="module", params=[2.0, 8.0])
def accel(request) -> float:
    return request.param


@pytest.fixture(scope="module")
def case(prior, accel) -> Case:
    return case_from(prior, SLICES, accel, SEED)


def is_calibrated(found: Reconstruction, case: Case, largest: float) -> bool:
    """As far as so few slices and samples tell."""
    figures = figures_of(found, case)
    return 0.8 < figures["T"] < largest and 0.8 < figures["std/error"] < 1.3


@pytest.mark.parametrize(("method", "largest"), [("mmps", 1.2), ("daps", 1.45)])
def test_what_users_get_is_calibrated(prior, case, accel, method, largest):
    """And a spread of three quarters would be noticed."""
    found = reconstruct(case.volume, method, prior, SAMPLES, 0, settings_for(prior, method, accel))
    assert is_calibrated(found, case, largest), figures_of(found, case)
    narrow = replace(found, samples=found.mean[:, None] + 0.75 * (found.samples - found.mean[:, None]))
    assert not is_calibrated(narrow, case, largest), figures_of(narrow, case)
    extremes = (ranks(found, case) % SAMPLES == 0).mean()
    assert extremes < 2.4 / (SAMPLES + 1)
