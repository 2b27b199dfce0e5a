from pathlib import Path

import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.measurement import measurement_of
from mri_ambient.priors.denoisers import Architecture, Denoiser
from mri_ambient.recon.methods.denoising import denoiser_for
from tests.recon.test_reconstruct import untrained

LINES = {3: 12, 7: 6}
"""A mask of R + 1 keeps so many of 48 lines."""


def spying(accel: float):
    """A `masked` prior that remembers the masks it was shown and answers with the adjoint image of what it sees."""
    seen = []
    prior = untrained("masked")

    class Spy(Denoiser):
        def estimate(self, sense, kspace, sigma):
            seen.append(sense.mask)
            return sense.adjoint(kspace)

    prior.denoiser, prior.path = Spy(Architecture()), Path("prior")
    prior.card.training.accel, prior.card.training.mask = (2.0, accel), "random"
    return prior, seen


def generators(first: int, count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + index) for index in range(count)]


def call(prior, measurement, masks, seeds, times=2, samples=3):
    denoise = denoiser_for(prior, measurement, masks, samples, seeds)
    images = torch.zeros(samples, *measurement.kspace[:, 0].shape, dtype=torch.complex64)
    for _ in range(times):
        denoise(images, torch.full((len(measurement.kspace), 1, 1), 0.3))


def test_masks_of_the_scan(undersampled):
    prior, seen = spying(3)
    measurement = measurement_of(undersampled)
    call(prior, measurement, "scan", generators(0, 4))
    assert all(torch.equal(mask.unflatten(0, (3, 4)), measurement.sense.mask.expand(3, -1, -1, -1)) for mask in seen)


@pytest.mark.parametrize(("masks", "differ"), [("once", False), ("redrawn", True)])
def test_masks_like_those_of_training(undersampled, masks, differ):
    """R + 1 of the highest R of the training, the ACS kept, another for each image; drawn once or at every call."""
    prior, seen = spying(3)
    measurement = measurement_of(undersampled)
    call(prior, measurement, masks, generators(0, 4))
    for mask in seen:
        assert mask.shape == (12, 1, 48)
        assert (mask.sum((1, 2)) == LINES[3]).all()
        assert mask[..., 20:28].all()
        assert len(mask.unique(dim=0)) > 8
    assert torch.equal(seen[0], seen[1]) != differ
    alone, shown = spying(3)
    call(alone, measurement_of(undersampled, slice(2, 3)), masks, generators(2, 1))
    assert all(torch.equal(a, b.unflatten(0, (3, 4))[:, 2]) for a, b in zip(shown, seen, strict=True))


def test_too_few_lines_for_the_acs(undersampled):
    prior, _ = spying(7)
    with pytest.raises(
        UserError, match=r"prior: R=8 leaves 6 of 48 lines, fewer than the 8 ACS lines; a prior of lower R"
    ):
        call(prior, measurement_of(undersampled), "once", generators(0, 4))


@pytest.mark.parametrize("kind", ["image", "masked"])
def test_each_slice_has_its_own_noise_level(undersampled, kind):
    prior = untrained(kind)
    measurement = measurement_of(undersampled, slice(0, 2))
    images = torch.randn(2, 2, 48, 48, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    denoise = denoiser_for(prior, measurement, "scan", 2, generators(0, 2))
    both = denoise(images, torch.tensor([0.1, 1.0])[:, None, None])
    for index, sigma in enumerate((0.1, 1.0)):
        same = denoise(images, torch.full((2, 1, 1), sigma))
        torch.testing.assert_close(both[:, index], same[:, index], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(both[:, 1 - index], same[:, 1 - index], rtol=1e-2)
