from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.processes import Spread
from mri_ambient.recon.evaluate.compare import Scans
from mri_ambient.recon.evaluate.held_out import hide
from mri_ambient.recon.evaluate.plan import Plan, Run
from mri_ambient.recon.evaluate.planning import planned_runs, untuned
from mri_ambient.recon.evaluate.rows import Json
from mri_ambient.recon.evaluate.tuned import (
    NAME,
    TRUTH,
    Choice,
    Nearest,
    Score,
    Tuned,
    find_tuned,
    nearest,
    of_std,
    read_tuned,
    write_tuned,
)
from mri_ambient.recon.evaluate.tuning import BUDGET, FACTORS, candidates, chosen_of, held_out_rows_at, tune
from mri_ambient.recon.methods.method import Method
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct
from mri_ambient.recon.show.tuning_table import tuning_table
from mri_ambient.workflows.comparing import open_source
from tests.recon.evaluate.test_compare import held_out_row, row
from tests.recon.test_reconstruct import untrained

OPEN = partial(open_source, mask="random", slices=1, lesions=False, seed=0)


@dataclass(frozen=True)
class Regularised:
    regularisation: float = 0.5
    iterations: int = 3


def choice(settings: Json | None, prior: str = "") -> Choice:
    scores = [Score(settings=settings, crps=0.05, mean=0.1, one=0.2)]
    return Choice(settings=settings, prior_sha256=prior, temperature=1.5, held_out_limit=0.3, scores=scores)


def tuned_with(**methods: dict[float, Choice]) -> Tuned:
    return Tuned(criterion=TRUTH, samples=4, seed=0, mask="random", scans=[], methods=methods)


@pytest.mark.parametrize("name", METHODS)
def test_the_budget_is_the_same_for_all(name):
    """As many different settings for each method, its defaults among them; one try for a method that has none."""
    tried = candidates(name)
    assert len(set(tried)) == len(tried) == (1 if METHODS[name].settings is None else BUDGET)
    assert METHODS[name].settings in tried


def test_a_method_with_a_regularisation_has_a_grid_of_it(monkeypatch):
    monkeypatch.setitem(METHODS, "cs", Method(lambda *_: None, Regularised()))
    assert [settings.regularisation for settings in candidates("cs")] == [0.5 * factor for factor in FACTORS]
    assert {settings.iterations for settings in candidates("cs")} == {3}
    assert len(FACTORS) == BUDGET


def test_the_best_on_average_wins_and_brings_its_std_scale():
    runs = [Run("dds", "dds", 4.0, replace(METHODS["dds"].settings, eta=eta)) for eta in (0.5, 1.0)]
    quantiles = np.abs(np.random.default_rng(0).standard_t(6, 20000))
    rows = [
        row(
            method="dds",
            settings=run.as_stored(),
            crps=error,
            NRMSE_mean=1 - error,
            NRMSE_one=2 * error,
            error_quantiles=(factor * quantiles).tolist(),
        )
        for run, errors, factor in zip(runs, ([0.1, 0.5], [0.2, 0.3]), (1.0, 2.0), strict=True)
        for error in errors
    ]
    rows.append(replace(rows[0], accel=8.0, crps=0.0))
    best, found = chosen_of(runs[0], runs, rows)
    assert best == runs[1]
    assert [(score.crps, score.one) for score in found.scores] == [(0.3, 0.6), (0.25, 0.5)]
    assert [score.mean for score in found.scores] == [0.7, 0.75]  # by which the other would be chosen
    assert found.temperature == pytest.approx(2, rel=0.05)
    assert chosen_of(runs[0], runs, [replace(one, spreads=False) for one in rows])[1].temperature is None
    without_one = [one for one in rows if one.crps != 0.3]  # on which the second failed
    assert chosen_of(runs[0], runs, without_one)[0] == runs[0]
    held = [held_out_row(method="dds", settings=r.settings, crps=[r.crps]) for r in rows[:4]]
    best, found = chosen_of(runs[0], runs, held)
    assert (best, [score.one for score in found.scores], found.temperature) == (runs[1], [None, None], None)


def test_the_nearest_acceleration_and_only_the_same_prior():
    tuned = tuned_with(dds={2.0: choice({"eta": 0.1}, "p"), 8.0: choice({"eta": 0.2}, "p")})
    assert [nearest(tuned, "dds", accel, "p").accel for accel in (1.5, 3.9, 4.1, 20)] == [2, 2, 8, 8]
    assert nearest(tuned, "dds", 2, "p").settings == replace(METHODS["dds"].settings, eta=0.1)
    assert nearest(tuned, "dds", 2, "another") is None
    assert nearest(tuned, "mmps", 2, "p") is None
    foreign = tuned_with(dds={2.0: choice({"gone": 1}, "p")})
    with pytest.raises(UserError, match="dds has other settings in this version"):
        nearest(foreign, "dds", 2, "p")


def test_compare_takes_what_was_tuned():
    prior = untrained("image")
    prior.card.weights_sha256 = "p"
    tuned = tuned_with(dds={4.0: choice({"eta": 0.1}, "p")})
    (run,) = planned_runs([("dds", prior)], [5.0], [tuned])
    assert (run.settings.eta, run.std_scale, run.tuned_at) == (0.1, 1.5, 4.0)
    (run,) = planned_runs([("dds", prior)], [5.0], [])
    assert (run.settings, run.std_scale, run.tuned_at) == (METHODS["dds"].settings, 1.0, None)
    names = [run.label for run in planned_runs([("dds", prior), ("dds", untrained("masked"))], [5.0], [])]
    assert all("(" in name for name in names)


def test_two_priors_have_each_their_own(tmp_path):
    """Or are said not to be tuned, beside one that is."""
    priors = []
    for name, eta in (("a", 0.1), ("b", 0.2)):
        prior = untrained("image")
        prior.path = prior.folder = tmp_path / name
        prior.card.weights_sha256 = name
        (tmp_path / name).mkdir()
        write_tuned(tmp_path / name / NAME, tuned_with(dds={4.0: choice({"eta": eta}, name)}))
        priors.append(("dds", prior))
    studies = find_tuned(None, [prior for _, prior in priors])
    runs = planned_runs(priors, [4.0], studies.values())
    assert [run.settings.eta for run in runs] == [0.1, 0.2]
    assert untuned(runs) == []
    (warning,) = untuned(planned_runs(priors, [4.0], list(studies.values())[:1]))
    assert f"defaults beside tuned ones: {runs[1].label};" in warning
    assert untuned(planned_runs(priors, [4.0], [])) == []


@pytest.mark.parametrize("name", METHODS)
def test_every_methods_settings_come_back_from_the_file(name, tmp_path):
    """An infinite rho too."""
    run = Run(name, name, 4.0, METHODS[name].settings)
    write_tuned(tmp_path / NAME, tuned_with(**{name: {4.0: choice(run.as_stored())}}))
    assert nearest(read_tuned(tmp_path / NAME), name, 4.0, "").settings == METHODS[name].settings


def test_what_can_not_be_done_is_left_out_and_told(scans, tmp_path):
    """R=16 leaves fewer lines than the ACS; at R=12 there is nothing to hide: what could be tuned is, and can be read."""
    plan = Plan((), 1, 0, "random", 1, False)
    validation = Scans([scans / "subject_0.h5"], OPEN, tmp_path / "rows", Spread(1))
    tuned, failed = tune(validation, [("cg-sense", None)], [3.0, 12.0, 20.0], True, plan)
    assert set(tuned.methods["cg-sense"]) == {3.0, 12.0}
    assert tuned.methods["cg-sense"][12.0].held_out_limit is None
    assert "subject_0 at R=20: " in failed[0]
    assert len(failed) == 1
    write_tuned(tmp_path / NAME, tuned)
    assert read_tuned(tmp_path / NAME) == tuned


def test_the_file_and_where_it_is_found(tmp_path):
    tuned = tuned_with(dds={4.0: choice({"eta": 0.1}, "p")})
    write_tuned(tmp_path / NAME, tuned)
    assert read_tuned(tmp_path / NAME) == tuned
    prior = untrained("image")
    for folder in (tmp_path, tmp_path / "lap1"):
        prior.path = prior.folder = folder
        assert find_tuned(None, [prior]) == {tmp_path / NAME: tuned}
    prior.path = prior.folder = tmp_path / "a" / "b"
    assert find_tuned(None, [prior]) == {}
    assert find_tuned(tmp_path / NAME, []) == {tmp_path / NAME: tuned}
    with pytest.raises(UserError, match="nowhere.json: can't be read"):
        find_tuned(tmp_path / "nowhere.json", [])
    (tmp_path / NAME).write_text('{"format": 1}')
    with pytest.raises(UserError, match="is not made by this version's `tune`"):
        read_tuned(tmp_path / NAME)
    assert tuning_table(tuned).row_count == 1


def test_lines_are_held_out_of_complete_scans_too(scans, tmp_path):
    """An error a slice, of one image that was not shown those lines."""
    plan = Plan((Run("cg-sense", "cg-sense", 3.0),), 1, 0, "random", 1, False)
    ((found,), _) = held_out_rows_at(scans / "subject_0.h5", 3.0, plan, tmp_path, OPEN)
    assert len(found.held_out) == 1
    assert 0.05 < found.held_out[0] < 2
    volume = OPEN(scans / "subject_0.h5").case(3.0).volume
    shown, _ = hide(volume, 0)
    cheating = reconstruct(volume, "cg-sense", None, 1, 0)
    honest = reconstruct(shown, "cg-sense", None, 1, 0)
    assert (cheating.mean - honest.mean).norm() > 0.01 * honest.mean.norm()
    assert Path(next(tmp_path.glob("*held-out*.json"))).is_file()


def test_what_is_said_of_the_std():
    """One sample has none; two tell it roughly; validated or not, and on what."""
    card = untrained("image").card

    def said(count: int, scale: float | None, simulated: bool = True) -> str:
        samples = torch.zeros(1, count, 4, 4, dtype=torch.complex64)
        found = Reconstruction("dds", samples, torch.ones(1), 1.0, (4, 4), 0, card, METHODS["dds"].settings)
        chosen = None if scale is None else Nearest(4.0, None, scale, None)
        return " ".join(of_std(found, chosen, "on simulated scans (here)", simulated))

    assert said(1, 1.5) == "dds: one image, which can't say how sure it is: no std"
    assert "a std of 2 samples is itself known at each pixel only to between 0.6 and 4.4 times (90 %)" in said(2, 1.5)
    assert "known at each pixel" not in said(8, 1.5)
    assert "the std is calibrated: what the samples have times 1.50, with which 90 % intervals" in said(8, 1.5)
    assert "at R=4 on simulated scans (here)" in said(8, 1.5)
    assert "may be too small" not in said(8, 1.5)
    assert "warning: dds: this scan is of a scanner and the std was calibrated on simulations" in said(8, 1.5, False)
    assert "the std is as drawn: no validation scans with a truth said whether" in said(8, None)
