"""Training on corrupted images: what it reads, what it leaves, what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, Tensor

from mri_ambient.devices import PRECISION
from mri_ambient.errors import UserError
from mri_ambient.images.card import load_pixel_prior
from mri_ambient.images.config import ImageConfig
from mri_ambient.images.corruptions import Pixels
from mri_ambient.images.data import read_images
from mri_ambient.images.denoiser import PixelArchitecture, build_pixel_denoiser
from mri_ambient.images.run import ImageRunConfig, image_config, run_images
from mri_ambient.images.sampling import draw_pixels, sample_pixels
from mri_ambient.images.task import ImageTask, draw_batch, own_operator
from mri_ambient.priors.card import load_prior, read_card
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import newest_run
from mri_ambient.training.loop import train
from tests.pretended import Elsewhere, pretended

TINY = {"images": 12, "batch": 4, "save_every": 1, "architecture": PixelArchitecture(widths=(8, 8), channels=1)}


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "some.npz"
    np.savez(path, images=np.random.default_rng(0).random((12, 16, 16), np.float32))
    return path


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("mri_ambient.images.run.GRID", 4)
    monkeypatch.setattr("mri_ambient.images.run.STEPS", 3)


def config(**changes) -> ImageConfig:
    return ImageConfig.model_validate(TINY | {"corruption": "random-pixels"} | changes)


def trained(data, settings: ImageConfig, folder: Path) -> dict[str, Tensor]:
    return train(ImageTask(data, settings), settings, folder, lambda *_: None).state_dict()


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("kind", "rule"), [("random-pixels", "ambient"), ("random-box", "naive"), ("keep-patch", "ambient")]
)
def test_missing_pixels_never_matter(kind, rule, file, tmp_path):
    """Set to NaN they change no bit of the weights; the rule that needs whole images is the control."""
    data = read_images(file)
    settings = config(corruption=kind, rule=rule, missing=0.6)
    poisoned = data.pixels.clone()
    for index in range(len(poisoned)):
        operator = own_operator(data, index, settings)
        assert isinstance(operator, Pixels)
        poisoned[index] = torch.where(operator.mask[0], poisoned[index], torch.nan)
    assert poisoned.isnan().any(dim=(1, 2, 3)).all()
    missing = type(data)(data.name, poisoned)
    assert same(trained(data, settings, tmp_path / "a"), trained(missing, settings, tmp_path / "b"))
    with pytest.raises(UserError, match=r"some image \d+: the loss is not finite at step 0"):
        trained(missing, config(corruption=kind, rule="clean"), tmp_path / "c")


def test_gaussian_measurements_are_all_that_is_known(file):
    """What A does not see of an image changes the batch by no more than rounding."""
    data, settings = read_images(file), config(corruption="gaussian")
    operator = own_operator(data, 3, settings)
    other = torch.randn(data.pixels[3:4].shape, generator=Generator().manual_seed(0))
    unseen = data.pixels.clone()
    unseen[3:4] += other - operator.project(other)
    first, second = (
        draw_batch(images, [3], settings, Generator().manual_seed(1))
        for images in (data, type(data)(data.name, unseen))
    )
    assert (unseen[3] - data.pixels[3]).abs().mean() > 0.3
    torch.testing.assert_close(first.images, second.images, rtol=1e-3, atol=1e-3)


def test_an_image_keeps_its_corruption_and_is_shown_less_of_it_each_time(file):
    data, task = read_images(file), ImageTask(read_images(file), config(batch=12))
    for step in (0, 1):
        batch = task.draw(step).batch
        for name, mask, shown in zip(batch.names, batch.operator.coverage, batch.shown.coverage, strict=True):
            index = int(name.split()[-1])
            assert torch.equal(mask, own_operator(data, index, task.config).coverage[0])
            assert (shown <= mask).all()
    first, again = (draw_batch(data, [5], task.config, Generator().manual_seed(seed)).shown for seed in (0, 1))
    assert not torch.equal(first.coverage, again.coverage)
    noise = [draw_batch(data, [5], config(corruption="noise", rule="creative"), Generator()).noisy for _ in range(2)]
    assert torch.equal(*noise)
    assert not torch.equal(noise[0][0], data.pixels[5])


def test_rules_for_noisy_data_get_no_clean_image(file):
    data = read_images(file)
    for rule in ("tweedie", "tweedie-consistent", "naive"):
        batch = draw_batch(data, [0, 1], config(corruption="noise", rule=rule), Generator())
        assert torch.equal(batch.images, batch.noisy)
        assert (batch.noisy - data.pixels[:2]).std() == pytest.approx(0.2, rel=0.1)


def test_a_stopped_run_goes_on_where_it_was(file, tmp_path):
    data, settings = read_images(file), config(corruption="noise", rule="tweedie-consistent")

    class Stopped(Exception):
        pass

    def stop(_, seen: int) -> None:
        if seen > 4:
            raise Stopped

    whole = trained(data, settings, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(ImageTask(data, settings), settings, tmp_path / "cut", stop)
    assert same(trained(data, settings, tmp_path / "cut"), whole)


def test_a_run_leaves_a_prior_samples_and_settings(file, tmp_path, quick):
    made = image_config(file, {"images": 8, "batch": 4, "missing": 0.7}, (8, 8))
    assert made.training.architecture.sigma_data == pytest.approx(3**-0.5, abs=0.03)  # of uniform numbers
    prior = run_images(made, tmp_path / "run", resume=False)
    assert (prior.card.kind, prior.card.matrix, prior.card.images_seen) == ("pixel", (16, 16), 8)
    assert ImageRunConfig.model_validate_json((tmp_path / "run" / "run.json").read_text()) == made
    assert (tmp_path / "run" / "samples.png").read_bytes().startswith(b"\x89PNG")
    drawn = {}
    for redrawn in (False, True):
        drawn[redrawn], apart = (sample_pixels(prior, 3, 3, 1, redrawn=redrawn, batch=size) for size in (3, 2))
        torch.testing.assert_close(drawn[redrawn], apart, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(drawn[False], drawn[True])
    with pytest.raises(UserError, match="continue it with --resume"):
        run_images(made, tmp_path / "run", resume=False)
    again = made.model_copy(update={"training": made.training.model_copy(update={"seed": 1})})
    with pytest.raises(UserError, match="other settings"):
        run_images(again, tmp_path / "run", resume=True)


def test_fine_tuning_starts_from_the_other_priors_weights(file, tmp_path, quick):
    first = run_images(image_config(file, {"images": 4, "batch": 4, "rule": "clean"}, (8, 8)), tmp_path / "a", False)
    settings = {"images": 4, "batch": 4, "corruption": "random-box", "learning_rate": 1e-12}
    run_images(image_config(file, settings, (16, 16), first), tmp_path / "b", False, first)
    before, after = (load_file(tmp_path / name / "prior.safetensors") for name in ("a", "b"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-6)
    other = image_config(file, settings, (16, 16))
    with pytest.raises(UserError, match="has the architecture"):
        run_images(other, tmp_path / "c", False, first)
    assert not (tmp_path / "c").exists()
    np.savez(tmp_path / "two.npz", images=np.ones((3, 8, 8), np.complex64))
    with pytest.raises(UserError, match="images of 2 channels, the prior to start from 1"):
        image_config(tmp_path / "two.npz", settings, (8, 8), first)


def test_reconstruction_refuses_a_pixel_prior(file, tmp_path, quick, prepared):
    run_images(image_config(file, {"images": 4, "batch": 4}, (8, 8)), tmp_path / "runs" / "pixels", False)
    for refuse in (load_prior, lambda path: find_prior(("image", "masked"), path)):
        with pytest.raises(UserError, match="is a `pixel` prior, of images without coils"):
            refuse(tmp_path / "runs" / "pixels")
    assert newest_run(tmp_path / "runs") is None  # so the bundled prior serves
    bundled = find_prior(("image",)).path
    with pytest.raises(UserError, match="is a prior of kind `image`, not `pixel`"):
        load_pixel_prior(bundled)
    card = json.loads((bundled / "prior.json").read_text())
    assert read_card(bundled).architecture.model_dump()["denoiser"] == card["architecture"]["denoiser"]


@pytest.mark.parametrize(
    ("array", "shape", "largest"),
    [
        (np.full((5, 8, 6), 255, np.uint8), (5, 1, 8, 6), 1.0),
        (np.full((5, 8, 6), 3 + 4j, np.complex64), (5, 2, 8, 6), 4.0),
        (np.ones((5, 3, 8, 6), np.float64), (5, 3, 8, 6), 1.0),
        (np.full((5, 8, 6, 3), 51, np.uint8), (5, 3, 8, 6), 0.2),
    ],
)
def test_images_of_several_kinds(array, shape, largest, tmp_path):
    for path, write in ((tmp_path / "a.npy", np.save), (tmp_path / "a.npz", lambda p, a: np.savez(p, images=a))):
        write(path, array)
        found = read_images(path)
        assert found.pixels.shape == shape
        assert found.pixels.max() == pytest.approx(largest)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.ones((4, 4)), "has no array images"),
        (np.array(["a"]), "has no array"),
        (np.ones((2, 5, 5, 4)), "more than 3"),
    ],
)
def test_bad_images(array, problem, tmp_path):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(UserError, match=problem):
        read_images(tmp_path / "bad.npy")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match="can't be read"):
        read_images(tmp_path / "text.npz")


def test_a_denoiser_of_whole_images_is_edms():
    """Where its U-Net answers 0, D = c_skip x of what is seen."""
    denoiser = build_pixel_denoiser(PixelArchitecture(channels=3, widths=(8, 8), sigma_data=0.5))
    torch.nn.init.zeros_(denoiser.unet.leave.bias)
    images = torch.randn(2, 3, 16, 12, generator=Generator().manual_seed(0))
    sigma = torch.tensor([0.1, 2.0])
    skip = (0.25 / (0.25 + sigma**2))[:, None, None, None]
    whole = Pixels(torch.ones(2, 1, 16, 12, dtype=torch.bool))
    torch.testing.assert_close(denoiser(images, whole, sigma), skip * images)
    left = Pixels(whole.mask & (torch.arange(12) < 6))
    assert (denoiser(left.project(images), left, sigma)[..., 6:] == 0).all()


def test_pictures(tmp_path):
    for channels in (1, 2, 3):
        draw_pixels(tmp_path / f"{channels}.png", torch.rand(5, channels, 8, 8), "title")
        assert (tmp_path / f"{channels}.png").read_bytes().startswith(b"\x89PNG")


def test_samples_are_drawn_on_the_priors_device(file, tmp_path, quick, monkeypatch):
    """Behind corruptions too; the CPU's numbers come back to the CPU."""
    monkeypatch.setenv(PRECISION, "float32")
    run_images(image_config(file, {"images": 4, "batch": 4}, (8, 8)), tmp_path / "a", False)
    here = sample_pixels(load_pixel_prior(tmp_path / "a"), 3, 3, 1, redrawn=True)
    with pretended() as device:
        there = sample_pixels(load_pixel_prior(tmp_path / "a", device), 3, 3, 1, redrawn=True)
        assert not isinstance(there, Elsewhere)
    assert torch.equal(here, there)


def test_a_device_that_is_not_here(file, typed, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    code, said = typed(f"train-images {file} --device cuda")
    assert (code, "device cuda: is not here (accelerators: none); choose auto or cpu" in said) == (2, True)
