"""The command, typed: the three commands on a folder, and what it says about bad input."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.result import read_result


def scan_with(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value


@pytest.mark.slow
def test_the_three_commands(typed, tmp_path, scans):
    shutil.copytree(scans, tmp_path / "fastmri")
    shutil.copy(scans / "subject_1.h5", tmp_path / "scan.h5")
    code, said = typed("prep fastmri/ --acs 8")
    assert (code, "prepared: 2 prepared, 0 finished before, 0 failed" in said) == (0, True)
    code, said = typed("prep fastmri/ --acs 8")
    assert (code, "2 finished before" in said) == (0, True)
    assert typed("train --accel 3 --images 16")[0] == 0
    code, _ = typed("train --config runs/weighted-unrolled-r3/run.json --accel 2 --laps 0 --images 8")
    assert code == 0
    settings = json.loads((tmp_path / "runs" / "weighted-unrolled-r2" / "run.json").read_text())
    assert (settings["ambient"]["accel"], settings["ambient"]["images"], settings["laps"]) == ([2.0], 8, [])
    shutil.rmtree(tmp_path / "runs" / "weighted-unrolled-r2")
    code, said = typed("train --accel 3 --images 16")
    assert code == 2
    assert "--resume" in said
    code, said = typed("recon scan.h5 --accel 3 --samples 2")
    assert code == 0
    assert "runs/weighted-unrolled-r3/lap1" in said
    assert "NRMSE" in said
    assert "mean of 2" in said
    before = (tmp_path / "scan_recon.h5").read_bytes()
    assert (tmp_path / "scan_recon.png").read_bytes().startswith(b"\x89PNG")
    assert "\nwrote scan_recon.h5, scan_recon.png and scan_report.html\n" in said
    made = (tmp_path / "scan_report.html").read_bytes()
    assert typed("report scan_recon.h5 --force")[0] == 0
    assert (tmp_path / "scan_report.html").read_bytes() == made
    code, said = typed("recon scan.h5 --accel 3 --samples 2 --out scan_recon.h5")
    assert code == 2
    assert "scan_recon.h5: already exists; pass --force" in said
    assert (tmp_path / "scan_recon.h5").read_bytes() == before
    code, said = typed("recon scan.h5 --accel 3 --method aos --force")
    assert code == 0
    assert (tmp_path / "scan_recon.h5").read_bytes() != before


KSPACE = np.ones((1, 2, 16, 16), np.complex64)
BAD_SCANS = {
    "no `kspace`": {"other": KSPACE},
    "3 dimensions": {"kspace": KSPACE[0]},
    "not complex": {"kspace": KSPACE.real},
    "empty": {"kspace": KSPACE[:0]},
    "zero everywhere": {"kspace": 0 * KSPACE},
    "NaN": {"kspace": np.nan * KSPACE},
}


@pytest.mark.parametrize("problem", BAD_SCANS)
def test_bad_scans(typed, tmp_path, problem):
    scan_with(tmp_path / "scan.h5", **BAD_SCANS[problem])
    code, said = typed("recon scan.h5")
    assert code == 2
    assert said.startswith("mri-ambient: scan.h5: ")
    assert problem in said
    assert said.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["scan.h5"]


def test_bad_files(typed, tmp_path, scans):
    (tmp_path / "text.h5").write_text("hello")
    code, said = typed("recon text.h5")
    assert (code, "is not a scan in a known format" in said) == (2, True)
    whole = (scans / "subject_0.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    code, said = typed("recon cut.h5")
    assert (code, "truncated or damaged" in said) == (2, True)
    code, said = typed("recon absent.h5")
    assert (code, "no such file" in said) == (2, True)


def test_too_large_an_acceleration(typed, scans):
    code, said = typed(f"recon {scans / 'subject_0.h5'} --accel 40 --out out/a.h5")
    assert code == 2
    assert "subject_0.h5: R=40 leaves 1 of 48 lines" in said


def test_a_prior_that_is_not_whole(typed, tmp_path, scans):
    code, said = typed(f"recon {scans / 'subject_0.h5'} --prior absent --out a.h5")
    assert (code, "absent: holds no prior.json" in said) == (2, True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "prior.json").write_text("{}")
    code, said = typed(f"recon {scans / 'subject_0.h5'} --prior broken --out a.h5")
    assert (code, "is not a prior's card" in said) == (2, True)
    assert not (tmp_path / "a.h5").exists()


def test_a_scan_is_never_replaced_by_its_reconstruction(typed, tmp_path, scans):
    shutil.copy(scans / "subject_0.h5", tmp_path / "scan.h5")
    before = (tmp_path / "scan.h5").read_bytes()
    code, said = typed("recon scan.h5 --method zero-filled --out scan.h5 --force")
    assert (code, "is the scan itself, which is never replaced" in said) == (2, True)
    code, said = typed("recon scan.h5 --method zero-filled --out a.png")
    assert (code, "let its name end in .h5" in said) == (2, True)
    assert (tmp_path / "scan.h5").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scan.h5"]


def test_options_that_need_each_other_and_wrong_kinds_of_path(typed, tmp_path, scans):
    shutil.copytree(scans, tmp_path / "fastmri")
    assert "--mask gaussian: says how --accel undersamples" in typed("prep fastmri --mask gaussian")[1]
    assert "--mask gaussian: says how --accel undersamples" in typed("recon fastmri/subject_0.h5 --mask gaussian")[1]
    for command in ("info", "report"):
        assert "is a folder" in typed(f"{command} .")[1]
    (tmp_path / "empty").mkdir()
    assert "empty: holds no scan" in typed("recon empty")[1]
    assert "holds many scans; give a folder" in typed("recon fastmri --out a.h5")[1]
    assert "--figure: is of one scan" in typed("recon fastmri --figure a.pdf")[1]
    assert "is a file; give the folder that holds it" in typed("prep fastmri/subject_0.h5")[1]
    assert typed("prep fastmri --accel 3 --mask gaussian --acs 8")[0] == 0
    code, said = typed("train --accel 3 --images 16")
    assert (code, "--accel 3 --mask gaussian`; train with these two" in said) == (2, True)
    code, said = typed("prep fastmri --accel 4 --acs 8")
    assert (code, "prepared with other settings; pass --force" in said) == (2, True)


def test_adps_draws_as_many_samples_as_are_asked_for(typed, tmp_path, scans, monkeypatch):
    """One alone, if it is there beside another method, as in the demo."""
    brief = replace(METHODS["adps"].settings, steps=2)
    monkeypatch.setitem(METHODS, "adps", replace(METHODS["adps"], settings=brief))
    assert typed(f"recon {scans / 'subject_0.h5'} --accel 3 --method adps --samples 2 --out a.h5")[0] == 0
    assert read_result(tmp_path / "a.h5").samples.shape[1] == 2


def test_no_prepared_data(typed):
    code, said = typed("train --accel 4")
    assert code == 2
    assert said == "mri-ambient: prepared: holds no prepared volume; make some with `mri-ambient prep FOLDER`\n"


def test_anatomy_and_contrasts_that_are_not_there(typed):
    assert typed("simulate out --subjects 1 --anatomy nowhere.nii")[1].startswith(
        "mri-ambient: nowhere.nii: doesn't exist"
    )
    assert "--contrasts T3: is not one of T1, T2" in typed("simulate out --subjects 1 --contrasts T1,T3")[1]


def test_options_out_of_range(typed, tmp_path):
    assert typed("train --accel four")[0] == 2
    assert typed("train --accel 0.5")[0] == 2
    assert "--mask poisson: is not one of random, equispaced, gaussian;" in typed("train --mask poisson")[1]
    assert "--denoiser magic: is not one of unrolled, unet;" in typed("train --denoiser magic")[1]
    assert "random, equispaced" in typed("recon scan.h5 --mask spiral")[1]
    assert "dds" in typed("recon scan.h5 --method magic")[1]
    assert "no such folder" in typed("prep nowhere/")[1]
    (tmp_path / "empty").mkdir()
    assert "holds no scan" in typed("prep empty/")[1]


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc, a folder that nobody can write")
def test_an_unwritable_output(typed, scans):
    code, said = typed(f"recon {scans / 'subject_0.h5'} --out /proc/nowhere/a.h5")
    assert code == 2
    assert "/proc/nowhere: can't write there" in said
    assert "--out" in said


def test_a_folder_with_a_bad_file_is_prepared_and_the_exit_code_says_so(typed, tmp_path, scans):
    (tmp_path / "raw").mkdir()
    shutil.copy(scans / "subject_0.h5", tmp_path / "raw" / "good.h5")
    (tmp_path / "raw" / "bad.h5").write_text("no")
    code, said = typed("prep raw --acs 8")
    assert code == 2
    assert "bad.h5: is not a scan in a known format" in said
    assert "1 prepared, 0 finished before, 1 failed" in said


def test_train_images(typed, tmp_path, monkeypatch):
    monkeypatch.setattr("mri_ambient.images.run.GRID", 4)
    monkeypatch.setattr("mri_ambient.images.run.STEPS", 3)
    np.savez(tmp_path / "some.npz", images=np.random.default_rng(0).random((6, 16, 16), np.float32))
    code, said = typed("train-images some.npz --missing 0.9 --images 64 --widths 8,8 --out runs/a")
    assert (code, "prior (pixel)" in said) == (0, True)
    assert (tmp_path / "runs" / "a" / "samples.png").exists()
    assert (
        "continue it with --resume"
        in typed("train-images some.npz --missing 0.9 --images 64 --widths 8,8 --out runs/a")[1]
    )
    assert typed("train-images some.npz --missing 0.9 --images 64 --widths 8,8 --out runs/a --resume")[0] == 0
    code, said = typed("train-images some.npz --corruption noise --rule ambient")
    assert (code, "rule ambient: is not for noise; choose one of tweedie" in said) == (2, True)
    assert said.count("\n") == 1
    assert "missing: Input should be less than 1" in typed("train-images some.npz --missing 90")[1]
    assert "--widths 30: is not a list of multiples of 8" in typed("train-images some.npz --widths 30")[1]
    code, said = typed("sample --prior runs/a")
    assert (code, "is a `pixel` prior" in said) == (2, True)
    assert typed("train-images some.npz --corruption random-box --images 64 --init runs/a --out runs/b")[0] == 0
