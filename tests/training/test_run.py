import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mri_ambient.store
from mri_ambient.audit.images import run_volumes
from mri_ambient.devices import PRECISION
from mri_ambient.errors import UserError
from mri_ambient.priors.card import read_card
from mri_ambient.priors.denoisers import Architecture, Denoiser
from mri_ambient.store import write_volume
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, read_volumes, split
from mri_ambient.training.kspace_task import KspaceTask
from mri_ambient.training.loop import CHECKPOINT, learning_rate, share_of, train
from mri_ambient.training.ranks import Ranks
from mri_ambient.training.run import RUN
from mri_ambient.training.run import run as run_with
from mri_ambient.training.run_config import RunConfig, RunOptions, configure, default_config, override, read_config
from mri_ambient.training.run_data import training_scans
from mri_ambient.training.validation import held_out_lines, validation_error
from mri_ambient.workflows.comparing import open_source
from mri_ambient.workflows.learning import e_step_of

TINY = {"images": 12, "batch": 2, "save_every": 2}


def config(data, **changes) -> RunConfig:
    ambient = TrainConfig(
        accel=(3.0,), architecture=Architecture(widths=(8, 8), iterations=2), strip=16, **(TINY | changes)
    )
    architecture = Architecture(denoiser="unet", widths=(8, 8))
    lap = TrainConfig(accel=(1.0,), loss="supervised", architecture=architecture, strip=16, **TINY)
    return RunConfig(data=data, ambient=ambient, laps=(lap,))


def run(config: RunConfig, folder: Path, resume: bool):
    return run_with(config, folder, resume, e_step_of(config))


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
    assert prior.card.training.loss == "supervised"
    assert prior.card.pixel_mm == pytest.approx((230 / 48, 230 / 48), abs=1e-3)
    ambient = read_card(finished)
    assert ambient.data == "8 slices; 2 simulated scans"
    made = f"reconstructed from random lines at R=3 by the masked prior {ambient.weights_sha256[:8]}"
    assert prior.card.data == f"8 slices {made}; 2 simulated scans"
    assert any((finished / "tensorboard").iterdir())


@pytest.mark.parametrize("loss", ["weighted", "published"])
def test_unmeasured_samples_never_matter(loss, prepared, finished, tmp_path):
    """Every unmeasured k-space entry is set to NaN in the files: the same run gives bit-identical priors, laps included."""
    poisoned = tmp_path / "poisoned"
    shutil.copytree(prepared, poisoned)
    data = MeasuredSlices(read_volumes(prepared), (3.0,), "random")
    count = 0
    for path in data.volumes:
        with h5py.File(poisoned / path.name, "r+") as file:
            for index in range(len(file["kspace"])):
                unmeasured = ~data.slice(path, index).sense.mask[0, 0].numpy()
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
    with pytest.raises(UserError, match=r"slice \d+: the loss is not finite at step 0"):
        run(config(poisoned, loss="supervised"), tmp_path / "run", resume=False)


@pytest.mark.slow
def test_killed_and_resumed_is_bit_identical(prepared, finished, tmp_path):
    """kill -9 between checkpoints, in the first stage; then --resume."""
    folder = tmp_path / "killed"
    code = (
        "import sys\n"
        "from pathlib import Path; from mri_ambient.workflows.learning import e_step_of\n"
        "from mri_ambient.training.run import RunConfig, run; made = RunConfig.model_validate_json(sys.argv[1])\n"
        "run(made, Path(sys.argv[2]), False, e_step_of(made))"
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


def test_an_older_run_goes_on(prepared, finished, tmp_path, monkeypatch):
    """Its run.json still names the one schedule of the learning rate; it was killed between two checkpoints."""
    folder, steps = tmp_path / "older", iter(range(5))
    step = torch.optim.Adam.step

    def dying(self, *arguments):
        next(steps)
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", dying)
    with pytest.raises(StopIteration):
        run(config(prepared), folder, resume=False)
    monkeypatch.undo()
    assert (folder / CHECKPOINT).exists()
    older = with_schedule(folder / RUN, "cosine")
    run(read_config(folder / RUN), folder, resume=True)
    assert_equal(folder, finished)
    assert "schedule" in older
    assert "schedule" not in (folder / RUN).read_text()


@pytest.mark.parametrize("stage", ["ambient", "laps"])
def test_no_other_schedule(stage, finished, tmp_path):
    copy = Path(shutil.copy(finished / RUN, tmp_path))
    with_schedule(copy, "constant", (stage,))
    with pytest.raises(UserError, match=rf"{stage}.*`schedule` can't be constant: there is one, cosine; leave it out"):
        read_config(copy)


def with_schedule(path: Path, schedule: str, stages: tuple[str, ...] = ("ambient", "laps")) -> str:
    """Write into a run.json what older ones have; returns it."""
    made = json.loads(path.read_text())
    for stage in stages:
        for settings in made[stage] if stage == "laps" else [made[stage]]:
            settings["schedule"] = schedule
    path.write_text(json.dumps(made))
    return path.read_text()


def test_a_run_goes_on_with_the_volumes_it_began_with(prepared, scans, tmp_path):
    """One more, or one prepared otherwise, is another run. `compare` and `audit` know them too."""
    data, folder = tmp_path / "data", tmp_path / "run"
    shutil.copytree(prepared, data)
    prior = run(config(data), folder, resume=False)
    known = training_scans(prior)
    assert [name for _, name, _ in known] == ["subject_0", "subject_1"]
    raw = open_source(scans / "subject_0.h5", mask="random", slices=1, lesions=False, seed=0)
    assert known[0] == (raw.sha256, raw.name, raw.subject)
    assert run_volumes(prior, "--training") == sorted(data.glob("*.h5"))
    shutil.copy(data / "subject_0.h5", data / "more.h5")
    with pytest.raises(
        UserError, match="data: more.h5 came, went or changed since .*run began; resume with the volumes"
    ):
        run(config(data), folder, resume=True)
    with pytest.raises(UserError, match="data: more.h5 came, went or changed since .* was trained; pass --training"):
        run_volumes(prior, "--training")
    (data / "more.h5").unlink()
    run(config(data), folder, resume=True)
    with h5py.File(data / "subject_1.h5", "r+") as file:
        file.attrs["provenance"] = file.attrs["provenance"].replace('"acs": 8', '"acs": 10')
    with pytest.raises(UserError, match="data: subject_1.h5 came, went or changed"):
        run(config(data), folder, resume=True)


def test_each_volume_is_opened_once_before_the_first_step(prepared, tmp_path, monkeypatch):
    """Its slices are read as they are needed; whatever is small travels with the run."""
    opened: list[str] = []
    real = h5py.File

    def counting(path, *mode):
        opened.append(Path(path).name)
        return real(path, *mode)

    class Reached(Exception):
        pass

    def first(*_):
        raise Reached

    monkeypatch.setattr(mri_ambient.store.h5py, "File", counting)
    monkeypatch.setattr("mri_ambient.training.run.train", first)
    made, volumes = configure(RunOptions(prepared, (3.0,), images=8))
    with pytest.raises(Reached):
        run_with(made.model_copy(update={"hold_out": 0.0}), tmp_path / "run", False, e_step_of(made), "cpu", volumes)
    assert sorted(opened) == ["subject_0.h5", "subject_1.h5"]


@pytest.mark.parametrize(("setting", "value"), [("mask", "poisson"), ("mask", "spiral"), ("loss", "magic")])
def test_names_that_no_stage_knows(setting, value, tmp_path):
    with pytest.raises(UserError, match=f"{value}.*choose one of"):  # there is nothing at all to train on
        configure(RunOptions(tmp_path / "absent", **{setting: value}))
    with pytest.raises(UserError, match=rf"{value}.*choose one of (random|weighted)") as error:
        override(default_config(RunOptions(tmp_path, images=8)), RunOptions(**{setting: value}))
    assert "\n" not in str(error.value)


def test_supervised_refuses_undersampled_volumes(undersampled, tmp_path):
    """What was not measured is not 0."""
    write_volume(tmp_path / "data" / "scan.h5", undersampled)
    with pytest.raises(UserError, match="scan.h5: is undersampled, and --loss supervised learns from complete scans"):
        run(config(tmp_path / "data", loss="supervised"), tmp_path / "run", resume=False)


def test_columns_are_cut_where_all_of_them_were_measured(prepared, undersampled, tmp_path):
    """Else a patch would be the image of other lines than its mask says."""
    write_volume(tmp_path / "data" / "scan.h5", undersampled)
    settings = TrainConfig(accel=(1.0,), loss="supervised", strip=16, **TINY)
    for folder, columns in ((prepared, 16), (tmp_path / "data", 48)):
        batch = KspaceTask(MeasuredSlices(read_volumes(folder), (1.0,), "random"), settings).draw(0).measurement
        assert batch.kspace.shape[-2:] == (16, columns)
        assert batch.sense.mask.shape[-1] == columns


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
    made = default_config(RunOptions(tmp_path, denoiser="unrolled", laps=2, images=100))
    assert made.ambient.architecture.denoiser == "unrolled"
    assert [lap.architecture.denoiser for lap in made.laps] == ["unet", "unet"]
    assert RunConfig.model_validate_json(made.model_dump_json()) == made


def test_gradient_accumulation_changes_nothing_but_memory(prepared, tmp_path, monkeypatch):
    """In single precision: bfloat16 rounds a batch and its parts differently."""
    monkeypatch.setenv(PRECISION, "float32")
    for parts in (1, 3):
        run(config(prepared, batch=6, accumulate=parts, images=36), tmp_path / str(parts), resume=False)
    whole, parts = weights(tmp_path / "1"), weights(tmp_path / "3")
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=2e-5)


def test_learning_rates():
    settings = TrainConfig(images=16_000)
    assert learning_rate(settings, 0) == pytest.approx(7e-6, rel=1e-3)
    assert learning_rate(settings, 500) == pytest.approx(3.5e-4)
    assert learning_rate(settings, 999) < 1e-6


def test_held_out_subjects_are_never_trained_on(tmp_path, prepared):
    """And stay together: two scans of one subject are on one side, whatever other scans there are."""
    for index in range(12):
        for scan in ("a", "b"):
            path = tmp_path / f"{index:02}{scan}.h5"
            shutil.copy(prepared / "subject_0.h5", path)
            with h5py.File(path, "r+") as file:
                about = json.loads(str(file.attrs["provenance"]))
                file.attrs["provenance"] = json.dumps(about | {"subject": f"s{index}"})
    training, held_out = split(read_volumes(tmp_path), 0.3)
    assert len(training) + len(held_out) == 24
    assert 2 <= len(held_out) <= 14
    assert {p.stem[:2] for p in training} & {p.stem[:2] for p in held_out} == set()
    assert split(read_volumes(tmp_path), 0.0)[1] == {}
    assert len(split(read_volumes(tmp_path), 0.0001)[1]) == 2  # one subject
    assert set(split(read_volumes(tmp_path), 0.0001)[1]) <= set(held_out)
    (tmp_path / "11a.h5").unlink()
    assert set(split(read_volumes(tmp_path), 0.3)[1]) == set(held_out) - {tmp_path / "11a.h5"}
    for path in tmp_path.glob("*"):
        if path.stem[:2] > "08":  # nine are left
            path.unlink()
    assert split(read_volumes(tmp_path), 0.0001)[1] == {}


def test_the_best_checkpoint_is_kept_and_remembered_over_a_resume(prepared, tmp_path):
    """Against a validation that likes the second checkpoint best; a resume must not forget what the best was."""
    data = MeasuredSlices(read_volumes(prepared), (3.0,), "random")
    settings = config(prepared, images=20).ambient
    errors = iter([3.0, 1.0, 2.0])
    kept: list[int] = []

    class Stopped(Exception):
        pass

    def validate(_) -> float:
        try:
            return next(errors)
        except StopIteration:
            raise Stopped from None

    with pytest.raises(Stopped):
        train(KspaceTask(data, settings), settings, tmp_path, lambda _, seen: kept.append(seen), validate=validate)
    assert kept == [4, 8]
    later = iter([1.5, 0.5])
    train(
        KspaceTask(data, settings),
        settings,
        tmp_path,
        lambda _, seen: kept.append(seen),
        validate=lambda _: next(later),
    )
    assert kept == [4, 8, 20]


def test_held_out_error_is_that_of_hidden_measured_lines(prepared):
    data = MeasuredSlices(read_volumes(prepared), (2.0,), "random")
    held = held_out_lines(data, 0)
    again = held_out_lines(data, 0)
    measurement, shown = held[0]
    assert torch.equal(shown, again[0][1])
    assert not (shown & ~measurement.sense.mask).any()
    assert (measurement.sense.mask & ~shown).any()

    class Knowing(Denoiser):
        """Answers with the image of everything that was measured, or with nothing."""

        def __init__(self, share: float):
            super().__init__(Architecture())
            self.share = torch.nn.Parameter(torch.tensor(share))

        def from_measurements(self, measurement):
            whole = next(whole for whole, _ in held if whole.names == measurement.names)
            return self.share * whole.adjoint

    nothing = validation_error(Knowing(0.0), held)
    assert nothing == pytest.approx(1.0)
    assert validation_error(Knowing(1.0), held) < 0.8


DISTRIBUTED = (
    "import sys, torch; torch.set_num_threads(1)\n"
    "from pathlib import Path; from mri_ambient.workflows.learning import e_step_of\n"
    "from mri_ambient.training.run import RunConfig, run; made = RunConfig.model_validate_json(sys.argv[1])\n"
    "run(made, Path(sys.argv[2]), False, e_step_of(made))"
)


@pytest.mark.slow
def test_two_processes_train_as_one_does(prepared, tmp_path, monkeypatch):
    """torchrun with DistributedDataParallel over Gloo: the same batches, so the same curve, Adam's moments and weights to
    tolerance. A batch of three in up to two parts: one process has two parts, the other one. A batch of one: one has none.
    In single precision, whose rounding hides no slice that counts too much."""
    monkeypatch.setenv(PRECISION, "float32")
    script = tmp_path / "train.py"
    script.write_text(DISTRIBUTED)
    made = config(prepared, batch=3, accumulate=2, images=24)
    made = made.model_copy(update={"laps": (made.laps[0].model_copy(update={"batch": 1}),)})
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = [made.model_dump_json(), str(tmp_path / "two")]
    found = subprocess.run([*launch, *arguments], capture_output=True, text=True, env=environment, timeout=300)
    assert found.returncode == 0, found.stderr[-2000:]
    assert "lap1: a batch of 1 leaves some of 2 processes without work" in " ".join(found.stderr.split())
    run(made, tmp_path / "one", resume=False)
    for stage in ("", "lap1"):
        one, two = (load_file(tmp_path / name / stage / CHECKPOINT) for name in ("one", "two"))
        ours, theirs = (first_moments(tensors) for tensors in (one, two))
        assert (ours - theirs).norm() < 0.005 * ours.norm()
        for name, value in one.items():
            if name.startswith("mean/"):
                torch.testing.assert_close(two[name], value, rtol=5e-3, atol=5e-4)


def first_moments(checkpoint: dict[str, torch.Tensor]) -> torch.Tensor:
    """Adam's, of all weights: the mean of the last steps' gradients."""
    return torch.cat([checkpoint[name].flatten() for name in sorted(checkpoint) if name.endswith("/exp_avg")])


@pytest.mark.parametrize(("batch", "count"), [(4, 2), (3, 2), (5, 4), (1, 2), (2, 5)])
def test_the_mean_over_processes_is_that_over_the_batch(batch, count, prepared):
    """Each process has as many items as it has, and those of all weigh alike; no process is without an item."""
    made = config(prepared, batch=batch).ambient
    drawn = KspaceTask(MeasuredSlices(read_volumes(prepared), (3.0,), "random"), made).draw(0)
    total = torch.zeros(())
    for rank in range(count):
        part, weight = share_of(Ranks(rank, count, torch.device("cpu")), drawn)
        assert len(part)
        total += weight * part.sigma.sum() / count
    torch.testing.assert_close(total, drawn.sigma.mean())


def test_settings_from_yaml_and_what_overrides_them(tmp_path):
    made = default_config(RunOptions(tmp_path, denoiser="unrolled", laps=2, images=100))
    path = tmp_path / "run.yaml"
    path.write_text(made.model_dump_json(indent=2))  # JSON is YAML
    assert read_config(path) == made
    changed = override(made, RunOptions(accel=(2.0, 8.0), denoiser="unet", laps=3, images=50, seed=4))
    assert changed.ambient.accel == (2.0, 8.0)
    assert changed.ambient.architecture.denoiser == "unet"
    assert [lap.images for lap in changed.laps] == [50, 50, 50]
    assert {stage.seed for stage in (changed.ambient, *changed.laps)} == {4}
    assert override(made, RunOptions(laps=0)).laps == ()
    assert override(made, RunOptions()) == made


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ambient: [", "is not YAML"),
        ("data: here\nambient: {images: 0}", "ambient.images: Input should be greater"),
        ("data: here\nambient: {images: 5, lr: 1}", "ambient.lr: Extra inputs"),
        ("just text", "the file: Input should be"),
        ("!!python/object/apply:os.system ['touch exploded']", "is not YAML"),
    ],
)
def test_bad_settings_are_told_in_one_sentence(text, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UserError, match=problem) as error:
        read_config(tmp_path / "run.yaml")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(UserError, match="can't be read"):
        read_config(tmp_path / "absent.yaml")
