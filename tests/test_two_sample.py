import pytest
import torch
from torch import Generator, Tensor

from benchmarks.two_sample import mmd, sliced_wasserstein


def normal(count: int, seed: int, shift: float = 0.0, spread: float = 1.0) -> Tensor:
    return shift + spread * torch.randn(count, 20, generator=Generator().manual_seed(seed))


def sliced(first: Tensor, second: Tensor) -> float:
    return sliced_wasserstein(first, second, Generator().manual_seed(0))


def test_sliced_wasserstein_of_gaussians_is_known():
    """W_2^2 of N(m, s^2) and N(n, t^2) in one dimension is (m - n)^2 + (s - t)^2; the mean over directions of (t.d)^2 is
    |d|^2 / pixels."""
    first = normal(2000, 0)
    assert sliced(first, normal(2000, 1, shift=0.5)) == pytest.approx(0.5 * 20**0.5, rel=0.05)
    assert sliced(first, normal(2000, 1, spread=2.0)) == pytest.approx(20**0.5, rel=0.05)
    assert sliced(first, first + 0.3) == pytest.approx(0.3 * 20**0.5, rel=0.05)
    assert sliced(first, first) == 0
    assert sliced(first, normal(1000, 1, shift=0.5)) == pytest.approx(0.5 * 20**0.5, rel=0.1)


def test_mmd_of_gaussians_is_known():
    """E exp(-|d|^2 / 2h^2) for d ~ N(m, 2 s^2) in n dimensions: (1 + 2 s^2 / h^2)^(-n/2) exp(-|m|^2 / 2 (h^2 + 2 s^2))."""
    first, second = normal(1500, 0), normal(1500, 1, shift=0.4)
    distances = torch.cdist(torch.cat([first, second]), torch.cat([first, second]))
    width = float(distances[distances > 0].median() ** 2)
    same = (1 + 2 / width) ** -10
    apart = same * float(torch.exp(torch.tensor(-20 * 0.4**2 / (2 * (width + 2)))))
    assert mmd(first, second) == pytest.approx(2 * (same - apart), rel=0.1)


def test_mmd_of_one_distribution_is_about_zero_on_both_sides():
    values = [mmd(normal(200, 2 * i), normal(300, 2 * i + 1)) for i in range(8)]
    assert min(values) < 0 < max(values)
    assert max(map(abs, values)) < 0.1 * mmd(normal(200, 0), normal(300, 1, shift=0.5))
