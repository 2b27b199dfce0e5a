"""Which run's prior is used by default, told without loading anything heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mri_ambient.errors import UserError
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BEST, BUNDLED, newest_run, passed_over, place, prior_folder, unfinished_prior
from tests.priors.test_card import save

STAGE = {"images": 320, "batch": 16}  # 20 steps


def stopped(run: Path, ambient: int | None, laps: tuple[int, ...] = (), age: float = 0) -> Path:
    """A run whose stages did so many steps of 20; without one stage's number, it has no ambient stage."""
    stages = {"": ambient} | {f"lap{number}": steps for number, steps in enumerate(laps, 1)}
    for name, steps in stages.items():
        if steps:
            save(run / name, "image" if name else "masked")
            save_file({"adam/0/step": np.array(steps, np.float32)}, run / name / "checkpoint.safetensors")
            os.utime(run / name / "prior.json", (1e9 - age, 1e9 - age))
    run.mkdir(parents=True, exist_ok=True)
    made = {"ambient": None if ambient is None else STAGE, "laps": [STAGE] * len(laps)}
    (run / "run.json").write_text(json.dumps(made))
    return run


def test_what_is_bundled_is_told_without_where_it_lies():
    assert place(BUNDLED) == "bundled"
    assert place(BUNDLED / "lap1") == "bundled/lap1"
    assert place(Path("mine/bundled")) == "mine/bundled"


def test_a_run_that_was_stopped_does_not_replace_the_bundled_prior(tmp_path):
    runs = tmp_path / "runs"
    assert (prior_folder(None, runs), passed_over(runs)) == (BUNDLED, [])
    run = stopped(runs / "a", 3)
    assert prior_folder(None, runs) == BUNDLED
    (said,) = passed_over(runs)
    why = f"{run} is unfinished (ambient stage, step 3 of 20)"
    assert said == f"{why} and not used, bundled is; --prior {run} takes it as it is"
    assert find_prior(("masked",), run, runs).path == run
    assert unfinished_prior(run) == why
    stopped(run, 20)
    assert (prior_folder(None, runs), passed_over(runs), unfinished_prior(run)) == (run, [], None)


def test_a_run_is_finished_once_it_has_chosen_among_its_laps(tmp_path):
    run = stopped(tmp_path / "a", 20, (20, 7))
    assert newest_run(tmp_path) is None
    assert "a is unfinished (lap2, step 7 of 20)" in passed_over(tmp_path)[0]
    assert "lap2, step 7" in str(unfinished_prior(run / "lap1"))
    stopped(run, 20, (20, 20))
    assert "no lap is chosen yet" in passed_over(tmp_path)[0]
    (run / BEST).write_text('{"prior": "lap1"}')
    assert newest_run(tmp_path) == run
    assert find_prior(("image",), None, tmp_path).path == run / "lap1"
    assert "lap1, step 0 of 20" in str(unfinished_prior(stopped(tmp_path / "b", None, (0,))))


def test_the_newest_finished_run_is_used_and_only_newer_ones_are_told(tmp_path):
    finished = stopped(tmp_path / "finished", 20, age=100)
    stopped(tmp_path / "older", 3, age=200)
    newer = stopped(tmp_path / "newer", 4, age=50)
    assert newest_run(tmp_path) == finished
    (said,) = passed_over(tmp_path)
    assert said.startswith(f"{newer} is unfinished (ambient stage, step 4 of 20) and not used, {finished} is;")


def test_a_run_that_says_nothing_is_not_used(tmp_path):
    run = stopped(tmp_path / "a", 20)
    for text in ("{", "[]", '{"laps": 3}'):
        (run / "run.json").write_text(text)
        assert newest_run(tmp_path) is None
        assert "run.json can't be read" in passed_over(tmp_path)[0]


def test_the_word_bundled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_prior(("image",), Path("bundled")).path == BUNDLED / "lap1"
    Path("bundled").mkdir()
    with pytest.raises(UserError, match="bundled: is the name of the bundled prior, and of a folder here; rename"):
        prior_folder(Path("bundled"))


def test_torch_is_not_needed():
    code = (
        "import sys, mri_ambient.priors.runs as r; r.prior_folder(None); r.passed_over(); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
