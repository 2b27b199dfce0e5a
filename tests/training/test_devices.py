"""Training and sampling on a device that is pretended: nothing mixes, and the numbers are the CPU's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mri_ambient.devices import PRECISION
from mri_ambient.images import run as images_run
from mri_ambient.images.config import ImageConfig
from mri_ambient.images.data import read_images
from mri_ambient.images.denoiser import PixelArchitecture
from mri_ambient.images.registry import CORRUPTIONS, fitting_rules
from mri_ambient.images.run import image_config, run_images
from mri_ambient.images.task import ImageTask
from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Architecture
from mri_ambient.priors.registry import DENOISERS
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, read_volumes
from mri_ambient.training.kspace_task import KspaceTask
from mri_ambient.training.loop import train
from mri_ambient.training.losses.registry import LOSSES
from mri_ambient.training.ranks import Ranks
from mri_ambient.training.validation import held_out_lines, validation_error
from tests.pretended import DEVICE, Elsewhere, pretended

ONE_STEP = {"images": 2, "batch": 2, "accumulate": 2, "save_every": 1}
PIXELS = PixelArchitecture(widths=(8, 8), channels=1)
OF_A_STAGE = [name for name, loss in LOSSES.items() if not loss.from_reconstructions]


@pytest.fixture(autouse=True)
def single_precision(monkeypatch):
    """bfloat16 is asked of the device, and the pretended one hasn't it."""
    monkeypatch.setenv(PRECISION, "float32")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "some.npz"
    np.savez(path, images=np.random.default_rng(0).random((6, 16, 16), np.float32))
    return path


def stepped(
    task: Any, folder: Path, device: torch.device, validate: Any = None
) -> tuple[dict[str, torch.Tensor], bool]:
    """The mean's weights after one step of the loop, its checkpoint and picture; and whether they were elsewhere."""
    mean = train(task, task.config, folder, lambda *_: None, validate=validate, ranks=Ranks(0, 1, device))
    weights = mean.state_dict()
    elsewhere = all(isinstance(value.data, Elsewhere) for value in mean.parameters())
    return {name: value.cpu() for name, value in weights.items()}, elsewhere


def same_step(task: Any, folder: Path, validate: Any = None) -> None:
    here, _ = stepped(task, folder / "here", torch.device("cpu"), validate)
    with pretended() as device:
        there, elsewhere = stepped(task, folder / "there", device, validate)
    assert elsewhere
    torch.manual_seed(task.config.seed)
    start = task.build().state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in here.items())
    assert all(torch.equal(value, there[name]) for name, value in here.items())


@pytest.mark.parametrize("denoiser", DENOISERS)
@pytest.mark.parametrize("loss", OF_A_STAGE)
def test_a_step_of_every_loss(loss, denoiser, prepared, tmp_path):
    """With its held-out error, which chooses among checkpoints."""
    architecture = Architecture(denoiser=denoiser, widths=(8, 8), iterations=2)
    config = TrainConfig(loss=loss, accel=(3.0,), strip=16, architecture=architecture, **ONE_STEP)
    complete = LOSSES[loss].needs_complete
    data = MeasuredSlices(read_volumes(prepared), (1.0,) if complete else config.accel, config.mask)
    held = held_out_lines(MeasuredSlices(read_volumes(prepared), config.accel, config.mask), 0)
    same_step(KspaceTask(data, config), tmp_path, lambda mean: validation_error(mean, held))


@pytest.mark.parametrize(("corruption", "rule"), [(c, rule) for c in CORRUPTIONS for rule in fitting_rules(c)])
def test_a_step_on_images(corruption, rule, file, tmp_path):
    config = ImageConfig(corruption=corruption, rule=rule, architecture=PIXELS, **ONE_STEP)
    same_step(ImageTask(read_images(file), config), tmp_path)


def test_a_measurement_that_stays_is_found(prepared, tmp_path, monkeypatch):
    """The test of the test."""
    monkeypatch.setattr(Measurement, "to", lambda self, device: self)
    task = KspaceTask(MeasuredSlices(read_volumes(prepared), (3.0,), "random"), TrainConfig(strip=16, **ONE_STEP))
    with pretended(), pytest.raises(RuntimeError, match="tensors on meta and on cpu"):
        stepped(task, tmp_path, DEVICE)


def test_train_images_and_their_samples(file, tmp_path, monkeypatch):
    """The whole of the command, on the device that it is given by name."""
    monkeypatch.setattr(images_run, "GRID", 2)
    monkeypatch.setattr(images_run, "STEPS", 2)
    config = image_config(file, {"images": 4, "batch": 4}, (8, 8))
    run_images(config, tmp_path / "here", False)
    monkeypatch.setattr("mri_ambient.training.ranks.device_of", lambda name: {"elsewhere": DEVICE}[name])
    with pretended():
        prior = run_images(config, tmp_path / "there", False, device="elsewhere")
    assert all(isinstance(value.data, Elsewhere) for value in prior.denoiser.parameters())
    for name in ("prior.safetensors", "samples.png"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
