import numpy as np
import pytest
import torch

from mri_ambient.data_prep.coils.calibration import (
    EspiritSettings,
    calibration_matrix,
    kernel_correlation,
    kernel_of,
    signal_threshold,
)
from mri_ambient.data_prep.coils.espirit import espirit, gram_at
from mri_ambient.data_prep.simulation.anatomy import draw_subject
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.physics.fourier import fft2c, ifft2c

NOISE = 0.02  # an SNR of about 30
KSpace = torch.Tensor


@pytest.fixture(scope="module")
def phantom() -> tuple[KSpace, torch.Tensor]:
    """k-space of 6 coils with noise, and the true maps where there is signal, 0 elsewhere."""
    rng = np.random.default_rng(3)
    image = draw_subject(96, 1, rng).image[0]
    coils = draw_coils(6, 96, np.array([0.0]), 230.0, rng)[0]
    kspace = fft2c(torch.from_numpy(coils * image).to(torch.complex64))
    generator = torch.Generator().manual_seed(0)
    noise = 2**0.5 * NOISE * torch.randn(kspace.shape, dtype=torch.complex64, generator=generator)
    maps = torch.from_numpy(coils / np.linalg.norm(coils, axis=0))
    return kspace + noise, torch.where(torch.from_numpy(image > 0.1), maps, 0)


def span_residual(maps: torch.Tensor, kspace: KSpace, where: torch.Tensor) -> float:
    """Root mean square of the coil images outside the span of the maps, over what noise alone leaves there."""
    images = ifft2c(kspace)
    outside = images - maps * (maps.conj() * images).sum(0)
    floor = (2 * NOISE**2 * (len(maps) - 1)) ** 0.5
    return float(outside.abs().square().sum(0)[where].mean().sqrt() / floor)


@pytest.mark.parametrize("width", [13, 20, 26])
def test_span_of_the_coil_images(phantom, width):
    kspace, truth = phantom
    inside = truth.abs().amax(0) > 0
    (maps,) = espirit(kspace, (96, width))
    assert (maps.abs().amax(0) > 0)[inside].float().mean() > 0.99
    assert span_residual(maps, kspace, inside & (maps.abs().amax(0) > 0)) < 1.05


@pytest.mark.parametrize("width", [13, 20, 26])
def test_maps_are_the_true_ones_up_to_a_phase(phantom, width):
    kspace, truth = phantom
    (maps,) = espirit(kspace, (96, width))
    both = (truth.abs().amax(0) > 0) & (maps.abs().amax(0) > 0)
    cosine = (truth.conj() * maps).sum(0).abs()[both]
    assert cosine.quantile(0.05) > 0.995


def test_normalised_or_zero_and_only_the_acs_matters(phantom):
    kspace, _ = phantom
    maps = espirit(kspace, (96, 12))
    norm = maps.abs().square().sum(1)
    assert torch.all((norm - 1).abs().lt(1e-4) | norm.eq(0))
    hidden = torch.full_like(kspace, torch.nan)
    hidden[..., 42:54] = kspace[..., 42:54]
    assert torch.equal(espirit(hidden, (96, 12)), maps)


def test_a_volume_is_its_slices_whatever_the_blocks(phantom, monkeypatch):
    kspace, _ = phantom
    volume = torch.stack([kspace, 2 * kspace.flip(0)])
    maps = espirit(volume, (96, 20))
    assert maps.shape == (2, 1, 6, 96, 96)
    assert torch.equal(maps[0], espirit(kspace, (96, 20)))
    monkeypatch.setattr("mri_ambient.data_prep.coils.espirit.BLOCK_BYTES", 1)  # eight rows at a time
    torch.testing.assert_close(espirit(kspace, (96, 20)), maps[0], rtol=0, atol=2e-3)


@pytest.mark.parametrize("rows", [94, 92, 90, 88])
def test_a_last_block_of_few_rows(phantom, monkeypatch, rows):
    kspace = phantom[0][:, 48 - rows // 2 : 48 + rows // 2]
    maps = espirit(kspace, (rows, 20))
    monkeypatch.setattr(
        "mri_ambient.data_prep.coils.espirit.BLOCK_BYTES", 1
    )  # eight rows at a time: 6, 4, 2, 0 are left
    torch.testing.assert_close(espirit(kspace, (rows, 20)), maps, rtol=0, atol=1e-2)


def test_the_gram_matrix_is_the_projection_on_the_signal_kernels():
    """Against its definition: the kernels' images at each pixel, F = sum_k |K_k><K_k|, through a plain FFT."""
    kspace = fft2c(torch.randn(3, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)))
    correlation = kernel_correlation(kspace[:, 8:16, 6:14], settings=EspiritSettings(threshold=0.5))
    padded = torch.zeros(3, 3, 24, 20, dtype=torch.complex64)
    height, width = correlation.shape[-2:]
    padded[..., 12 - height // 2 : 13 + height // 2, 10 - width // 2 : 11 + width // 2] = correlation
    expected = ifft2c(padded).permute(2, 3, 0, 1) * (24 * 20) ** 0.5
    found = gram_at(correlation, (24, 20), torch.arange(24))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, found.mH, rtol=1e-4, atol=1e-5)


def test_a_dead_coil_gets_a_zero_map(phantom):
    kspace = phantom[0].clone()
    kspace[2] = 0
    maps = espirit(kspace, (96, 20))
    assert torch.isfinite(torch.view_as_real(maps)).all()
    assert maps[:, 2].abs().max() < 1e-3


def test_one_coil_and_many(phantom):
    kspace, _ = phantom
    one = espirit(kspace[:1], (96, 20)).abs()
    assert (one.eq(0) | (one - 1).abs().lt(1e-5)).all()
    many = kspace.repeat(11, 1, 1)[:64]
    noisy = many + 0.01 * torch.randn(many.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    norm = espirit(noisy, (96, 20)).abs().square().sum(1)
    assert (norm.eq(0) | (norm - 1).abs().lt(1e-4)).all()
    assert norm.mean() > 0.4


def test_the_phase_reference_is_smooth_and_stable(phantom):
    """Neighbouring pixels' maps differ little in phase, and another noise changes the phase little."""
    kspace, truth = phantom
    (maps,) = espirit(kspace, (96, 20))
    inside = (truth.abs().amax(0) > 0)[:, 1:] & (truth.abs().amax(0) > 0)[:, :-1]
    turn = (maps[..., 1:] * maps[..., :-1].conj()).sum(0)
    assert turn.angle().abs()[inside].quantile(0.999) < 0.3
    noise = (
        2**0.5 * NOISE * torch.randn(kspace.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(9))
    )
    (again,) = espirit(kspace + noise, (96, 20))
    both = (truth.abs().amax(0) > 0) & (again.abs().amax(0) > 0) & (maps.abs().amax(0) > 0)
    assert (again * maps.conj()).sum(0).angle().abs()[both].quantile(0.99) < 0.1


def test_a_second_set_where_the_object_folds(phantom):
    """Every second line of a fully sampled scan folds its image: two objects under each pixel need two maps."""
    kspace, _ = phantom
    folded = kspace[:, :, ::2].contiguous()
    maps = espirit(folded, (96, 24), sets=2)
    assert maps.shape == (2, 6, 96, 48)
    images = ifft2c(folded)
    signal = images.norm(dim=0) > 10 * NOISE

    def outside(sets: torch.Tensor) -> float:
        left = images
        for s in sets:
            left = left - s * (s.conj() * left).sum(0)
        return float(left[:, signal].norm())

    overlap = (maps[0].conj() * maps[1]).sum(0).abs()
    assert overlap.max() < 0.1
    assert (maps[1].norm(dim=0) > 0)[signal].float().mean() > 0.2
    assert outside(maps) < 0.6 * outside(maps[:1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_gpu_as_on_the_cpu(phantom):
    kspace, _ = phantom
    found = espirit(kspace.cuda(), (96, 20)).cpu()
    here = espirit(kspace, (96, 20))
    agreeing = (found.conj() * here).sum(1).real > 0.999
    assert agreeing[here.norm(dim=1) > 0].float().mean() > 0.99


@pytest.mark.parametrize("noise_std", [None, "true", "twice"])
@pytest.mark.parametrize("snr", [10, 30])
@pytest.mark.parametrize("coils", [4, 8, 16])
def test_a_wide_acs_of_a_noisy_scan_gives_the_true_maps(coils, snr, noise_std):
    """A fixed threshold keeps all kernels here, and the maps are arbitrary: 75 degrees off."""
    rng = np.random.default_rng(7)
    image = draw_subject(96, 1, rng).image[0]
    sensitivities = draw_coils(coils, 96, np.array([0.0]), 230.0, rng)[0]
    std = float(np.linalg.norm(sensitivities * image, axis=0)[image > 0.1].mean()) / snr
    noise = torch.randn(coils, 96, 96, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    kspace = fft2c(torch.from_numpy(sensitivities * image).to(torch.complex64)) + 2**0.5 * std * noise
    truth, inside = (
        torch.from_numpy(sensitivities / np.linalg.norm(sensitivities, axis=0)),
        torch.from_numpy(image > 0.1),
    )
    known = {None: None, "true": std, "twice": 2 * std}[noise_std]
    (maps,) = espirit(kspace, (96, 96), known)
    support = maps.norm(dim=0) > 0
    assert support[inside].float().mean() > 0.995
    assert support[~inside].float().mean() < 0.85  # air is air again
    cosine = (truth.conj() * maps).sum(0).abs()[inside & support].clamp_max(1)
    assert torch.rad2deg(cosine.arccos()).quantile(0.95) < 60 / snr + coils / 8


def test_without_noise_the_threshold_is_sigpys():
    energy = torch.linspace(0, 1, 50) ** 8
    assert signal_threshold(energy, (1, 10, 10), 0.0) == pytest.approx(0.02)


def test_the_edge_is_the_largest_singular_value_of_other_noise():
    for box in ((8, 48, 10), (4, 20, 20), (16, 30, 12)):
        noise = torch.randn(*box, dtype=torch.complex64, generator=torch.Generator().manual_seed(5))
        values = torch.linalg.svdvals(calibration_matrix(noise, kernel_of(box[1:])))
        assert (
            values[0]
            < signal_threshold(values.square().flip(0), box, None, EspiritSettings(threshold=0))
            < 1.25 * values[0]
        )
