"""`export`, typed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.recon.results import write_smooth

ROOT = Path(__file__).parents[1]


def test_every_format(typed, tmp_path, undersampled):
    write_smooth(tmp_path / "a b_recon.h5", undersampled)
    shutil.copy(tmp_path / "a b_recon.h5", tmp_path / "scan_recon.h5")
    for to, names in {
        "nifti": ["scan_mean.nii.gz", "scan_std.nii.gz"],
        "h5": ["scan_mean.h5", "scan_std.h5"],
        "png": ["scan_png"],
        "dicom": ["scan_dicom"],
    }.items():
        code, said = typed(f"export scan_recon.h5 --to {to}")
        assert (code, [line for line in said.splitlines() if line.startswith("wrote")]) == (
            0,
            [f"wrote {name}" for name in names],
        )
        assert all((tmp_path / name).exists() for name in names)
        code, said = typed(f"export scan_recon.h5 --to {to}")
        assert (code, "already exists; pass --force" in said, said.count("\n")) == (2, True, 1)
    assert len(list((tmp_path / "scan_dicom").rglob("*.dcm"))) == 2 * 4


def test_a_figure_now_or_later(typed, tmp_path, scans):
    """`recon --figure` and `export --to figure` draw the same; a bad name is refused before anything is reconstructed."""
    shutil.copy(scans / "subject_0.h5", tmp_path / "scan.h5")
    code, said = typed("recon scan.h5 --accel 3 --method zero-filled --figure now.doc")
    assert (code, "--figure now.doc: is not a figure's name" in said, (tmp_path / "scan_recon.h5").exists()) == (
        2,
        True,
        False,
    )
    assert "scan_recon.png: is the panel's name" in typed("recon scan.h5 --figure scan_recon.png")[1]
    code, said = typed("recon scan.h5 --accel 3 --method zero-filled --figure now.svg")
    assert (code, "wrote now.svg" in said) == (0, True)
    assert typed("export scan_recon.h5 --to figure")[1] == "wrote scan_figure.pdf\n"
    assert typed("export scan_recon.h5 --to figure --out now.svg")[0] == 2
    now = (tmp_path / "now.svg").read_bytes()
    assert typed("export scan_recon.h5 --to figure --out now.svg --force")[0] == 0
    assert (tmp_path / "now.svg").read_bytes() == now
    assert typed("export scan_recon.h5 --to figure --out one.svg --slice 0 --series zero-filled")[0] == 0
    assert typed("export scan_recon.h5 --to figure --out two.svg --slice 9")[1].endswith(
        "choose one of 0 to 3 with --slice\n"
    )


def test_names_with_brackets_spaces_and_umlauts(typed, tmp_path, undersampled):
    name = "[bold]'Größe <b>\" & x"
    write_smooth(tmp_path / f"{name}_recon.h5", undersampled)
    for to, made in {"nifti": "_mean.nii.gz", "h5": "_mean.h5", "png": "_png", "dicom": "_dicom"}.items():
        code, said = typed(["export", f"{name}_recon.h5", "--to", to, "--series", "mean"])
        assert (code, f"wrote {name}{made}" in said, (tmp_path / f"{name}{made}").exists()) == (0, True, True)


def test_bad_input(typed, tmp_path, undersampled):
    write_smooth(tmp_path / "scan_recon.h5", undersampled)
    for line, sentence in {
        "scan_recon.h5 --to jpeg": "--to jpeg: is not one of nifti, dicom, h5, png, figure",
        "scan_recon.h5 --to png --series tv": "--series tv: is not in scan_recon.h5, which has mean, samples, zero-filled",
        "scan_recon.h5 --to nifti --out scan_recon.h5": "scan_recon.h5: can't write there",
        "absent.h5 --to nifti": "absent.h5: no such file; give a reconstruction",
        "scan_recon.h5 --to dicom --patient-sex man": "--patient-sex MAN: is not one of M, F, O",
    }.items():
        code, said = typed(f"export {line}")
        assert (code, sentence in said, said.count("\n")) == (2, True, 1), said
    with h5py.File(tmp_path / "scan_recon.h5", "a") as file:
        del file["samples"]
    code, said = typed("export scan_recon.h5 --to nifti --series samples")
    assert (code, "--series samples: is not in scan_recon.h5, which has mean, zero-filled" in said) == (2, True)
    with h5py.File(tmp_path / "scan_recon.h5", "a") as file:
        file.attrs["format"] = "mri-ambient reconstruction 1"
    code, said = typed("export scan_recon.h5 --to nifti")
    assert (code, "its format is 'mri-ambient reconstruction 1'" in said, "make it again" in said) == (2, True, True)
    assert [path.name for path in tmp_path.iterdir()] == ["scan_recon.h5"]


TOY = '''"""A format of one's own: a text file a series, with its largest value."""

from mri_ambient.recon.export.exporter import Exporter
from mri_ambient.recon.export.registry import EXPORTERS


def write_largest(path, result, series, extras):
    (one,) = series
    path.write_text(f"{one.title}: {one.images.max():.3g}")


EXPORTERS["largest"] = Exporter(write_largest, (".txt",), "file a series")
if __name__ == "__main__":
    from mri_ambient.cli import main

    main()
'''


def test_a_format_of_ones_own(tmp_path, undersampled):
    """One file and one line: it is in the help, the command writes it, and another name is refused with it."""
    write_smooth(tmp_path / "scan_recon.h5", undersampled)
    (tmp_path / "mine.py").write_text(TOY)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "mine.py", "export", *arguments]
        environment = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)}
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert "figure, largest" in run("--help").stdout
    done = run("scan_recon.h5", "--to", "largest", "--series", "std,samples")
    names = ["std", "sample_1", "sample_2", "sample_3"]
    assert done.stdout.splitlines() == [f"wrote scan_{name}.txt" for name in names], done.stderr
    assert (tmp_path / "scan_sample_2.txt").read_text().startswith("dds, sample 2 of 3: ")
    assert (
        "--to smallest: is not one of nifti, dicom, h5, png, figure, largest"
        in run("scan_recon.h5", "--to", "smallest").stderr
    )


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc, a folder that nobody can write")
@pytest.mark.parametrize("to", ["nifti", "dicom"])
def test_a_folder_that_nobody_can_write(typed, tmp_path, undersampled, to):
    write_smooth(tmp_path / "scan_recon.h5", undersampled)
    code, said = typed(f"export scan_recon.h5 --to {to} --out /proc/nowhere/x")
    assert (code, "can't write there" in said, "--out" in said, said.count("\n")) == (2, True, True, 1)
