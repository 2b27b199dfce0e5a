"""Each loss has the minimiser that it should: a Gaussian image prior, a linear denoiser, several coils, R=4."""

import pytest
import torch
from torch import Tensor, nn

from mri_ambient.measurement import Measurement
from mri_ambient.physics.masks import measured_probability
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.denoisers import Architecture, Denoiser
from mri_ambient.training.losses.loss import Shown
from mri_ambient.training.losses.registry import LOSSES
from tests.operators import random_complex

ROWS, COLUMNS, COILS, ACS, LINES = 2, 12, 3, 1, 3
SIGMA = 0.4
PIXELS = ROWS * COLUMNS
SHOWN = torch.zeros(COLUMNS, dtype=torch.bool)
SHOWN[[3, 6]] = True  # M~: the ACS line and one other; M has one more, anywhere


class Linear(Denoiser):
    """D(k) = B k over the samples of the shown lines."""

    def __init__(self):
        super().__init__(Architecture())
        self.matrix = nn.Parameter(torch.zeros(PIXELS, COILS * ROWS * int(SHOWN.sum()), dtype=torch.complex64))

    def forward(self, kspace: Tensor, sense: Sense, sigma: Tensor) -> Tensor:
        return (kspace[..., SHOWN].flatten(1) @ self.matrix.T).unflatten(1, (ROWS, COLUMNS))


def scene() -> tuple[Tensor, Tensor]:
    """Maps, and a square root L of the prior's covariance: x = L w, w white of unit variance in each part."""
    maps = random_complex((COILS, ROWS, COLUMNS), 0, torch.complex64)
    root = random_complex((PIXELS, PIXELS), 1, torch.complex64) / PIXELS**0.5
    return maps / maps.norm(dim=0), root @ torch.diag(torch.linspace(1.5, 0.05, PIXELS)).to(root.dtype)


def noise(*shape: int, seed: int) -> Tensor:
    """Unit variance in the real and in the imaginary part."""
    return 2**0.5 * random_complex(shape, seed, torch.complex64)


def draw(noise_std: float, scans: int) -> tuple[Measurement, Shown]:
    maps, root = scene()
    images = (noise(scans, PIXELS, seed=2) @ root.T).unflatten(1, (ROWS, COLUMNS))
    generator = torch.Generator().manual_seed(3)
    others = (~SHOWN).nonzero().squeeze(1)
    mask = SHOWN.repeat(scans, 1)
    mask[torch.arange(scans), others[torch.randint(len(others), (scans,), generator=generator)]] = True
    sense = Sense(maps.expand(scans, -1, -1, -1), mask.unsqueeze(1))
    kspace = sense(images) + sense.apply_mask(noise_std * noise(scans, COILS, ROWS, COLUMNS, seed=4))
    acquired = torch.ones(COLUMNS, dtype=torch.bool)
    q = measured_probability("random", SHOWN, ACS, LINES, acquired)
    levels, names = torch.full((scans,), noise_std), ("",) * scans
    batch = Measurement(kspace, sense, levels, (ACS,) * scans, names)
    return batch, Shown(SHOWN.expand(scans, 1, -1), q.expand(scans, 1, -1))


def posterior_mean(noise_std: float, kspace_noise: bool) -> Tensor:
    """B with B k = E[x | k], k the shown samples: of A~ (x + sigma z), or of A~ x + n + sigma e."""
    maps, root = scene()
    basis = torch.eye(PIXELS, dtype=torch.complex64).reshape(-1, ROWS, COLUMNS)
    operator = Sense(maps, SHOWN)(basis)[..., SHOWN].flatten(1).T.to(torch.complex128)
    prior = (root @ root.mH).to(torch.complex128)
    measured = operator @ prior @ operator.mH
    if kspace_noise:
        measured = measured + (noise_std**2 + SIGMA**2) * torch.eye(len(measured))
    else:
        measured = measured + SIGMA**2 * operator @ operator.mH + noise_std**2 * torch.eye(len(measured))
    return (prior @ operator.mH @ torch.linalg.pinv(measured)).to(torch.complex64)


def descend(name: str, noise_std: float, scans: int) -> tuple[Tensor, Tensor]:
    """What gradient descent on the loss makes of the denoiser, and what the prior says, both applied to the same input."""
    batch, shown = draw(noise_std, scans)
    added = noise(scans, *([COILS] if LOSSES[name].noise_domain == "kspace" else []), ROWS, COLUMNS, seed=5)
    sigma = torch.full((scans,), SIGMA)
    denoiser = Linear()
    optimiser = torch.optim.LBFGS(denoiser.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = LOSSES[name].rule(denoiser, batch, shown, sigma, added).mean()
        value.backward()
        return value

    optimiser.step(loss)
    exact = posterior_mean(noise_std, LOSSES[name].noise_domain == "kspace")
    probe = batch.kspace[..., SHOWN].flatten(1)
    return probe @ denoiser.matrix.detach().T, probe @ exact.T


def deviation(name: str, noise_std: float, scans: int) -> float:
    """Of the denoised images, relative; of an unbiased loss it falls with the root of the number of scans."""
    found, exact = descend(name, noise_std, scans)
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize("name", ["weighted", "published", "noise-aware"])
def test_without_noise_each_reaches_the_posterior_mean(name):
    """Ten times as many unknown lines as seen ones: what is never shown is learned from other scans."""
    assert deviation(name, 0.0, 6000) < 0.08


@pytest.mark.slow
def test_with_noise_only_noise_aware_does():
    assert deviation("noise-aware", 0.4, 24000) < 0.08
    assert deviation("weighted", 0.4, 24000) > 0.12
    assert deviation("published", 0.4, 24000) > 0.25
