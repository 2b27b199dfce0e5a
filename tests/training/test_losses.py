from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mri_ambient.measurement import Measurement
from mri_ambient.physics.masks import line_mask, measured_probability, remove_lines
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.denoisers import Architecture, Denoiser
from mri_ambient.training.losses.loss import Shown
from mri_ambient.training.losses.published import published
from mri_ambient.training.losses.registry import LOSSES
from mri_ambient.training.losses.supervised import supervised
from mri_ambient.training.losses.weighted import weighted
from mri_ambient.training.losses.weights import edm_weight, masked_weight, weight_for
from tests.operators import random_complex

SIZE, ACS, ACCEL = 12, 2, 3


class Constant(Denoiser):
    """A "denoiser" that answers with one image, whatever it is shown; it keeps what it was shown."""

    def __init__(self, image: Tensor):
        super().__init__(Architecture())
        self.image = nn.Parameter(image)

    def forward(self, kspace: Tensor, sense: Sense, sigma: Tensor) -> Tensor:
        self.seen = kspace
        return self.image.expand(len(kspace), -1, -1)


def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Maps, true image, the denoiser's image."""
    maps = random_complex((4, SIZE, SIZE), 0, torch.complex64)
    maps /= maps.abs().square().sum(0).sqrt()
    return maps, random_complex((SIZE, SIZE), 1, torch.complex64), random_complex((SIZE, SIZE), 2, torch.complex64)


def draws(kind: str, count: int, removed: int = 1) -> tuple[Measurement, Shown, Tensor]:
    """``count`` scans of one object, each with its own M and M~."""
    maps, truth, _ = scene()
    acquired = torch.ones(SIZE, dtype=torch.bool)
    generator = torch.Generator().manual_seed(3)
    masks = [line_mask(kind, ACCEL, ACS, acquired, generator) for _ in range(count)]
    further = [remove_lines(mask, ACS, removed, generator) for mask in masks]
    q = [measured_probability(kind, f, ACS, SIZE // ACCEL, acquired) for f in further]
    mask = torch.stack(masks).unsqueeze(1)
    sense = Sense(maps.expand(count, -1, -1, -1), mask)
    kspace = sense(truth.expand(count, -1, -1))
    batch = Measurement(kspace, sense, torch.zeros(count), (ACS,) * count, ("",) * count)
    return batch, Shown(torch.stack(further).unsqueeze(1), torch.stack(q).unsqueeze(1)), truth


def test_a_slices_weight_does_not_depend_on_its_batch():
    """EDM's where it is seen whole, bounded where lines are missing."""
    mask = torch.ones(2, 1, SIZE, dtype=torch.bool)
    mask[1, :, 3] = False
    sigma, denoiser = torch.full((2,), 0.05), Constant(scene()[2])
    weight = weight_for(Shown(mask, torch.ones(2, 1, SIZE)), sigma, denoiser.architecture.sigma_data)
    torch.testing.assert_close(weight[0], edm_weight(sigma, denoiser.architecture.sigma_data)[0])
    torch.testing.assert_close(weight[1], masked_weight(sigma, denoiser.architecture.sigma_data)[1])
    assert weight[0] > 1.5 * weight[1]


@pytest.mark.parametrize("kind", ["random", "equispaced", "gaussian"])
def test_the_expected_weighted_loss_is_the_error_of_the_whole_image(kind):
    _, truth, guess = scene()
    batch, shown, _ = draws(kind, 4000)
    sigma = torch.full((4000,), 0.2)
    denoiser = Constant(guess)
    losses = weighted(denoiser, batch, shown, sigma, torch.zeros(4000, SIZE, SIZE, dtype=torch.complex64)).detach()
    whole = masked_weight(sigma[0], denoiser.architecture.sigma_data) * (guess - truth).abs().square().mean()
    if kind == "equispaced":
        # q = 0 on some lines: what can never be measured beside M~ is left out, line by line
        possible = shown.q > 0
        every = Sense(batch.sense.maps, possible)((guess - truth).expand(4000, -1, -1)).abs().square().sum((1, 2, 3))
        whole = masked_weight(sigma[0], denoiser.architecture.sigma_data) * every.mean() / SIZE**2
    error = losses.std() / 4000**0.5
    assert abs(losses.mean() - whole) < 4 * error
    assert error < 0.05 * whole


def test_the_published_loss_is_the_residual_of_the_normal_operator():
    maps, truth, guess = scene()
    batch, shown, _ = draws("random", 2)
    sigma = torch.tensor([0.2, 0.4])
    found = published(Constant(guess), batch, shown, sigma, torch.zeros(2, SIZE, SIZE, dtype=torch.complex64))
    for i in range(2):
        sense = Sense(maps, batch.sense.mask[i])
        expected = (
            edm_weight(sigma[i], Constant(guess).architecture.sigma_data)
            * sense.gram(guess - truth).abs().square().mean()
        )
        torch.testing.assert_close(found[i], expected, rtol=1e-4, atol=1e-4)


def test_the_supervised_loss_is_the_error_of_the_image():
    maps, truth, guess = scene()
    everything = torch.ones(1, 1, SIZE, dtype=torch.bool)
    sense = Sense(maps[None], everything)
    batch = Measurement(sense(truth[None]), sense, torch.zeros(1), (ACS,), ("",))
    shown = Shown(everything, torch.ones(1, 1, SIZE))
    sigma = torch.tensor([0.2])
    found = supervised(Constant(guess), batch, shown, sigma, torch.zeros(1, SIZE, SIZE, dtype=torch.complex64))
    expected = edm_weight(sigma, Constant(guess).architecture.sigma_data) * (guess - truth).abs().square().mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["weighted", "published"])
def test_only_shown_lines_reach_the_denoiser_and_only_measured_ones_the_loss(name):
    batch, shown, _ = draws("random", 4, removed=2)
    noise = random_complex((4, SIZE, SIZE), 5, torch.complex64)
    kspace = torch.where(batch.sense.mask.unsqueeze(1), batch.kspace, torch.nan)
    poisoned = replace(batch, kspace=kspace)
    denoiser = Constant(scene()[2])
    sigma = torch.full((4,), 0.3)
    clean = LOSSES[name].rule(denoiser, batch, shown, sigma, noise)
    hidden = ~shown.mask.unsqueeze(1).expand_as(denoiser.seen)
    assert (denoiser.seen[hidden] == 0).all()
    if name == "published":
        assert torch.equal(LOSSES[name].rule(denoiser, poisoned, shown, sigma, noise), clean)
