"""Every sampler of reconstruction behind corruptions of the image domain: a Gaussian prior, whose posterior is known.

Three images of 8x8, each with its own A: half of the pixels, or 32 inner products with Gaussian rows.
"""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from mri_ambient.images.operators import OfComplex, stack
from mri_ambient.images.registry import CORRUPTIONS
from mri_ambient.physics.solvers import regularised_solution
from mri_ambient.recon.methods.samplers.aald import AaldSettings, aald
from mri_ambient.recon.methods.samplers.adps import AdpsSettings, adps
from mri_ambient.recon.methods.samplers.dds import dds
from mri_ambient.recon.methods.samplers.mmps import mmps
from tests.recon.gaussian import NOISE, SIZE, SPREAD, GaussianCase, case_behind, generators, quality
from tests.recon.methods.test_samplers import EXACT_DDS, SAMPLES, SHIPPED, is_exact

KINDS = ("random-pixels", "gaussian")
ITERATIONS = 24  # of conjugate gradients: rows are worse conditioned than coils


def operator_of(kind: str, seed: int) -> OfComplex:
    ones = [CORRUPTIONS[kind].draw(0.5, (SIZE, SIZE), Generator().manual_seed(seed + index)) for index in range(3)]
    return OfComplex(stack(ones))


def case_of(kind: str, correlated: bool = False) -> GaussianCase:
    return case_behind(operator_of(kind, 0), correlated)


@pytest.mark.parametrize("kind", KINDS)
def test_exact_where_the_theory_says_so(kind):
    """dds for a white prior."""
    case = case_of(kind)
    found = dds(case.denoise, case.measurement, SAMPLES, replace(EXACT_DDS, iterations=ITERATIONS), generators())
    assert is_exact(quality(found, case)), quality(found, case)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("correlated", [False, True], ids=["white", "correlated"])
@pytest.mark.parametrize("method", SHIPPED)
def test_as_shipped_calibrated_on_gaussian_priors(method, correlated, kind):
    """With the settings of reconstruction."""
    case = case_of(kind, correlated)
    found = quality(mmps(case.denoise, case.measurement, SAMPLES, SHIPPED[method], generators()), case)
    assert ((found.std > 0.85) & (found.std < 1.2)).all(), found
    assert found.error.max() < 0.35, found


@pytest.mark.parametrize("kind", KINDS)
def test_another_operator_is_noticed(kind):
    """The bounds fail for data that are taken for another image's."""
    case = case_of(kind)
    wrong = replace(case.measurement, operator=operator_of(kind, 10))
    found = dds(case.denoise, wrong, SAMPLES, replace(EXACT_DDS, iterations=ITERATIONS), generators())
    assert not is_exact(quality(found, case))


@pytest.mark.parametrize(
    ("sampler", "settings", "kind", "error", "std"),
    [
        (aald, AaldSettings(), "random-pixels", 0.10, 1.05),
        (aald, AaldSettings(), "gaussian", 0.11, 1.04),
        (adps, AdpsSettings(), "random-pixels", 0.27, 1.80),
        (adps, AdpsSettings(), "gaussian", 0.26, 1.33),
    ],
)
def test_the_error_of_approximations(sampler, settings, kind, error, std):
    """How far the mean is off, in posterior stds (0.09 is chance), and the std over the posterior's."""
    case = case_of(kind)
    found = quality(sampler(case.denoise, case.measurement, SAMPLES // 2, settings, generators()), case)
    assert found.error.mean().item() == pytest.approx(error, abs=0.05)
    assert found.std.mean().item() == pytest.approx(std, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_solvers_answer_is_the_posterior_mean_of_a_white_prior(kind):
    case = case_of(kind)
    found = regularised_solution(
        case.measurement.operator, case.measurement.adjoint, None, (NOISE / SPREAD) ** 2, iterations=40
    )
    torch.testing.assert_close(found, case.mean, rtol=1e-3, atol=1e-4)
