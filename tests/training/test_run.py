import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mri_ambient.errors import UserError
from mri_ambient.priors.denoisers import Architecture
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices
from mri_ambient.training.run import RUN, RunConfig, default_config, run

TINY = {"images": 12, "batch": 2, "save_every": 2}


def config(data, **changes) -> RunConfig:
    ambient = TrainConfig(
        accel=(3.0,), architecture=Architecture(widths=(8, 8), iterations=2), strip=16, **(TINY | changes)
    )
    architecture = Architecture(denoiser="unet", widths=(8, 8))
    lap = TrainConfig(accel=(1.0,), loss="supervised", architecture=architecture, strip=16, **TINY)
    return RunConfig(data=data, ambient=ambient, laps=(lap,))


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "prior.safetensors")


def assert_equal(left, right) -> None:
    for stage in ("", "lap1"):
        ours, theirs = weights(left / stage), weights(right / stage)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """One uninterrupted tiny run."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    run(config(prepared), folder, resume=False)
    return folder


def test_a_run_leaves_two_priors_and_their_cards(finished, prepared):
    prior = run(config(prepared), finished, resume=True)  # all finished: nothing is trained again
    assert prior.card.kind == "image"
    assert prior.card.images_seen == 12
    assert prior.card.training["loss"] == "supervised"
    assert prior.card.pixel_mm == pytest.approx((230 / 48, 230 / 48), abs=1e-3)
    assert prior.card.data == "8 slices; 2 simulated scans"
    assert any((finished / "tensorboard").iterdir())


@pytest.mark.parametrize("loss", ["weighted", "published"])
def test_unmeasured_samples_never_matter(loss, prepared, finished, tmp_path):
    """Every unmeasured k-space entry is set to NaN in the files: the same run gives bit-identical priors, laps included."""
    poisoned = tmp_path / "poisoned"
    shutil.copytree(prepared, poisoned)
    data = MeasuredSlices(prepared, (3.0,), "random")
    count = 0
    for path in data.paths:
        with h5py.File(poisoned / path.name, "r+") as file:
            for index in range(len(file["kspace"])):
                unmeasured = ~data.slice(path, index).mask[0, 0].numpy()
                kspace = file["kspace"][index]
                kspace[..., unmeasured] = np.nan
                file["kspace"][index] = kspace
                count += np.isnan(kspace).sum()
    assert count == 8 * 4 * 48 * 32
    run(config(poisoned, loss=loss), tmp_path / "run", resume=False)
    if loss == "weighted":
        assert_equal(tmp_path / "run", finished)
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run" / "lap1").values())


def test_supervised_does_read_everything(prepared, tmp_path):
    """The control of the test above: a loss that needs complete k-space notices the poison."""
    poisoned = tmp_path / "poisoned"
    shutil.copytree(prepared, poisoned)
    for path in poisoned.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            kspace = file["kspace"][:]
            kspace[..., 0] = np.nan
            file["kspace"][:] = kspace
    with pytest.raises(UserError, match=r"not finite at step 0 for .*slice"):
        run(config(poisoned, loss="supervised"), tmp_path / "run", resume=False)


@pytest.mark.slow
def test_killed_and_resumed_is_bit_identical(prepared, finished, tmp_path):
    """kill -9 between checkpoints, in the first stage; then --resume."""
    folder = tmp_path / "killed"
    code = (
        "import sys, torch; torch.set_num_threads(2)\n"
        "from pathlib import Path; from mri_ambient.training.run import RunConfig, run\n"
        "run(RunConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]), resume=False)"
    )
    arguments = [sys.executable, "-c", code, config(prepared).model_dump_json(), str(folder)]
    child = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    while not (folder / "checkpoint.safetensors").exists():
        time.sleep(0.01)
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (folder / "lap1" / "prior.json").exists()
    run(config(prepared), folder, resume=True)
    assert_equal(folder, finished)


def test_a_run_is_not_overwritten_nor_mixed(finished, prepared):
    before = (finished / "prior.safetensors").stat().st_mtime_ns
    with pytest.raises(UserError, match="continue it with --resume"):
        run(config(prepared), finished, resume=False)
    with pytest.raises(UserError, match="other settings"):
        run(config(prepared, seed=1), finished, resume=True)
    (finished / RUN).rename(finished / "aside")
    (finished / RUN).write_text("{}")
    with pytest.raises(UserError, match="other settings"):
        run(config(prepared), finished, resume=True)
    (finished / "aside").rename(finished / RUN)
    assert (finished / "prior.safetensors").stat().st_mtime_ns == before


def test_defaults_describe_the_stages(tmp_path):
    made = default_config(tmp_path, (4.0,), "random", "weighted", "unrolled", 2, 100, 0)
    assert made.ambient.architecture.denoiser == "unrolled"
    assert [lap.architecture.denoiser for lap in made.laps] == ["unet", "unet"]
    assert RunConfig.model_validate_json(made.model_dump_json()) == made
