import numpy as np
import pytest
import torch

from data_prep.anatomy import draw_subject
from data_prep.coils import draw_coils
from data_prep.maps import espirit, sigpy_espirit
from mri_ambient.physics.fourier import fft2c, ifft2c

NOISE = 0.02  # an SNR of about 30


@pytest.fixture(scope="module")
def phantom() -> tuple[torch.Tensor, torch.Tensor]:
    """k-space of 6 coils with noise, and the true maps where there is signal, 0 elsewhere."""
    rng = np.random.default_rng(3)
    image = draw_subject(96, 1, rng).image[0]
    coils = draw_coils(6, 96, np.array([0.0]), 230.0, rng)[0]
    kspace = fft2c(torch.from_numpy(coils * image).to(torch.complex64))
    generator = torch.Generator().manual_seed(0)
    noise = 2**0.5 * NOISE * torch.randn(kspace.shape, dtype=torch.complex64, generator=generator)
    maps = torch.from_numpy(coils / np.linalg.norm(coils, axis=0))
    return kspace + noise, torch.where(torch.from_numpy(image > 0.1), maps, 0)


def span_residual(maps: torch.Tensor, kspace: torch.Tensor, where: torch.Tensor) -> float:
    """Root mean square of the coil images outside the span of the maps, over what noise alone leaves there."""
    images = ifft2c(kspace)
    outside = images - maps * (maps.conj() * images).sum(0)
    floor = (2 * NOISE**2 * (len(maps) - 1)) ** 0.5
    return float(outside.abs().square().sum(0)[where].mean().sqrt() / floor)


@pytest.mark.parametrize("width", [13, 20, 26])
def test_span_of_the_coil_images(phantom, width):
    kspace, truth = phantom
    inside = truth.abs().amax(0) > 0
    maps = espirit(kspace, (96, width))
    assert (maps.abs().amax(0) > 0)[inside].float().mean() > 0.99
    assert span_residual(maps, kspace, inside & (maps.abs().amax(0) > 0)) < 1.05


def test_normalised_or_zero_and_only_the_acs_matters(phantom):
    kspace, _ = phantom
    maps = espirit(kspace, (96, 12))
    norm = maps.abs().square().sum(0)
    assert torch.all((norm - 1).abs().lt(1e-4) | norm.eq(0))
    hidden = torch.full_like(kspace, torch.nan)
    hidden[..., 42:54] = kspace[..., 42:54]
    assert torch.equal(espirit(hidden, (96, 12)), maps)


def test_agrees_with_sigpy(phantom):
    kspace, truth = phantom
    inside = truth.abs().amax(0) > 0
    ours, theirs = espirit(kspace, (24, 24)), sigpy_espirit(kspace, (24, 24))
    both = inside & (ours.abs().amax(0) > 0) & (theirs.abs().amax(0) > 0)
    assert both.sum() > 0.98 * inside.sum()
    cosine = (ours.conj() * theirs).sum(0)[both]
    assert cosine.abs().quantile(0.01) > 0.999
    assert cosine.angle().abs().quantile(0.99) < 0.02


def test_a_dead_coil_gets_a_zero_map(phantom):
    kspace = phantom[0].clone()
    kspace[2] = 0
    maps = espirit(kspace, (96, 20))
    assert torch.isfinite(maps.real).all()
    assert maps[2].abs().max() < 1e-3


def test_the_phase_reference_is_smooth(phantom):
    """No singularities: neighbouring pixels' maps differ little in phase."""
    kspace, truth = phantom
    maps = espirit(kspace, (96, 20))
    inside = (truth.abs().amax(0) > 0)[:, 1:] & (truth.abs().amax(0) > 0)[:, :-1]
    turn = (maps[..., 1:] * maps[..., :-1].conj()).sum(0)
    assert turn.angle().abs()[inside].quantile(0.999) < 0.3
