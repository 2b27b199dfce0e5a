"""`recon`, typed: where its output goes, prepared volumes, folders, and what it says before any work."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from mri_ambient.recon.outputs import Outputs, free, names
from mri_ambient.recon.result import read_result
from mri_ambient.recon.run_methods import run_methods
from mri_ambient.store import read_volume, write_volume
from tests.recon.test_reconstruct import first_slices


@pytest.fixture
def one_slice(scans, tmp_path):
    """A scan of one slice, in a folder that is not the working one."""

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scans / "subject_0.h5", path)
        with h5py.File(path, "r+") as file:
            for name in file:
                if isinstance(file[name], h5py.Dataset) and file[name].shape[:1] == (4,):
                    data = file[name][:1]
                    del file[name]
                    file[name] = data
        return path

    return make


def test_output_goes_into_the_working_folder_and_never_over_anothers(typed, tmp_path, one_slice):
    scan = one_slice(tmp_path / "archive" / "scan.h5")
    scan.parent.chmod(0o555)
    line = f"recon {scan} --accel 3 --acs 8 --method cg-sense"
    assert "wrote scan_recon.h5, scan_recon.png and scan_report.html" in typed(line)[1]
    before = (tmp_path / "scan_recon.h5").read_bytes()
    assert "wrote scan_R3_cg-sense_recon.h5, " in typed(line)[1]
    assert "wrote scan_R3_cg-sense_2_recon.h5, " in typed(line)[1]
    assert (tmp_path / "scan_recon.h5").read_bytes() == before
    assert "wrote scan_recon.h5, " in typed(f"{line} --method zero-filled --force")[1]
    assert read_result(tmp_path / "scan_recon.h5").about.method == "zero-filled"
    assert [path.name for path in scan.parent.iterdir()] == ["scan.h5"]
    scan.parent.chmod(0o755)


def test_a_name_is_taken_if_one_of_its_files_is(tmp_path):
    (tmp_path / "a_report.html").touch()
    found = free(names(tmp_path, "a", None, "mmps"))
    assert found == Outputs(tmp_path / "a_mmps_recon.h5")
    assert [path.name for path in found.all] == ["a_mmps_recon.h5", "a_mmps_recon.png", "a_mmps_report.html"]


def test_a_complete_scan_is_told_so_before_the_work(typed, tmp_path, one_slice, monkeypatch):
    scan = one_slice(tmp_path / "scan.h5")
    said: list[str] = []

    def marked(*given):
        said.append("the work")
        return run_methods(*given)

    monkeypatch.setattr("mri_ambient.api.run_methods", marked)
    monkeypatch.setattr("mri_ambient.console.stderr.print", lambda *text, **_: said.extend(map(str, text)))
    assert typed(f"recon {scan} --method zero-filled --acs 8")[0] == 0
    assert "the scan is complete and is reconstructed from all of its lines" in said[0]
    assert said[1] == "the work"
    said.clear()
    assert typed(f"recon {scan} --method zero-filled --acs 8 --accel 3 --out b.h5")[0] == 0
    assert said[0] == "the work"


def test_preparing_is_asked_of_recon(typed, tmp_path, one_slice):
    scan = one_slice(tmp_path / "scan.h5")
    assert typed(f"recon {scan} --accel 2 --method cg-sense --acs 6 --coils 2 --maps sigpy --whiten none")[0] == 0
    about = read_result(tmp_path / "scan_recon.h5").about
    assert about.acs == (48, 6)
    assert about.provenance["coils"] == [4, 2]
    assert about.provenance["maps"] == "sigpy"
    for option in ("--maps magic", "--whiten magic", "--map-sets magic"):
        assert f"{option}: is not one of" in typed(f"recon {scan} {option}")[1]


def test_a_prepared_volume(typed, tmp_path, prepared, undersampled):
    write_volume(tmp_path / "whole.h5", first_slices(read_volume(prepared / "subject_0.h5"), 1))
    write_volume(tmp_path / "part.h5", first_slices(undersampled, 1))
    code, said = typed("recon whole.h5 --accel 3 --method cg-sense")
    assert (code, "NRMSE" in said) == (0, True)
    result = read_result(tmp_path / "whole_recon.h5")
    assert result.about.accel == pytest.approx(3)
    assert result.about.provenance["settings"]["accel"] == 3
    wrong = np.linalg.norm(np.abs(result.mean) - result.reference) / np.linalg.norm(result.reference)
    assert 0.01 < wrong < 0.5
    code, said = typed("recon part.h5 --method cg-sense")
    assert (code, "NRMSE" in said) == (0, False)
    assert "part.h5: is already undersampled; leave --accel out" in typed("recon part.h5 --accel 2")[1]
    assert "whole.h5: is prepared already, and --acs is for raw scans" in typed("recon whole.h5 --acs 8")[1]
    assert "and --map-sets is for raw scans" in typed("recon whole.h5 --map-sets 1")[1]


def test_lines_that_can_not_be_hidden(typed, tmp_path, one_slice):
    scan = one_slice(tmp_path / "scan.h5")
    code, said = typed(f"recon {scan} --accel 6 --acs 8 --method cg-sense")
    assert (code, "no held-out error: scan: has no measured lines outside its ACS" in said) == (0, True)
    assert read_result(tmp_path / "scan_recon.h5").held_out is None


def test_a_folder(typed, tmp_path, one_slice):
    """Each scan its files, one table; what fails is told, what is finished is not done again, what differs is not replaced."""
    for name in ("a", "b"):
        one_slice(tmp_path / "raw" / f"{name}.h5")
    (tmp_path / "raw" / "bad.h5").write_text("no")
    line = "recon raw --accel 3 --acs 8 --method cg-sense --out results"
    code, said = typed(line)
    assert code == 2
    assert "bad.h5: is not a scan in a known format" in said
    assert "raw: 2 reconstructed, 0 finished before, 1 failed" in said
    results = tmp_path / "results"
    with (results / "recon_summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["scan"], row["method"], row["file"]) for row in rows if row["kept"] == "True"] == [
        (name, "cg-sense", f"{name}_recon.h5") for name in ("a", "b")
    ]
    assert len(rows) == 6
    held = read_result(results / "a_recon.h5").held_out
    assert float(rows[0]["held_out"]) == pytest.approx(float(held.errors["cg-sense"].mean()))
    before = {path: path.stat().st_mtime_ns for path in results.glob("*_re*")}
    (tmp_path / "raw" / "bad.h5").unlink()
    code, said = typed(line)
    assert (code, "raw: 0 reconstructed, 2 finished before, 0 failed" in said) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in before if path.suffix != ".csv"}.items() <= before.items()
    code, said = typed(f"{line} --seed 1 --method zero-filled")
    assert (code, "2 reconstructed, 0 finished" in said, (results / "a_R3_zero-filled_recon.h5").exists()) == (
        0,
        True,
        True,
    )


def test_a_folder_of_prepared_volumes(typed, tmp_path, undersampled):
    for name in ("a", "b"):
        write_volume(tmp_path / "prepared" / f"{name}.h5", first_slices(undersampled, 1))
    code, said = typed("recon prepared --method cg-sense")
    assert (code, "prepared: 2 reconstructed" in said) == (0, True)
    assert (tmp_path / "b_report.html").exists()


def test_two_scans_of_one_name(typed, tmp_path, one_slice):
    one_slice(tmp_path / "raw" / "a.h5")
    shutil.copy(tmp_path / "raw" / "a.h5", tmp_path / "raw" / "a.mrd")
    code, said = typed("recon raw --accel 3 --acs 8 --method zero-filled")
    assert (code, "would become a_recon.h5, as a.h5 does; rename one of the two" in said) == (2, True)
    assert "1 reconstructed, 0 finished before, 1 failed" in said


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("recon scan.h5 --method magic", "--method magic: is not one of"),
        ("recon scan.h5 --prior absent", "absent: holds no prior.json"),
        ("recon scan.h5 --tuned absent.json", "absent.json: can't be read"),
        ("recon scan.h5 --out there.h5", "there.h5: already exists; pass --force"),
        ("recon scan.h5 --figure a.gif", "--figure a.gif: is not a figure's name"),
        ("recon absent.h5", "absent.h5: no such file"),
        ("compare . --methods magic", "--methods magic: is not one of"),
        ("compare . --prior absent", "absent: holds no prior.json"),
        ("tune . --accel four", "accel (--accel) four: is not a number"),
        ("sample --prior absent", "absent: holds no prior.json"),
        ("audit --prior bundled", "bundled: comes without the scans of its training; pass --training"),
        ("train --init absent", "absent: holds no prior.json"),
        ("report there.h5 --out a.txt", "let its name end in .html"),
    ],
)
def test_a_refusal_waits_for_no_torch(tmp_path, line, problem):
    for name in ("scan.h5", "there.h5"):
        (tmp_path / name).touch()
    code = (
        "import sys\nfrom mri_ambient.cli import main\n"
        "try: main()\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code, *line.split()], cwd=tmp_path, capture_output=True, text=True)
    assert problem in made.stderr
    assert made.stdout == "2 False\n"
