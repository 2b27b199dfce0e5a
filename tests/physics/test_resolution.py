import torch

from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.resolution import resize_image, resize_kspace, resize_maps, resize_mask
from tests.operators import random_complex


def smooth_image(size: int) -> torch.Tensor:
    y, x = torch.meshgrid(*[(torch.arange(size) - size // 2) / size] * 2, indexing="ij")
    return torch.exp(-((y - 0.05) ** 2 + x**2) * 100).to(torch.complex128)


def test_the_same_object_at_two_matrices():
    torch.testing.assert_close(resize_image(smooth_image(64), (32, 32)), smooth_image(32), rtol=0, atol=1e-6)
    torch.testing.assert_close(resize_image(smooth_image(32), (64, 64)), smooth_image(64), rtol=0, atol=1e-6)


def test_down_and_up_is_the_identity_for_a_band_limited_image():
    low = random_complex((15, 20), 0)
    torch.testing.assert_close(resize_image(resize_image(low, (31, 40)), (15, 20)), low)


def test_kspace_keeps_its_measured_lines():
    kspace = fft2c(random_complex((24, 24), 1))
    mask = torch.rand(1, 24, generator=torch.Generator().manual_seed(2)) < 0.5
    small, small_mask = resize_kspace(kspace * mask, (16, 16)), resize_mask(mask, 24, (16, 16))
    assert small_mask.shape == (1, 16)
    assert torch.equal(small.abs().sum(0) > 0, small_mask[0])
    large, large_mask = resize_kspace(kspace * mask, (32, 30)), resize_mask(mask, 24, (32, 30))
    assert torch.equal(large.abs() > 0, large_mask)  # what was never measured is not measured as 0


def test_maps_stay_normalised():
    maps = torch.ones(1, 4, 20, 20, dtype=torch.complex64) / 2
    maps[..., :5] = 0
    small = resize_maps(maps, (10, 10))
    torch.testing.assert_close(resize_maps(maps[0], (10, 10)), small[0])
    norm = small.abs().square().sum(-3)
    assert set(norm.round(decimals=5).unique().tolist()) == {0.0, 1.0}
