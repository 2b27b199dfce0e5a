"""Laps in closed form, and what they are made of."""

import pytest
import torch
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement
from mri_ambient.physics.sense import whole_image
from mri_ambient.training.laps import best_lap, in_parts, iterate

CPU = torch.device("cpu")
COORDINATES, MEASURED, SCANS, NOISE = 8, 4, 3000, 0.2


def white(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, dtype=torch.complex128, generator=generator)


class Scans:
    """Gaussian x, of which each scan measures some coordinates with noise; M differs from scan to scan."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        root = white(COORDINATES, COORDINATES, generator=generator) * torch.linspace(1.0, 0.2, COORDINATES)
        self.covariance = root @ root.mH
        images = white(SCANS, COORDINATES, generator=generator) @ root.T
        order = torch.rand(SCANS, COORDINATES, generator=generator).argsort(1)
        self.mask = order < MEASURED
        self.y = torch.where(self.mask, images + NOISE * white(*images.shape, generator=generator), 0)

    def posterior(self, prior: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of each scan's x."""
        precision = torch.linalg.inv(prior) + torch.diag_embed(self.mask / NOISE**2)
        spread = torch.linalg.inv(precision)
        return (spread @ self.y[..., None] / NOISE**2).squeeze(-1), spread

    def draws(self, prior: Tensor, lap: int) -> Tensor:
        """The first lap has the ambient denoiser's one answer, later ones exact posterior draws."""
        mean, spread = self.posterior(prior)
        if lap == 1:
            return mean
        noise = white(SCANS, COORDINATES, 1, generator=torch.Generator().manual_seed(lap))
        return mean + (torch.linalg.cholesky(spread) @ noise).squeeze(-1)

    def error(self, prior: Tensor) -> float:
        return float((prior - self.covariance).norm() / self.covariance.norm())


def sample_covariance(images: Tensor, _prior: Tensor, _lap: int) -> Tensor:
    return images.T @ images.conj() / len(images)


def test_laps_find_the_covariance_that_one_lap_misses():
    """A Gaussian prior, whose M-step is the draws' covariance: that of conditional means is too small, by what the posteriors
    spread; posterior draws lead on to the true one, as near as this many scans tell it."""
    scans = Scans()
    found = []

    def error(prior: Tensor, _lap: int) -> None:
        found.append(scans.error(prior))

    iterate(scans.covariance, 30, scans.draws, sample_covariance, error, 0.0)
    assert len(found) == 30
    _, spread = scans.posterior(scans.covariance)
    missing = spread.mean(0).norm() / scans.covariance.norm()
    assert found[0] == pytest.approx(float(missing), rel=0.1)
    assert found[0] > 0.2
    assert found[1] < 0.1
    assert found[-1] < 0.065


@pytest.mark.parametrize(
    ("errors", "tolerance", "laps", "best"),
    [
        ([0.5, 0.4, 0.3], 0.01, 3, 3),
        ([0.5, 0.4, 0.41, 0.1], 0.01, 3, 2),
        ([0.5, 0.4999, 0.1], 0.01, 2, 2),
        ([0.5, 0.4999, 0.1], 0.0, 3, 3),
        ([0.5, float("nan"), 0.1], 0.0, 2, 1),
        ([None, None, None], 0.5, 3, 3),
    ],
)
def test_laps_end_when_they_no_longer_improve(errors, tolerance, laps, best):
    """Images and priors are the laps they stem from: each E-step has the last M-step's prior, each M-step its images."""

    def e_step(prior: int, lap: int) -> tuple[int, int]:
        assert prior == lap - 1
        return prior, lap

    def m_step(images: tuple[int, int], prior: int, lap: int) -> int:
        assert images == (prior, lap)
        return lap

    found = iterate(0, len(errors), e_step, m_step, lambda prior, lap: errors[prior - 1], tolerance)
    assert len(found) == laps
    assert best_lap(found) == best


def test_an_e_step_in_parts_is_the_same():
    def e_step(prior, measurement, generators):
        assert len(measurement) <= 2
        noise = [[torch.randn(3, 4, generator=g) for g in of_draw] for of_draw in generators]
        return (
            torch.stack([torch.stack(of_draw) for of_draw in noise])
            + measurement.kspace[:, 0] * measurement.noise_std[:, None, None]
        )

    kspace = torch.arange(60).reshape(5, 1, 3, 4) * (1 + 0j)
    seeds = [[torch.Generator().manual_seed(10 * draw + i) for i in range(5)] for draw in range(2)]
    found = in_parts(e_step, 2, CPU)(None, Measurement(kspace, whole_image(kspace[:, 0]), torch.ones(5)), seeds)
    assert found.shape == (2, 5, 3, 4)
    for draw in range(2):
        for i in range(5):
            noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(10 * draw + i))
            torch.testing.assert_close(found[draw, i], kspace[i, 0] + noise)


@pytest.mark.parametrize("raised", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_an_e_step_without_memory_says_what_to_lower(raised):
    def e_step(*_):
        raise raised

    image = torch.zeros(1, 2, 2, dtype=torch.complex64)
    with pytest.raises(UserError, match=r"lower `e_step.batch` \(now 3\)") as error:
        in_parts(e_step, 3, CPU)(None, Measurement(image[None], whole_image(image), torch.zeros(1)), [])
    assert "\n" not in str(error.value)
