"""Samplers against the closed-form posteriors of ``gaussian.py``, at R = 2, 4, 8 at once.

`benchmarks/gaussian_posteriors.py` prints the whole table.
"""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Generator

from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.methods.denoising import denoiser_for
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.methods.samplers.aald import AaldSettings, aald
from mri_ambient.recon.methods.samplers.adps import AdpsSettings, adps
from mri_ambient.recon.methods.samplers.annealing import Annealing, complex_noise, noise_levels, renoise
from mri_ambient.recon.methods.samplers.dds import DdsSettings, dds
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings, by_differences, by_gradients, correction, mmps
from tests.recon.gaussian import ACCELS, SIZE, SPREAD, Quality, case_behind, gaussian_case, generators, quality

SAMPLES = 250
WIDE = {"sigma_max": 5.0, "sigma_min": 0.004, "rho": 7.0}
EXACT_DDS = DdsSettings(steps=30, eta=0.0, order=2, prior_spread=SPREAD, iterations=8, **WIDE)
EVERY = {
    dds: replace(EXACT_DDS, steps=4, eta=0.7),
    mmps: MmpsSettings(steps=4),
    aald: AaldSettings(steps=3),
    adps: AdpsSettings(steps=4),
}
SHIPPED = {name: METHODS[name].settings for name in ("mmps", "daps")}


def is_exact(found: Quality) -> bool:
    """As good as SAMPLES draws of the posterior: their mean within twice its Monte-Carlo error, std and intervals within 3 %.

    The last is several Monte-Carlo errors, for pixels are averaged, and leaves room for the finite number of steps.
    """
    intervals = all((share - level).abs().max() < 0.03 for level, share in found.coverage.items())
    return bool(found.error.max() < 2 / SAMPLES**0.5 and (found.std - 1).abs().max() < 0.03 and intervals)


def test_exact_where_the_theory_says_so():
    """dds for a white prior."""
    case = gaussian_case(False)
    assert is_exact(quality(dds(case.denoise, case.measurement, SAMPLES, EXACT_DDS, generators()), case))


@pytest.mark.parametrize("correlated", [False, True], ids=["white", "correlated"])
@pytest.mark.parametrize("jacobian", ["differences", "gradients"])
@pytest.mark.parametrize("method", SHIPPED)
def test_as_shipped_calibrated_on_gaussian_priors(method, jacobian, correlated):
    """With the settings that users get: std and intervals at each R, and the mean near the posterior's."""
    case = gaussian_case(correlated)
    settings = replace(SHIPPED[method], jacobian=jacobian)
    found = quality(mmps(case.denoise, case.measurement, SAMPLES, settings, generators()), case)
    assert ((found.std > 0.9) & (found.std < 1.2)).all(), found.std
    assert all((share - level).abs().max() < 0.05 for level, share in found.coverage.items()), found.coverage
    assert found.error.max() < 0.3


def test_a_step_around_a_mean_loses_spread(monkeypatch):
    """What mmps was before it drew: with the same settings its std is far too small."""
    case = gaussian_case(True)
    monkeypatch.setattr(
        f"{mmps.__module__}.gaussian_draw", lambda measurement, covariance, pull, *_: torch.zeros_like(pull)
    )
    found = quality(mmps(case.denoise, case.measurement, SAMPLES, SHIPPED["mmps"], generators()), case)
    assert (found.std[1:] < 0.8).all()


def test_a_wrong_posterior_is_noticed():
    """The bounds above fail for another noise level and another prior."""
    case = gaussian_case(False)
    noisier = replace(case.measurement, noise_std=1.3 * case.measurement.noise_std)
    assert not is_exact(quality(dds(case.denoise, noisier, SAMPLES, EXACT_DDS, generators()), case))
    wider = replace(EXACT_DDS, prior_spread=2 * SPREAD)
    assert not is_exact(quality(dds(case.denoise, case.measurement, SAMPLES, wider, generators()), case))


def test_a_sample_ends_where_the_jacobian_is_no_covariance():
    """Of two slices one has negative eigenvalues, which nearly cancel the noise: it stays bounded, the other is solved."""
    generator = Generator().manual_seed(0)
    kspace = torch.randn(2, 1, 8, 8, dtype=torch.complex64, generator=generator)
    sense = Sense(torch.ones_like(kspace), torch.ones(2, 1, 8, dtype=torch.bool))
    measurement = Measurement(kspace, sense, torch.ones(2), acs=(8, 8))
    good = torch.rand(8, 8, generator=generator)
    bad = torch.where(torch.rand(8, 8, generator=generator) < 0.2, -1 + 1e-4, good)
    eigenvalues = torch.stack([good, bad])
    nothing = torch.zeros(3, 2, 8, 8, dtype=torch.complex64)
    found, left = correction(measurement, nothing, torch.ones(2, 1, 1), lambda image: eigenvalues * image, 30)
    exact = eigenvalues / (1 + eigenvalues) * measurement.adjoint
    torch.testing.assert_close(found[:, 0], exact[0].expand(3, -1, -1), rtol=1e-4, atol=1e-5)
    assert exact[1].abs().max() > 1000
    assert found[:, 1].abs().max() < 50
    assert left[:, 0].abs().max() < 1e-3 < left[:, 1].abs().max()


def test_differences_are_products_with_the_jacobian_of_a_trained_denoiser(precision):
    """Of the bundled prior, in either precision: differences are J u, gradients J^T u, alike as far as J is symmetric; neither
    keeps a graph."""
    prior = find_prior(("image",), BUNDLED)
    generator = Generator().manual_seed(0)
    kspace = torch.randn(1, 1, 64, 64, dtype=torch.complex64, generator=generator)
    sense = Sense(torch.ones_like(kspace), torch.ones(1, 1, 64, dtype=torch.bool))
    measurement = Measurement(kspace, sense, torch.ones(1), acs=(8,))
    sigma = torch.full((1, 1, 1), 0.1)
    disc = ((torch.arange(64) - 32).square()[:, None] + (torch.arange(64) - 32).square() < 400).to(torch.complex64)
    noise = torch.randn(2, 1, 64, 64, dtype=torch.complex64, generator=generator)
    denoise = denoiser_for(prior, measurement, "scan", 1, [generator])
    images = 0.6 * disc[None, None] + 2**0.5 * sigma * noise[:1]
    direction = noise[1:]
    with torch.no_grad():
        _, push = by_differences(denoise, images, sigma)
        near = push(direction)
    denoised, pull = by_gradients(denoise, images, sigma)
    transposed = pull(direction)
    assert not near.requires_grad
    assert not denoised.requires_grad

    state, weights = images.clone().requires_grad_(), torch.zeros_like(direction, requires_grad=True)
    (pulled,) = torch.autograd.grad(denoise(state, sigma), state, weights, create_graph=True)
    (exact,) = torch.autograd.grad(pulled, weights, direction)
    assert (near - exact).norm() < (0.1 if precision == "float32" else 0.5) * exact.norm()
    assert (transposed - exact).norm() < 0.5 * exact.norm()
    assert (direction - exact).norm() > 0.8 * exact.norm()


def test_mmps_needs_masks_that_stay():
    case = gaussian_case(True)
    settings = replace(EVERY[mmps], masks="redrawn")
    with pytest.raises(UserError, match=r"^masks `redrawn` change between calls, .*; take `scan` or `once`$"):
        mmps(case.denoise, case.measurement, 1, settings, generators())


def test_the_second_order_needs_fewer_steps():
    """Deterministic dds at 20 levels: how far its std is from the posterior's."""
    case = gaussian_case(False)
    off = {}
    for order in (1, 2):
        settings = replace(EXACT_DDS, steps=20, order=order)
        found = quality(dds(case.denoise, case.measurement, SAMPLES, settings, generators()), case)
        off[order] = (found.std - 1).abs().max()
    assert off[2] < off[1] / 3


def test_ancestral_steps_keep_too_little_spread_when_few():
    """dds as it is by default (eta 1, order 1): the std tends to the posterior's as steps grow, from below."""
    case = gaussian_case(False)
    ratio = []
    for steps in (20, 60):
        settings = replace(EXACT_DDS, steps=steps, eta=1.0, order=1)
        found = quality(dds(case.denoise, case.measurement, SAMPLES, settings, generators()), case)
        assert found.error.max() < 2 / SAMPLES**0.5
        ratio.append(found.std.mean().item())
    assert 0.75 < ratio[0] < 0.9 < ratio[1] < 0.99


@pytest.mark.parametrize(
    ("sampler", "settings", "correlated", "error", "std"),
    [
        (dds, EXACT_DDS, True, (0.24, 0.72, 0.56), (1.00, 1.17, 1.20)),
        (aald, AaldSettings(), False, (0.35, 0.31, 0.11), (1.18, 1.11, 1.06)),
        (aald, AaldSettings(), True, (0.24, 0.44, 0.36), (1.12, 1.16, 1.14)),
        (adps, AdpsSettings(), False, (0.66, 0.54, 0.15), (0.35, 0.84, 1.00)),
        (adps, AdpsSettings(), True, (0.94, 1.01, 0.56), (0.35, 0.66, 0.88)),
    ],
)
def test_the_error_of_approximations(sampler, settings, correlated, error, std):
    """How far the mean is off, in posterior stds, and the std over the posterior's. dds takes the error of the denoised image
    for white; aald's steps are finite; the step of adps knows neither sigma nor the noise."""
    case = gaussian_case(correlated)
    found = quality(sampler(case.denoise, case.measurement, SAMPLES // 2, settings, generators()), case)
    assert found.error.tolist() == pytest.approx(error, abs=0.08)
    assert found.std.tolist() == pytest.approx(std, abs=0.05)


def test_adps_is_the_published_update():
    """Against the recursion written out for D(x) = c x, whose gradient is known: grad ||y - cAx||^2 = -2c A^H (y - cAx)."""
    case = gaussian_case(False)
    settings = AdpsSettings(steps=6, step_size=0.7)
    found = adps(case.denoise, case.measurement, 3, settings, generators())

    sigmas = [*((10 ** (1 / 7) + i / 5 * (0.004 ** (1 / 7) - 10 ** (1 / 7))) ** 7 for i in range(6)), 0.0]
    state = sigmas[0] * complex_noise(3, case.measurement, generators())
    sense, kspace = case.measurement.operator, case.measurement.kspace
    for sigma, following in pairwise(sigmas):
        c = SPREAD**2 / (SPREAD**2 + sigma**2)
        residual = kspace - sense(c * state)
        norm = residual.flatten(2).norm(dim=2)[..., None, None]
        state = state + (following - sigma) * (state - c * state) / sigma
        state = state + 0.7 / norm * 2 * c * sense.adjoint(residual)
    torch.testing.assert_close(found, state, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", EVERY, ids=lambda sampler: sampler.__name__)
def test_a_slice_does_not_depend_on_its_batch(sampler):
    """The last slice alone: the same random numbers, the same images to rounding; the callback is called once a step."""
    case = gaussian_case(True)
    steps = []
    settings = EVERY[sampler]
    together = sampler(case.denoise, case.measurement, 2, settings, generators(), lambda step, *_: steps.append(step))
    whole = case.measurement
    sense = Sense(whole.sense.maps[2:], whole.sense.mask[2:])
    last = Measurement(whole.kspace[2:], sense, whole.noise_std[2:], whole.acs)
    alone = sampler(case.denoise, last, 2, settings, generators()[2:])
    torch.testing.assert_close(alone, together[:, 2:], rtol=1e-3, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.01
    assert steps == list(range(settings.steps))


@pytest.mark.parametrize("sampler", EVERY, ids=lambda sampler: sampler.__name__)
def test_the_first_samples_are_the_same_however_many(sampler):
    case = gaussian_case(True)
    few, more = (sampler(case.denoise, case.measurement, k, EVERY[sampler], generators()) for k in (2, 3))
    torch.testing.assert_close(few, more[:2], rtol=1e-3, atol=1e-4)


def test_scaled_steps_meet_the_posterior_of_a_white_prior():
    """Behind one coil, where A A^H is the identity on what was measured; its default number of steps."""
    mask = gaussian_case(False).measurement.sense.mask
    case = case_behind(Sense(torch.ones(len(ACCELS), 1, SIZE, SIZE, dtype=torch.complex64), mask), False)
    settings = AdpsSettings(step="scaled", prior_spread=SPREAD)
    assert is_exact(quality(adps(case.denoise, case.measurement, SAMPLES, settings, generators()), case))


@pytest.mark.parametrize("sampler", EVERY, ids=lambda sampler: sampler.__name__)
def test_not_a_number_stops_the_sampler(sampler):
    case = gaussian_case(True)
    levels = noise_levels(EVERY[sampler], case.measurement)

    def broken(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.where(sigma < levels[0], torch.nan, 1) * images

    with pytest.raises(UserError, match=rf"{sampler.__name__}: .* at sigma = {levels[1].max():.3g}; use another"):
        sampler(broken, case.measurement, 1, EVERY[sampler], generators())


def test_levels_stop_at_the_noise_of_each_slice():
    measurement = replace(gaussian_case(False).measurement, noise_std=torch.tensor([0.001, 0.1, 3.0]))
    settings = Annealing(steps=5, sigma_max=1.0, sigma_min=0.01, rho=float("inf"), stop_at_noise=True)
    levels = noise_levels(settings, measurement)[..., 0, 0]
    torch.testing.assert_close(levels[0], torch.ones(3))
    torch.testing.assert_close(levels[-2], torch.tensor([0.01, 0.1, 0.5]))
    torch.testing.assert_close(levels[1:5, 0] / levels[:4, 0], torch.full((4,), 0.01**0.25))
    assert (levels[-1] == 0).all()
    assert (noise_levels(replace(settings, stop_at_noise=False), measurement)[-2] == 0.01).all()


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_a_step_arrives_at_the_next_level(eta):
    """x - z has std s before and t after, whatever share of it is fresh."""
    case = gaussian_case(False)
    clean = torch.zeros(2000, *case.mean.shape, dtype=torch.complex64)
    sigma, following = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.2)
    noisy = 0.5 * 2**0.5 * torch.randn(clean.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(7))
    moved = renoise(noisy, clean, sigma, following, eta, case.measurement, generators())
    assert moved.real.std().item() == pytest.approx(0.2, rel=0.01)
    correlation = (moved * noisy.conj()).mean().real / (2 * 0.2 * 0.5)
    assert correlation.item() == pytest.approx((1 - eta**2 * (1 - 0.4**2)) ** 0.5, abs=0.01)
