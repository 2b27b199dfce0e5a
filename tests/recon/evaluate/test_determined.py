from dataclasses import replace

import torch

from mri_ambient.measurement import Measurement, measurement_of
from mri_ambient.physics.sense import Sense
from mri_ambient.recon.evaluate import determined
from mri_ambient.recon.evaluate.determined import SPREAD, determined_share
from tests.recon.gaussian import SIZE, gaussian_case


def dense(measurement: Measurement) -> torch.Tensor:
    """1 - posterior variance / prior variance of a white Gaussian prior, from the matrix of the whole image."""
    basis = torch.eye(SIZE**2, dtype=torch.complex64).reshape(-1, 1, SIZE, SIZE)
    normal = measurement.operator.gram(basis.expand(-1, len(measurement.kspace), -1, -1)).flatten(2).permute(1, 2, 0)
    weight = float(measurement.noise[0] / SPREAD) ** 2
    inverse = torch.linalg.inv(normal.to(torch.complex128) + weight * torch.eye(SIZE**2))
    return (1 - weight * inverse.diagonal(dim1=1, dim2=2).real).reshape(-1, SIZE, SIZE).float()


def test_line_masks_are_exact():
    measurement = gaussian_case(correlated=False).measurement
    share = determined_share(measurement, "a", 0)
    torch.testing.assert_close(share, dense(measurement), rtol=0, atol=1e-3)
    by_accel = share.mean((-2, -1))
    assert by_accel[0] > by_accel[1] > by_accel[2]


def test_other_masks_are_estimated(monkeypatch):
    measurement = gaussian_case(correlated=False).measurement
    scattered = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) < 0.4
    sense = Sense(measurement.sense.maps[:1], scattered)
    measurement = replace(
        measurement, kspace=measurement.kspace[:1], operator=sense, noise_std=measurement.noise_std[:1]
    )
    monkeypatch.setattr(determined, "ITERATIONS", 10)
    share, exact = determined_share(measurement, "a", 0), dense(measurement)
    assert (share - exact).abs().mean() < 0.1
    assert (share - exact).mean().abs() < 0.03


def test_all_measured_is_all_determined_and_air_is_not(undersampled):
    part = measurement_of(undersampled, slice(0, 1))
    maps = torch.where(torch.arange(48) < 10, 0, part.sense.maps)
    whole = Measurement(part.kspace, Sense(maps, torch.ones(1, 1, 48, dtype=torch.bool)), part.noise_std, part.acs)
    share = determined_share(whole, "a", 0)
    assert (share[..., :10] == 0).all()
    assert share[whole.operator.support].min() > 0.98
