"""Whole runs with laps: what they leave, what they depend on, where they may start and be killed."""

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

from mri_ambient.errors import UserError
from mri_ambient.priors.card import Prior, read_card
from mri_ambient.priors.denoisers import UnrolledDenoiser
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BEST
from mri_ambient.training.data import MeasuredSlices, WholeImages, read_volumes, split
from mri_ambient.training.report import read_rows
from mri_ambient.training.run import RUN, run
from mri_ambient.training.run_config import RunConfig, RunOptions, default_config, override
from mri_ambient.training.run_data import DATA, training_scans
from mri_ambient.training.validation import held_out_lines, validation_error
from mri_ambient.training.warm_start import warm_starts
from mri_ambient.workflows.learning import e_step_of

TINY = {"images": 8, "batch": 2, "save_every": 2, "strip": 16}
SMALL = {"denoiser": "unrolled", "widths": (8, 8), "iterations": 2}
LAP = TINY | {"accel": (1.0,), "loss": "supervised", "architecture": {"denoiser": "unet", "widths": (8, 8)}}


def config(data: Path, **changes) -> RunConfig:
    """One of the two subjects is held out; a lap never improves as much as it should, so that there are two."""
    share = next(s / 10 for s in range(1, 10) if len(split(read_volumes(data), s / 10)[1]) == 1)
    made = {
        "data": data,
        "hold_out": share,
        "ambient": TINY | {"accel": (3.0,), "architecture": SMALL},
        "e_step": {"steps": 2, "draws": 2, "batch": 3},
        "laps": (LAP,) * 3,
        "tolerance": 0.99,
    }
    return RunConfig.model_validate(made | changes)


def start(made: RunConfig, folder: Path, resume: bool = False) -> Prior:
    return run(made, folder, resume, e_step_of(made))


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("laps") / "run"
    start(config(prepared), folder)
    return folder


def images(folder: Path, lap: int) -> np.ndarray:
    (path,) = (folder / f"lap{lap}" / "images").glob("*.h5")
    with h5py.File(path) as file:
        return file["image"][:]


def assert_same_priors(left: Path, right: Path) -> None:
    for stage in ("", "lap1", "lap2"):
        ours, theirs = (load_file(run / stage / "prior.safetensors") for run in (left, right))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_laps_end_and_the_best_is_the_runs_prior(finished, prepared, capsys):
    rows = read_rows(finished)
    assert [row.stage for row in rows] == ["ambient", "lap1", "lap2"]
    assert not (finished / "lap3").exists()
    best = min(rows[1:], key=lambda row: row.held_out_mean).stage
    assert json.loads((finished / BEST).read_text())["prior"] == best
    assert find_prior(("image", "masked"), finished).path == finished / best
    assert start(config(prepared), finished, resume=True).path == finished / best
    said = " ".join(capsys.readouterr().err.split())
    assert "lap 2 did not improve the held-out error by more than 99.0%" in said
    assert read_rows(finished) == rows


def test_what_a_report_says(finished, prepared):
    """The ambient stage has one answer, laps have samples, the truth is known here."""
    ambient, lap, _ = read_rows(finished)
    made = config(prepared)
    unseen = MeasuredSlices(split(read_volumes(prepared), made.hold_out)[1], (3.0,), "random")
    expected = validation_error(find_prior(("masked",), finished).denoiser, held_out_lines(unseen, 0))
    assert ambient.held_out_mean == ambient.held_out_one == pytest.approx(expected, rel=1e-4)
    assert ambient.held_out_spread is None
    assert ambient.image_spread is None
    assert 0 < ambient.held_out_noise < ambient.held_out_mean
    assert lap.held_out_mean < lap.held_out_one
    assert lap.held_out_spread > 0
    assert 0 < lap.image_mean <= lap.image_one < 2


def test_draws_are_kept_and_differ(finished):
    one, several = images(finished, 1), images(finished, 2)
    assert one.shape == (1, 4, 48, 48)
    assert several.shape == (2, 4, 48, 48)
    assert several.dtype == np.complex64
    assert np.abs(several[0] - several[1]).mean() > 1e-3


def test_training_sees_every_draw(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = np.arange(6, dtype=np.complex64).reshape(2, 3, 1, 1) * np.ones((8, 8), np.complex64)
    data = WholeImages(tmp_path)
    assert len(data) == 3
    batch = data.batch(60, torch.Generator().manual_seed(0))
    centre = batch.kspace[:, 0, 4, 4].real / 8
    assert set(centre.round().tolist()) == {0, 1, 2, 3, 4, 5}


def test_unmeasured_samples_never_matter(finished, prepared, tmp_path):
    """Of the held-out subject neither: only the figures that compare with the truth notice the poison."""
    poisoned = tmp_path / "poisoned"
    shutil.copytree(prepared, poisoned)
    data = MeasuredSlices(read_volumes(prepared), (3.0,), "random")
    for path in data.volumes:
        with h5py.File(poisoned / path.name, "r+") as file:
            for index in range(len(file["kspace"])):
                kspace = file["kspace"][index]
                kspace[..., ~data.slice(path, index).sense.mask[0, 0].numpy()] = np.nan
                file["kspace"][index] = kspace
    start(config(poisoned), tmp_path / "run")
    assert_same_priors(tmp_path / "run", finished)
    assert (tmp_path / "run" / BEST).read_text() == (finished / BEST).read_text()
    ours, theirs = read_rows(tmp_path / "run")[2], read_rows(finished)[2]
    assert ours.held_out_mean == theirs.held_out_mean
    assert np.isnan(ours.image_mean)


def test_a_run_may_be_resumed_with_more_laps_not_with_fewer(finished, prepared, tmp_path):
    """To the bit what it would have been with all of them from the beginning."""
    folder, one = tmp_path / "longer", config(prepared, laps=(LAP,))
    start(one, folder)
    other = config(prepared, laps=(LAP | {"images": 16}, LAP))
    for refused in (config(prepared, laps=()), other):
        with pytest.raises(UserError, match="other settings"):
            start(refused, folder, resume=True)
    more, made, data = config(prepared), (folder / RUN).read_text(), (folder / DATA).read_text()
    assert RunConfig.model_validate_json(made) == one
    (folder / DATA).write_text("{}")  # as if it had begun with other volumes
    with pytest.raises(UserError, match="resume with the volumes of then"):
        start(more, folder, resume=True)
    assert (folder / RUN).read_text() == made
    (folder / DATA).write_text(data)
    start(more, folder, resume=True)
    assert RunConfig.model_validate_json((folder / RUN).read_text()) == more
    assert_same_priors(folder, finished)
    assert read_rows(folder) == read_rows(finished)
    assert (folder / BEST).read_text() == (finished / BEST).read_text()


@pytest.mark.slow
def test_killed_in_the_e_step_and_in_the_m_step(finished, prepared, tmp_path):
    """kill -9 in both of the second lap; resumed, everything is the same to the bit."""
    folder = tmp_path / "killed"
    code = (
        "import sys\n"
        "from pathlib import Path; from mri_ambient.workflows.learning import e_step_of\n"
        "from mri_ambient.training.run import RunConfig, run; made = RunConfig.model_validate_json(sys.argv[1])\n"
        "run(made, Path(sys.argv[2]), sys.argv[3] == 'resume', e_step_of(made))"
    )
    made = config(prepared)
    for how, sign in (("start", "images"), ("resume", "checkpoint.safetensors")):
        arguments = [sys.executable, "-c", code, made.model_dump_json(), str(folder), how]
        child = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
        while not (folder / "lap2" / sign).exists():
            time.sleep(0.005)
            assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert not (folder / BEST).exists()
    start(made, folder, resume=True)
    assert_same_priors(folder, finished)
    assert read_rows(folder) == read_rows(finished)


def test_without_held_out_subjects_all_laps_are_done(prepared, tmp_path):
    """And the last made the prior. Nothing is reported."""
    short = LAP | {"images": 2}
    ambient = TINY | {"accel": (3.0,), "architecture": SMALL, "images": 2}
    prior = start(config(prepared, hold_out=0, ambient=ambient, laps=(short, short)), tmp_path / "run")
    assert prior.path.name == "lap2"
    assert read_rows(tmp_path / "run") == []
    assert json.loads((tmp_path / "run" / BEST).read_text())["prior"] == "lap2"


def test_l1_edm_is_a_lap_without_an_ambient_stage(prepared, tmp_path):
    l1_wavelet = {"accel": (3.0,), "iterations": 5}
    made = config(prepared, ambient=None, l1_wavelet=l1_wavelet, laps=(LAP | {"images": 2},))
    assert made.name == "l1-edm-r3"
    prior = start(made, tmp_path / "run")
    assert prior.card.kind == "image"
    assert prior.card.data.startswith("4 slices reconstructed from random lines at R=3 by L1-wavelet (L1-EDM)")
    assert not (tmp_path / "run" / "prior.json").exists()
    assert images(tmp_path / "run", 1).shape == (1, 4, 48, 48)
    assert [row.stage for row in read_rows(tmp_path / "run")] == ["lap1"]
    assert find_prior(("image",), tmp_path / "run").path == prior.path


def test_l1_edm_as_options(prepared):
    made = default_config(RunOptions(prepared, loss="l1-edm", images=8))
    assert made.ambient is None
    assert len(made.laps) == 1
    assert override(made, RunOptions(accel=(8.0,), laps=2)).l1_wavelet.accel == (8.0,)
    with pytest.raises(UserError, match="--denoiser unet: is the ambient stage's"):
        default_config(RunOptions(prepared, loss="l1-edm", denoiser="unet", images=8))
    with pytest.raises(UserError, match="--laps 0: leaves nothing to train"):
        override(made, RunOptions(laps=0))
    with pytest.raises(UserError, match="--loss weighted: the run of --config starts from L1-wavelet"):
        override(made, RunOptions(loss="weighted"))
    with pytest.raises(UserError, match="--loss l1-edm: the run of --config starts from an ambient stage"):
        override(config(prepared), RunOptions(loss="l1-edm"))


def test_each_stage_starts_from_the_prior_of_its_kind(finished, prepared, tmp_path):
    """At a learning rate of next to nothing, the weights stay what they were at the start; fresh ones have another seed."""
    still = {"images": 2, "learning_rate": 1e-12, "seed": 5}
    masked, image = finished, finished / "lap2"
    for number, (init, stage) in enumerate([(masked, ""), (image, "lap1")]):
        ambient = TINY | {"accel": (3.0,), "architecture": SMALL} | still
        made = config(prepared, hold_out=0, ambient=ambient, laps=(LAP | still,) * bool(stage), init=init)
        start(made, tmp_path / str(number))
        weights = load_file(tmp_path / str(number) / stage / "prior.safetensors")
        for name, value in load_file(init / "prior.safetensors").items():
            torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-7)
        before = read_card(init).weights_sha256[:8]
        assert f"; from the weights of prior {before}" in read_card(tmp_path / str(number) / stage).data
    later = read_card(finished / "lap2")
    assert later.images_seen == 8
    assert "at R=3 by the image prior" in later.data


def test_a_run_with_priors_of_both_kinds_starts_both_stages(finished, prepared):
    ambient, lap = warm_starts(config(prepared, init=finished))
    assert ambient
    assert lap
    assert (ambient.path, lap.path) == (finished, find_prior(("image",), finished).path)
    assert warm_starts(config(prepared, init=finished, laps=()))[1] is None


def test_the_scans_of_runs_it_started_from_are_known(finished, prepared, tmp_path):
    """Also two runs back, and when those are gone: `compare` refuses them all."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    shutil.copytree(finished, theirs)
    about = json.loads((theirs / "data.json").read_text())
    other = {"made": "", "sha256": "0" * 64, "subject": "somebody"}
    (theirs / "data.json").write_text(json.dumps(about | {"other.h5": other}))
    own = training_scans(find_prior(("masked",), finished))
    for init, folder in ((theirs, ours), (ours, tmp_path / "next")):
        prior = start(config(prepared, hold_out=0, init=init, laps=(LAP,)), folder)
        shutil.rmtree(init)
        assert prior.path == folder / "lap1"
        assert training_scans(prior) == [*own, ("0" * 64, "other", "somebody")]


def test_later_laps_go_on_from_the_last(finished, prepared, tmp_path):
    still = LAP | {"images": 2, "learning_rate": 1e-12, "seed": 5}
    start(config(prepared, hold_out=0, laps=(LAP, still)), tmp_path / "run")
    first, second = (load_file(tmp_path / "run" / lap / "prior.safetensors") for lap in ("lap1", "lap2"))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("init", "changes", "told"),
    [
        (
            "",
            {"ambient": TINY | {"architecture": SMALL | {"widths": (16, 8)}}},
            r"\(8, 8\).* ambient stage .*\(16, 8\)",
        ),
        ("", {"ambient": TINY | {"architecture": SMALL | {"denoiser": "unet"}}}, "denoiser unrolled.*denoiser unet"),
        ("lap1", {"laps": (LAP | {"architecture": {"denoiser": "unet", "widths": (16, 8)}},)}, "first lap .*16, 8"),
        ("lap1", {"laps": ()}, "is a prior of kind `image`, and the run trains only `masked` ones"),
    ],
)
def test_a_prior_that_no_stage_can_start_from(init, changes, told, finished, prepared):
    with pytest.raises(UserError, match=told) as error:
        warm_starts(config(prepared, init=finished / init, **changes))
    assert str(error.value).startswith(f"--init {finished / init}: ")
    assert "\n" not in str(error.value)


def test_a_masked_prior_is_no_start_for_l1_edm(finished, prepared, tmp_path):
    shutil.copytree(finished, tmp_path / "masked", ignore=shutil.ignore_patterns("lap*", BEST))
    made = {"ambient": None, "l1_wavelet": {}, "init": tmp_path / "masked"}
    with pytest.raises(UserError, match="of kind `masked`, and the run trains only `image` ones"):
        warm_starts(config(prepared, **made))


def test_a_stage_without_memory_says_what_to_lower(prepared, tmp_path, monkeypatch):
    def estimate(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(UnrolledDenoiser, "estimate", estimate)
    with pytest.raises(UserError, match=r"^ambient, training: there .* raise `accumulate` \(now 1\).*`batch` \(2\)"):
        start(config(prepared), tmp_path / "run")
