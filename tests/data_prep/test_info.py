import h5py
import numpy as np
import pytest

from mri_ambient.data_prep.folder import prepare_file
from mri_ambient.data_prep.info import describe, prepared_facts, scan_facts
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.simulate import _header
from mri_ambient.errors import UserError
from mri_ambient.store import read_volume
from tests.data_prep.test_formats import KSPACE


def test_a_bare_undersampled_scan(tmp_path):
    lines = np.zeros(24, bool)
    lines[::4] = lines[9:15] = True
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = KSPACE * lines
    facts = dict(scan_facts(read_scan(tmp_path / "a.h5")))
    assert facts["coils"] == "3"
    assert facts["sampling"] == "11 lines"
    assert facts["acceleration R"] == "2.18"
    assert facts["ACS"] == "32x6 (y, x)"
    assert facts["field of view"] == "unknown"
    assert facts["missing"] == "field of view, noise scan, readout oversampling (no header)"
    assert describe(tmp_path / "a.h5").row_count == len(facts)


def test_oddities_of_the_header_are_told(tmp_path):
    xml = (
        _header(24, 24)
        .replace("<reconSpace><matrixSize><x>24</x>", "<reconSpace><matrixSize><x>320</x>")
        .replace("<encodingLimits>", "<encodingLimits><slice><minimum>0</minimum><maximum>31</maximum></slice>")
    )
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = KSPACE
        file["ismrmrd_header"] = xml
    notes = [value for name, value in scan_facts(read_scan(tmp_path / "a.h5")) if name == "note"]
    assert any("32 slices, the array has 2" in note for note in notes)
    assert any("has 320 rows, more than k-space has (32)" in note for note in notes)
    assert any("readout has 24 samples, the array's 32" in note for note in notes)


def test_the_stated_noise_is_found(scans):
    facts = dict(scan_facts(read_scan(scans / "subject_0.h5")))
    with h5py.File(scans / "subject_0.h5") as file:
        truth = float(file.attrs["noise_std"])
    low, high = (float(word.rstrip(",")) for word in facts["noise"].split()[1:4:2])
    assert 0.9 * truth < low <= high < 2.5 * truth
    assert facts["acceleration R"] == "1 (fully sampled)"
    assert facts["field of view"] == "230x230 mm (y, x)"


def test_a_prepared_volume_and_what_is_no_scan(scans, tmp_path):
    prepare_file(scans / "subject_0.h5", tmp_path / "p.h5", PrepareSettings(accel=3, acs=8))
    facts = dict(prepared_facts(read_volume(tmp_path / "p.h5")))
    assert facts["acceleration R"] == "3.00, random, retrospective"
    assert facts["sensitivity maps"] == "joint"
    assert facts["sampling"] == "16 of 48 lines a slice"
    assert facts["missing"] == "noise scan"
    with pytest.raises(UserError, match=r"not a raw scan; give the scan that it was made from"):
        read_scan(tmp_path / "p.h5")
    with pytest.raises(UserError, match="no such file"):
        describe(tmp_path / "absent.h5")
