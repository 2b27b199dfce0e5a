from pathlib import Path

import h5py
import pytest
import torch

from mri_ambient.devices import PRECISION
from mri_ambient.errors import UserError
from mri_ambient.priors.card import Card, Prior
from mri_ambient.priors.denoisers import Architecture, build_denoiser
from mri_ambient.priors.sample_file import draw_grid, write_samples
from mri_ambient.priors.sampling import heun, sample_prior
from mri_ambient.priors.schedule import edm_schedule
from tests.operators import random_complex
from tests.pretended import Elsewhere, pretended


def untrained(kind: str, denoiser: str) -> Prior:
    torch.manual_seed(0)
    architecture = Architecture(denoiser=denoiser, widths=(8, 8), iterations=2)
    training = {"accel": [3.0], "mask": "random"}
    card = Card(
        kind=kind, architecture=architecture, matrix=(48, 48), pixel_mm=None, images_seen=1, training=training, data=""
    )
    return Prior(build_denoiser(architecture), card, Path())


@pytest.mark.parametrize("steps", [16, 64])
def test_heun_draws_from_a_gaussian_prior(steps):
    """D(x) = s^2 / (s^2 + sigma^2) x is exact for N(0, s^2): samples have its variance, the better for more steps."""
    spread = 0.3
    noise = 2**0.5 * random_complex((64, 16, 16), 0, torch.complex64)
    sigmas = edm_schedule(steps, 10.0, 0.01, 7.0)
    images = heun(lambda x, sigma: spread**2 / (spread**2 + sigma**2) * x, noise, sigmas)
    found = torch.view_as_real(images).std()
    assert found == pytest.approx(spread, rel=0.05 if steps == 16 else 0.01)


def test_heun_needs_two_calls_a_level_but_the_last():
    levels, seen = [], []
    heun(
        lambda x, sigma: (levels.append(sigma), 0 * x)[1],
        torch.ones(1, 2, 2, dtype=torch.complex64),
        torch.tensor([4.0, 1.0, 0.0]),
        lambda step, _: seen.append(step),
    )
    assert levels == [4.0, 1.0, 1.0]
    assert seen == [0, 1]


def test_samples_depend_on_the_seed_alone(prepared):
    for prior in (untrained("image", "unet"), untrained("masked", "unrolled")):
        together = sample_prior(prior, 3, 4, True, prepared, seed=1)
        apart = sample_prior(prior, 3, 4, True, prepared, seed=1, batch=2)
        assert together.shape == (3, 48, 48)
        torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-3)
        assert not torch.allclose(together, sample_prior(prior, 3, 4, True, prepared, seed=2))


def test_fixed_and_redrawn_masks_differ(prepared):
    prior = untrained("masked", "unrolled")
    fixed, redrawn = (sample_prior(prior, 2, 4, again, prepared, seed=1) for again in (False, True))
    assert not torch.allclose(fixed, redrawn)


def test_a_masked_prior_needs_coils(tmp_path):
    with pytest.raises(UserError, match="holds no prepared volume of 48x48"):
        sample_prior(untrained("masked", "unrolled"), 1, 2, False, tmp_path, seed=0)


def test_a_masked_prior_whose_masks_have_fewer_lines_than_the_acs(prepared):
    prior = untrained("masked", "unrolled")
    prior.card.training.accel = (6.0,)
    with pytest.raises(UserError, match="fewer than the 8 ACS lines; pass the --data of scans with fewer"):
        sample_prior(prior, 1, 2, False, prepared, seed=0)


def test_files(tmp_path):
    images = random_complex((5, 12, 12), 0, torch.complex64).numpy()
    write_samples(tmp_path / "s.h5", images, {"seed": 3})
    with h5py.File(tmp_path / "s.h5") as file:
        assert (file["samples"][:] == images).all()
        assert file.attrs["seed"] == 3
    draw_grid(tmp_path / "s.png", images, "title")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["image", "masked"])
def test_samples_are_drawn_on_the_priors_device(kind, prepared, monkeypatch):
    monkeypatch.setenv(PRECISION, "float32")
    prior = untrained(kind, "unet")
    here = sample_prior(prior, 2, 3, True, prepared, seed=1)
    with pretended() as device:
        there = sample_prior(prior.to(device), 2, 3, True, prepared, seed=1)
        assert not isinstance(there, Elsewhere)
    assert torch.equal(here, there)
