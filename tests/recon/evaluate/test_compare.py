import csv
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.recon.evaluate.compare import Comparison, require_unseen
from mri_ambient.recon.evaluate.compare_rows import compare_scan, measured_row
from mri_ambient.recon.evaluate.compare_summary import summarise
from mri_ambient.recon.evaluate.metrics.metric import Metric
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.evaluate.plan import Case, Plan, Run, Source
from mri_ambient.recon.evaluate.planning import claim, misfits, named_methods
from mri_ambient.recon.evaluate.rows import ComparedScan, HeldOutScan, Json, kept
from mri_ambient.recon.evaluate.std_calibration import coverage, std_scale_of
from mri_ambient.recon.evaluate.tuning import held_out_rows_at
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.show.compare_figure import draw_pictures
from mri_ambient.recon.show.compare_page import Section, write_page
from mri_ambient.recon.show.comparison import terminal_tables, write_comparison
from mri_ambient.workflows.comparing import open_source, raw_scans
from tests.recon.test_reconstruct import first_slices, untrained

OPEN = partial(open_source, mask="random", slices=1, lesions=False, seed=0)
RUNS = tuple(Run(name, name, accel) for accel in (2.0, 3.0) for name in ("zero-filled", "cg-sense"))
PLAN = Plan(RUNS, 2, 0, "random", 1, False)


def row(**changes) -> ComparedScan:
    base: Json = {f"{name}_{of}": 0.5 for name in METRICS for of in ("one", "mean")}
    base |= {"scan": "a", "scan_sha256": "a", "subject": "s", "kind": "simulated", "prior_sha256": "", "version": "0"}
    base |= {"label": "cg-sense", "method": "cg-sense", "accel": 4.0, "slices": None, "tuned_at": None}
    base |= {"realised_accel": 4.0, "acs": [48, 8], "maps": "espirit", "mask": "random", "samples": 4, "seed": 0}
    base |= {"reference": "MVUE", "temperature": 1.0, "lesions_put_in": False, "data_range": 1.0, "images": 4}
    base |= {"matrix": [48, 48], "working_matrix": [48, 48], "error_quantiles": None}
    base |= {"noiseless": False, "NRMSE_noisy": None, "crps": 0.1, "crps_complex": 0.2, "energy_score": 0.3}
    base |= {"complex_error": 0.2, "debiased_error": 0.1}
    base |= {"spreads": True, "slices_done": 2, "picture": None, "settings": None, "std_ratio": None, "residual": 1.0}
    base |= {"seconds_per_slice": 1.0, "network_calls": 0.0, "coverage_50": None, "coverage_90": None}
    return ComparedScan.from_json(base | changes)


def held_out_row(**changes) -> HeldOutScan:
    return HeldOutScan.from_json(row().to_json() | {"criterion": "hidden", "held_out": [0.5], "crps": [0.5]} | changes)


def test_rows_are_made_once(scans, tmp_path):
    """What is there is read, what is missing or torn is made, and nothing is prepared for nothing."""
    source = OPEN(scans / "subject_0.h5")
    prepared = []

    def case(accel: float) -> Case:
        prepared.append(accel)
        return source.case(accel)

    counting = replace(source, case=case)
    first = [compare_scan(counting, accel, PLAN, tmp_path) for accel in (2.0, 3.0)]
    assert prepared == [2, 3]
    assert len(list(tmp_path.glob("*.json"))) == 4
    assert [compare_scan(counting, accel, PLAN, tmp_path) for accel in (2.0, 3.0)] == first
    assert prepared == [2, 3]
    (torn,) = tmp_path.glob("subject_0_R3_cg-sense*.json")
    torn.write_text(torn.read_text()[:100])
    again = compare_scan(counting, 3.0, PLAN, tmp_path)
    assert prepared == [2, 3, 3]
    (kept_row, remade), _ = again
    (before, torn_before), _ = first[1]
    assert kept_row == before
    before_it, now = torn_before.to_json(), remade.to_json()
    changed = {key for key in now if now[key] != before_it[key]}
    assert changed <= {"seconds_per_slice"}


def test_the_device_reaches_every_reconstruction_and_makes_no_other_row(scans, tmp_path, monkeypatch):
    asked = []

    def refuse(*arguments):
        asked.append(arguments[-1])
        raise UserError("not today")

    source, elsewhere = OPEN(scans / "subject_0.h5"), replace(PLAN, device="meta")
    there, _ = compare_scan(source, 2.0, PLAN, tmp_path)
    monkeypatch.setattr("mri_ambient.recon.evaluate.compare_rows.reconstruct", refuse)
    monkeypatch.setattr("mri_ambient.recon.evaluate.compare_rows.device_of", torch.device)
    assert compare_scan(source, 2.0, elsewhere, tmp_path) == (there, [])
    compare_scan(source, 3.0, elsewhere, tmp_path)
    held_out_rows_at(scans / "subject_0.h5", 3.0, elsewhere, tmp_path, OPEN)
    assert asked == [torch.device("meta")] * 4


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"samples": 3}, {"mask": "gaussian"}, {"slices": 2}, {"lesions": True}]
)
def test_what_a_row_depends_on_makes_it_another_row(scans, tmp_path, change, monkeypatch):
    monkeypatch.setattr("mri_ambient.recon.evaluate.compare_rows.measured_row", lambda *_: row().to_json())
    source = OPEN(scans / "subject_0.h5")
    compare_scan(source, 2.0, PLAN, tmp_path)
    compare_scan(source, 2.0, replace(PLAN, **change), tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_a_row_says_what_a_number_must_say(undersampled, scans):
    """Errors by the metrics, calls by the sampler's steps, std scale and coverage of the same errors."""
    volume = first_slices(undersampled, 2)
    reference = replace(volume, mask=torch.ones_like(volume.mask))
    truth = OPEN(scans / "subject_0.h5").case(1.0).reference.expand(2, -1, -1).clone()
    prior = untrained("image")
    settings = replace(METHODS["dds"].settings, steps=5)
    run = Run("dds", "dds", 3.0, settings, std_scale=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mri_ambient.recon.evaluate.compare_rows.cached_prior", lambda path: prior)
        found = measured_row(Case(volume, truth), replace(run, prior=Path("p")), replace(PLAN, samples=3), None)
        classical = measured_row(Case(volume, truth), Run("cg-sense", "cg-sense", 3.0), PLAN, None)
    assert found["network_calls"] == 5
    assert found["images"] == 3
    assert found["realised_accel"] == pytest.approx(reference.accel * volume.accel)
    assert found["data_range"] == pytest.approx(float(truth.abs().max()))
    errors = np.array(found["error_quantiles"])
    assert found["coverage_90"] == pytest.approx(coverage(errors, 0.9, 3, 2.0), abs=0.01)
    assert std_scale_of(errors, 3) > 0
    assert found["NRMSE_mean"] <= found["NRMSE_one"]
    assert classical["NRMSE_mean"] == classical["NRMSE_one"]
    assert (classical["network_calls"], classical["std_ratio"], classical["coverage_90"]) == (0, None, None)
    assert not any(p.requires_grad for p in prior.denoiser.parameters())
    assert not prior.denoiser._forward_pre_hooks


def test_means_are_over_subjects_and_differences_are_paired():
    rows = []
    for index, subject in enumerate("abbc"):
        for label, error in (("l1-wavelet", 0.2 + 0.1 * index), ("dds", 0.15 + 0.1 * index)):
            rows.append(row(scan=str(index), subject=subject, label=label, NRMSE_mean=error))
    first, second = summarise(rows, 0)
    assert first.estimates["NRMSE_mean"].mean == pytest.approx((0.2 + 0.35 + 0.5) / 3)
    assert first.estimates["NRMSE_mean"].subjects == 3
    paired = second.estimates["NRMSE_mean_minus_l1-wavelet"]
    assert paired.mean == pytest.approx(-0.05)
    assert paired.high - paired.low < 1e-9 < second.estimates["NRMSE_mean"].high - second.estimates["NRMSE_mean"].low


def test_raw_and_simulated_are_never_in_one_table(tmp_path):
    rows = [row(), row(scan="b", kind="raw", NRMSE_mean=0.1)]
    comparison = Comparison(rows, ["c.h5: is <bad>"], PLAN, ("note & more",))
    write_comparison(comparison, tmp_path)
    titles = [table.title for table in terminal_tables(comparison) if table.title]
    assert [title.split(",")[0] for title in titles] == ["raw", "simulated"]
    for kind, error in (("raw", "0.1"), ("simulated", "0.5")):
        with (tmp_path / f"summary_{kind}.csv").open() as file:
            (line,) = csv.DictReader(file)
        assert (line["kind"], line["NRMSE_mean"], line["NRMSE_mean_low"]) == (kind, error, "")
        assert (tmp_path / f"errors_{kind}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"errors_{kind}.svg").read_text()
    page = (tmp_path / "comparison.html").read_text()
    assert "is &lt;bad&gt;" in page
    assert "note &amp; more" in page
    assert page.count("data:image/png;base64,") == 2


def test_the_page_is_alone_and_escaped(tmp_path):
    hostile = "<script>alert(1)</script>"
    summaries = summarise([row(label=hostile)], 0)
    comparison = Comparison([], [hostile], PLAN, (hostile,))
    write_page(tmp_path / "a.html", [Section("raw", hostile, summaries, [])], comparison)
    page = (tmp_path / "a.html").read_text()
    assert "<script" not in page
    assert "http" not in page
    assert page.count("&lt;script&gt;") == 4


def test_the_same_rows_give_the_same_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        rows = [row(scan=s, subject=s, NRMSE_mean=e) for s, e in zip("pqr", (0.1, 0.2, 0.4), strict=True)]
        write_comparison(Comparison(rows, [], PLAN), tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_another_comparison_is_not_overwritten(tmp_path):
    claim(tmp_path, PLAN, force=False)
    claim(tmp_path, replace(PLAN, device="cuda"), force=False)  # numbers are the same to rounding
    with pytest.raises(UserError, match="other methods or settings; pass --force"):
        claim(tmp_path, replace(PLAN, seed=1), force=False)
    claim(tmp_path, replace(PLAN, seed=1), force=True)
    stored = json.loads((tmp_path / "plan.json").read_text())
    assert (stored["seed"], "device" in stored) == (1, False)
    assert [run["temperature"] for run in stored["runs"]] == [1.0] * len(RUNS)


def test_a_method_that_fails_costs_its_own_row_alone(scans, tmp_path, monkeypatch):
    def diverging(measurement, prior, samples, settings, generators, callback):
        raise UserError("cg-sense: diverged")

    monkeypatch.setitem(METHODS, "cg-sense", replace(METHODS["cg-sense"], solve=diverging))
    rows, failed = compare_scan(OPEN(scans / "subject_0.h5"), 2.0, PLAN, tmp_path)
    assert [row.method for row in rows] == ["zero-filled"]
    assert failed == ["subject_0 at R=2: cg-sense: diverged"]


def test_the_picture_leaves_out_a_method_that_failed_at_one_acceleration(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("mri_ambient.recon.show.compare_figure.print_figure", lambda blocks, _: drawn.append(blocks))
    monkeypatch.setattr("mri_ambient.recon.show.compare_figure.save_all", lambda *_: None)
    np.savez(tmp_path / "a.npz", image=np.eye(40), reference=np.ones((40, 40)))
    rows = [row(label=label, accel=accel, picture="a.npz") for accel, label in ((2, "x"), (4, "x"), (4, "y"), (4, "z"))]
    draw_pictures(tmp_path / "pictures", rows, tmp_path)
    assert [list(block.images) for block in drawn[0]] == [["x"], ["x"]]
    draw_pictures(tmp_path / "nothing", rows[:1] + rows[2:], tmp_path)
    assert len(drawn) == 1


def test_without_bart_its_methods_are_left_out_or_refused_at_once(monkeypatch):
    monkeypatch.setenv("BART_TOOLBOX_PATH", "/nowhere")
    assert named_methods([]) == [name for name in METHODS if "bart" not in name]
    with pytest.raises(UserError, match="bart: the program is not in BART_TOOLBOX_PATH"):
        named_methods(["cg-sense", "bart-tv"])


def test_two_scans_of_one_name(tmp_path, scans):
    for name in ("a.h5", "b.h5", "a.cfl"):
        shutil.copy(scans / "subject_0.h5", tmp_path / name)
    with pytest.raises(UserError, match="has the name of a.cfl|has the name of a.h5"):
        raw_scans(tmp_path)
    (tmp_path / "a.cfl").unlink()
    assert len(raw_scans(tmp_path)) == 2


def test_lesions_in_a_scan_with_a_mask_of_rows_and_columns(tmp_path, scans):
    """All of it True: the same as without."""
    shutil.copy(scans / "subject_0.h5", tmp_path)
    with h5py.File(tmp_path / "subject_0.h5", "r+") as file:
        file["mask"] = np.ones(file["kspace"].shape[-2:], bool)
    with_mask, without = (
        open_source(path, mask="random", slices=1, lesions=True, seed=0).case(3.0).lesioned
        for path in (tmp_path / "subject_0.h5", scans / "subject_0.h5")
    )
    torch.testing.assert_close(with_mask.reference, without.reference)


def test_an_unknown_method_and_a_prior_of_another_acceleration():
    with pytest.raises(UserError, match="--methods magic: is not one of zero-filled, cg-sense.*dds"):
        named_methods(["dds", "magic"])
    assert named_methods(["dds", "cg-sense", "dds"]) == ["dds", "cg-sense"]
    masked = untrained("masked")
    masked.card.training.accel = (4.0,)
    runs = [Run("aos", "aos", accel, prior=Path("p")) for accel in (4.0, 8.0, 12.0)]
    (warning,) = misfits(runs, [masked])
    assert "trained at R=4" in warning
    assert "compared at R=12," in warning
    assert misfits(runs[:2], [masked]) == []
    assert misfits(runs, [untrained("image")]) == []


def test_a_scan_that_was_tuned_on_is_refused(scans):
    source = OPEN(scans / "subject_0.h5")
    path = Path("x.h5")
    require_unseen(source, path, replace(PLAN, tuning_scans=(("other", "subject_0", "subject_0"),)))
    with pytest.raises(UserError, match="x.h5: is one of the scans on which the methods were tuned"):
        require_unseen(source, path, replace(PLAN, tuning_scans=((source.sha256, "renamed", "?"),)))
    with pytest.raises(UserError, match="x.h5: is one of the scans with which a prior was trained, .* another --prior"):
        require_unseen(source, path, replace(PLAN, training_scans=((source.sha256, "renamed", "?"),)))
    raw: Source = replace(source, simulated=False)
    with pytest.raises(UserError, match="tuned"):
        require_unseen(raw, path, replace(PLAN, tuning_scans=(("other", "subject_0", raw.subject),)))


def test_kept_rows_are_those_of_their_identity(tmp_path):
    calls = []

    def compute(picture: Path | None) -> Json:
        calls.append(1)
        if picture:
            picture.touch()
        return row(residual=len(calls)).to_json()

    def residual(scan: str, pictured: bool = False) -> float:
        return kept(tmp_path, "a/b", {"scan": scan}, ComparedScan, compute, pictured).residual

    assert residual("x") == 1
    assert residual("x") == 1
    assert residual("y") == 2
    drawn = kept(tmp_path, "a/b", {"scan": "z"}, ComparedScan, compute, pictured=True)
    assert kept(tmp_path, "a/b", {"scan": "z"}, ComparedScan, compute, pictured=True) == drawn
    assert drawn.picture
    (tmp_path / drawn.picture).unlink()
    assert residual("z", pictured=True) == 4
    assert kept(tmp_path, "a/b", {"scan": "w"}, ComparedScan, compute, pictured=True).picture != drawn.picture


def test_a_row_comes_back_from_its_file_and_another_files_does_not():
    lesions = [{"slice": 0, "width": 2.0, "contrast": 0.3, "recovery": 0.8, "low": None, "high": None}]
    whole = row(NRMSE_mean=0.1, lesions=lesions, lesion_recovery=0.8, settings={"rho": float("inf")})
    stored = json.loads(json.dumps(whole.to_json()))
    assert ComparedScan.from_json(stored) == whole
    assert (stored["NRMSE_mean"], stored["lesions"], "errors" in stored) == (0.1, lesions, False)
    assert (whole.measure("NRMSE_mean"), whole.measure("lesion_recovery"), whole.measure("none")) == (0.1, 0.8, None)
    assert "lesions" not in row().to_json()
    for wrong in ({"accel": "fast"}, {"NRMSE_mean": "small"}, {"kind": "imagined"}):
        with pytest.raises(ValueError, match="validation error"):
            ComparedScan.from_json(stored | wrong)
    with pytest.raises(ValueError, match="held_out"):
        HeldOutScan.from_json(stored)
    assert HeldOutScan.from_json(held_out_row().to_json()) == held_out_row()


def test_a_metric_of_ones_own_is_in_every_table(tmp_path, monkeypatch):
    """Added in one place: nothing else knows the names."""
    mae = Metric(lambda truth, image: float(abs(truth - image).mean()), "lower", "mean |error|", 2, plotted=True)
    monkeypatch.setitem(METRICS, "MAE", mae)
    comparison = Comparison([row(MAE_mean=0.257)], [], PLAN)
    write_comparison(comparison, tmp_path)
    columns = [str(column.header) for column in terminal_tables(comparison)[0].columns]
    assert columns == ["method", "one", "NRMSE", "PSNR", "SSIM", "HFEN", "mean |error|"]
    assert "mean |error|" in (tmp_path / "comparison.html").read_text()
    assert "<!-- mean |error| -->" in (tmp_path / "errors.svg").read_text()
    with (tmp_path / "summary.csv").open() as file:
        assert [line["MAE_mean"] for line in csv.DictReader(file)] == ["0.257"]
