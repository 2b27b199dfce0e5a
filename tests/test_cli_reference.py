"""`--reference rss`, typed."""

import csv
import shutil

import h5py
import numpy as np
import pytest

from mri_ambient.recon.result import read_result

RSS = "the root sum of squares over the receive coils (RSS)"


def test_recon_in_anybodys_magnitudes(typed, tmp_path, scans, prepared):
    """Of a raw scan and of its prepared volume: the file, the table and the page say so, and the reference is fastMRI's."""
    shutil.copy(scans / "subject_0.h5", tmp_path / "subject_0.h5")
    with h5py.File(tmp_path / "subject_0.h5", "a") as file:
        del file["noiseless"]  # as a scanner's
    for source, name in ((tmp_path, "raw"), (prepared, "prepared")):
        line = f"recon {source / 'subject_0.h5'} --accel 3 --method cg-sense --reference rss --out {name}.h5"
        code, said = typed(line + (" --acs 8" if name == "raw" else ""))
        assert (code, f"magnitude against {RSS}" in " ".join(said.split()), f"magnitudes: {RSS}" in said) == (
            0,
            True,
            True,
        )
        assert RSS in (tmp_path / f"{name}_report.html").read_text()
    raw, volume = (read_result(tmp_path / f"{name}.h5") for name in ("raw", "prepared"))
    assert raw.about.magnitude == volume.about.magnitude == "rss"
    # the noise level, and with it how coils are scaled, is of all lines in one and of a third in the other
    assert np.linalg.norm(np.abs(volume.mean) - np.abs(raw.mean)) < 0.1 * np.linalg.norm(raw.mean)
    assert np.linalg.norm(volume.reference - raw.reference) < 0.01 * np.linalg.norm(raw.reference)
    with h5py.File(scans / "subject_0.h5") as file:
        theirs = file["reconstruction_rss"][:]
    with h5py.File(tmp_path / "raw.h5") as file:
        np.testing.assert_allclose(file["reference"][:], theirs, rtol=1e-3, atol=1e-4 * theirs.max())
        assert file.attrs["magnitude"] == '"rss"'
        error = np.linalg.norm(file["reconstruction"][:] - theirs) / np.linalg.norm(theirs)
    assert error < 0.3
    assert typed("export raw.h5 --to h5 --series mean")[0] == 0
    with h5py.File(tmp_path / "raw_mean.h5") as file:
        assert file.attrs["magnitude"] == "rss"


@pytest.mark.slow
def test_compare_against_rss(typed, tmp_path, scans):
    """Rows, table, CSV and page name the reference; the two are two comparisons."""
    line = f"compare {scans / 'subject_0.h5'} --accel 2 --methods cg-sense --slices 1 --lesions"
    found = {}
    for magnitude in ("mvue", "rss"):
        code, said = typed(f"{line} --reference {magnitude} --out {magnitude}")
        assert code == 0
        assert (f"against {RSS} of the complete scan" in " ".join(said.split())) == (magnitude == "rss")
        assert (RSS in (tmp_path / magnitude / "comparison.html").read_text()) == (magnitude == "rss")
        for name in ("scans", "summary"):
            with (tmp_path / magnitude / f"{name}.csv").open() as file:
                found[magnitude, name] = list(csv.DictReader(file))
            assert {row["reference"] for row in found[magnitude, name]} == {magnitude.upper()}
    for plain, other in zip(found["mvue", "scans"], found["rss", "scans"], strict=True):
        assert float(plain["NRMSE_mean"]) != float(other["NRMSE_mean"])
        assert float(other["NRMSE_mean"]) < 0.5
        assert plain["residual"] == other["residual"]
        # the share of a lesion's contrast that returns does not know the shading
        assert float(other["lesion_recovery"]) == pytest.approx(float(plain["lesion_recovery"]), abs=0.1)
    code, said = typed(f"{line} --reference mvue --out rss")
    assert (code, "rss: holds a comparison of other methods or settings" in said) == (2, True)


def test_a_reference_that_is_none(typed, scans):
    for line in (f"recon {scans / 'subject_0.h5'}", f"compare {scans}"):
        code, said = typed(f"{line} --reference sos")
        assert (code, said) == (2, "mri-ambient: --reference sos: is not one of mvue, rss; choose one of them\n")
