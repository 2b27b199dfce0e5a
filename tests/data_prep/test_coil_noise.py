import pytest
import torch

from data_prep.coil_noise import covariance, noise_samples, whitener
from data_prep.compression import compression_matrix, kept_energy
from mri_ambient.physics.fourier import fft2c
from tests.operators import random_complex


def correlated(coils: int, samples: int) -> torch.Tensor:
    mixing = random_complex((coils, coils), 1, torch.complex64) / coils + torch.eye(coils)
    return mixing @ random_complex((coils, samples), 2, torch.complex64) * torch.logspace(-6, -3, coils)[:, None]


@pytest.mark.parametrize("coils", [1, 4, 32])
def test_whitened_noise_has_unit_variance_and_no_correlation(coils):
    noise = correlated(coils, 20000)
    before = noise.clone()
    white = whitener(covariance(noise)) @ noise
    torch.testing.assert_close(covariance(white), torch.eye(coils) + 0j, rtol=0, atol=0.01)
    assert torch.equal(noise, before)


def test_a_dead_coil_stays_silent():
    noise = correlated(4, 5000)
    noise[2] = 0
    matrix = whitener(covariance(noise))
    white = covariance(matrix @ noise)
    assert torch.isfinite(torch.view_as_real(matrix)).all()
    torch.testing.assert_close(white, torch.diag(torch.tensor([1, 1, 0, 1.0])) + 0j, rtol=0, atol=0.01)


def test_two_copies_of_one_coil_are_not_divided_by_zero():
    noise = correlated(3, 5000)
    matrix = whitener(covariance(torch.cat([noise, noise[:1]])))
    assert torch.isfinite(torch.view_as_real(matrix)).all()


def test_the_quieter_edge_of_the_readout_is_taken():
    """An object within an oversampled field of view leaves its ends empty; of a noiseless image nothing else is silent."""
    image = torch.zeros(2, 3, 64, 20, dtype=torch.complex64)
    image[..., 16:48, :] = 100 * random_complex((2, 3, 32, 20), 0, torch.complex64)
    noise = random_complex((2, 3, 64, 20), 1, torch.complex64)
    lines = torch.zeros(2, 1, 20, dtype=torch.bool)
    lines[:, :, ::2] = True
    samples = noise_samples(torch.where(lines.unsqueeze(1), fft2c(image) + noise, 0), lines)
    assert samples.shape == (3, 2 * 6 * 10)
    torch.testing.assert_close(covariance(samples).diagonal().real, torch.ones(3), rtol=0.3, atol=0)


def test_unmeasured_samples_are_not_read():
    kspace, mask = random_complex((2, 3, 40, 24), 0, torch.complex64), torch.rand(2, 1, 24) < 0.5
    hidden = torch.where(mask.unsqueeze(1), kspace, torch.nan)
    assert torch.isfinite(torch.view_as_real(noise_samples(hidden, mask))).all()
    scattered = torch.rand(2, 40, 24) < 0.3
    hidden = torch.where(scattered.unsqueeze(1), kspace, torch.nan)
    assert torch.isfinite(torch.view_as_real(noise_samples(hidden, scattered))).all()


def test_compression_keeps_what_a_few_coils_hold_and_white_noise_white():
    signals = torch.einsum(
        "vc,cyx->vyx", random_complex((20, 5), 0, torch.complex64), random_complex((5, 9, 9), 1, torch.complex64)
    )
    matrix = compression_matrix(signals, 6)
    assert matrix.shape == (6, 20)
    torch.testing.assert_close(matrix @ matrix.mH, torch.eye(6) + 0j, rtol=0, atol=1e-5)
    assert kept_energy(signals, matrix) == pytest.approx(1, abs=1e-5)
    assert 0.2 < kept_energy(random_complex((20, 9, 9), 2, torch.complex64), matrix) < 0.5


def test_few_coils_are_left_as_they_are():
    assert torch.equal(compression_matrix(random_complex((3, 4, 4), 0, torch.complex64), 8), torch.eye(3) + 0j)
