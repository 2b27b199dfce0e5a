"""`compare`, `tune` and what `recon` makes of it, typed."""

import csv
import shutil
from pathlib import Path

import h5py
import pytest
import torch

from mri_ambient.physics.acs import acs_mask
from mri_ambient.workflows.comparing import CompareSettings, compare_scans


def undersample(source, target, mask) -> None:
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        kspace = file["kspace"][()]
        kspace[..., ~mask] = 0
        file["kspace"][()] = kspace
        file["mask"] = mask


@pytest.mark.slow
def test_tune_compare_recon(typed, tmp_path, scans):
    for folder, name in (("validation", "subject_0.h5"), ("test", "subject_1.h5")):
        (tmp_path / folder).mkdir()
        shutil.copy(scans / name, tmp_path / folder / name)
    code, said = typed("tune validation --accel 3 --methods zero-filled,cg-sense --slices 1 --out t/tuned.json")
    assert (code, "wrote t/tuned.json" in said) == (0, True)
    line = "compare test --accel 2 --methods zero-filled,cg-sense --slices 1 --tuned t/tuned.json --lesions"
    code, said = typed(line)
    assert (code, "settings: t/tuned.json" in said, "simulated, R=2 (realised 2.00), 1 scans" in said) == (
        0,
        True,
        True,
    )
    with (tmp_path / "comparison" / "scans.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["accel"], row["tuned_at"]) for row in rows] == [
        (name, "2.0", "3.0") for name in ("zero-filled", "cg-sense")
    ]
    assert all(0 < float(row["lesion_recovery"]) < 1.2 for row in rows)
    files = {path: path.read_bytes() for path in (tmp_path / "comparison").rglob("*") if path.is_file()}
    assert {path.name for path in files} >= {
        "summary.csv",
        "lesions.csv",
        "errors.svg",
        "pictures.png",
        "pictures.pdf",
        "comparison.html",
    }
    assert typed(line)[0] == 0
    assert {path: path.read_bytes() for path in files} == files
    settings = CompareSettings(
        accels=(2.0,),
        methods=("zero-filled", "cg-sense"),
        slices=1,
        lesions=True,
        tuned=Path("t/tuned.json"),
    )
    found = compare_scans(Path("test"), settings=settings)
    assert {path: path.read_bytes() for path in files} == files  # Python's words mean what the command's do
    assert [row.label for row in found.rows] == ["zero-filled", "cg-sense"]
    shutil.copy(scans / "subject_0.h5", tmp_path / "renamed.h5")
    code, said = typed("compare renamed.h5 --methods cg-sense --tuned t/tuned.json")
    assert (code, "renamed.h5: is one of the scans on which the methods were tuned" in said) == (2, True)
    assert typed("recon test/subject_1.h5 --accel 3 --method cg-sense --tuned t/tuned.json --out a.h5")[0] == 0


@pytest.mark.slow
def test_tune_on_undersampled_scans(typed, tmp_path, scans):
    (tmp_path / "raw").mkdir()
    mask = (acs_mask(48, 8) | (torch.arange(48) % 3 == 0)).numpy()
    undersample(scans / "subject_0.h5", tmp_path / "raw" / "a.h5", mask)
    code, said = typed("tune raw --methods cg-sense --slices 1 --out tuned.json")
    assert (code, "Chosen by CRPS on held-out measured lines" in said) == (0, True)
    code, said = typed("compare raw --methods cg-sense")
    assert (code, "raw: holds no fully sampled scan" in said) == (2, True)


def test_bad_input(typed, tmp_path, scans):
    code, said = typed(f"compare {scans} --methods magic")
    assert (code, "--methods magic: is not one of zero-filled" in said, said.count("\n")) == (2, True, 1)
    assert "nowhere: no such file" in typed("recon nowhere")[1]
    (tmp_path / "empty").mkdir()
    assert "empty: holds no scan" in typed("compare empty")[1]
    assert "--mask spiral" in typed(f"compare {scans} --mask spiral")[1]
    for command in ("compare", "tune"):
        code, said = typed(f"{command} {scans} --methods cg-sense --device abacus --out x")
        assert (code, "device abacus: is none that PyTorch knows" in said, said.count("\n")) == (2, True, 1)
    assert "absent.json: can't be read" in typed(f"compare {scans} --methods cg-sense --tuned absent.json")[1]
    mask = (torch.arange(48) % 3 == 0).numpy()
    undersample(scans / "subject_0.h5", tmp_path / "comb.h5", mask)
    code, said = typed("tune comb.h5 --methods cg-sense")
    assert (code, "comb.h5: has 1 fully sampled central lines where 4 are needed" in said) == (2, True)
