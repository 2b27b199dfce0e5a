import pytest
import torch

from mri_ambient.data_prep.coils.compression import compression_matrix, kept_energy, virtual_coils
from mri_ambient.data_prep.coils.whitening import coil_weights, covariance, noise_samples, whitener
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


def test_as_many_virtual_coils_as_keep_the_energy():
    def of_rank(rank: int, coils: int) -> torch.Tensor:
        sources = random_complex((rank, 12, 12), 3, torch.complex64)
        return torch.einsum("vc,cyx->vyx", random_complex((coils, rank), 4, torch.complex64), sources)

    assert virtual_coils([of_rank(3, 32)]) == 8
    assert virtual_coils([of_rank(3, 32), of_rank(11, 32)]) == 11  # every slice keeps 99.9 %
    assert virtual_coils([of_rank(30, 32)]) == 16
    assert virtual_coils([of_rank(5, 6)]) == 6


def test_without_a_noise_scan_coils_are_scaled_and_never_mixed():
    levels = torch.tensor([1.0, 3, 0.5, 2])
    common = random_complex((1, 8000), 6, torch.complex64)  # what correlates may be signal
    samples = levels[:, None] * (random_complex((4, 8000), 5, torch.complex64) + 0.5 * common)
    weights, std, done = coil_weights(samples, noise_scan=False)
    assert done == "each coil scaled"
    assert torch.equal(weights, torch.diag(weights.diagonal()))
    noise = weights @ samples
    torch.testing.assert_close(noise.abs().square().mean(1).sqrt(), 2**0.5 * std.expand(4), rtol=0.05, atol=0)
    assert coil_weights(samples, noise_scan=False, whiten="none")[2] == "none"
    with_scan, _, done = coil_weights(samples, noise_scan=True)
    assert done == "noise scan"
    assert with_scan[1:, 0].abs().max() > 0.1
