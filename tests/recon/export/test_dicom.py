"""DICOM, read by programs that are not ours."""

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from mri_ambient.errors import UserError
from mri_ambient.recon.export.dicom import long_string
from mri_ambient.recon.export.patient import Patient
from mri_ambient.recon.export.registry import EXPORTERS
from tests.recon.results import oblong_result

SERIES = "mean,std,samples,zero-filled,determined"
NAMES = ["determined", "mean", "sample_1", "sample_2", "sample_3", "std", "zero-filled"]
HOSTILE = Patient("Müller^Ana <\"b\"> & 'x'", "ä<1>\"'&;../$(x)", "19701231", "F")


def program(name: str, *arguments) -> str:
    """What it prints; skips if it is not installed."""
    if shutil.which(name) is None:
        package = {"dcmdump": "dcmtk", "dciodvfy": "dicom3tools"}.get(name, name)
        pytest.skip(f"needs {name}: apt-get install {package}")
    done = subprocess.run([name, *map(str, arguments)], capture_output=True, check=True)
    return (done.stdout + done.stderr).decode()


@pytest.fixture
def result(undersampled, tmp_path):
    return oblong_result(tmp_path, undersampled)


@pytest.fixture
def folder(result) -> Path:
    (written,) = result.export("dicom", None, SERIES)
    return written


def values(path: Path) -> np.ndarray:
    """Stored pixels -> real-world values, as the file's mapping says."""
    image = pydicom.dcmread(path)
    (mapping,) = image.RealWorldValueMappingSequence
    return mapping.RealWorldValueIntercept + mapping.RealWorldValueSlope * image.pixel_array


def test_pixels_and_what_they_mean(result, folder):
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    truths = {"mean": np.abs(result.mean), "std": result.raw_std, "determined": result.determined_share}
    truths |= {"sample_2": np.abs(result.samples[:, 1]), "zero-filled": result.others["zero-filled"]}
    for name, truth in truths.items():
        for index, image in enumerate(truth):
            path = folder / name / f"{index + 1:04d}.dcm"
            slope = pydicom.dcmread(path).RealWorldValueMappingSequence[0].RealWorldValueSlope
            np.testing.assert_allclose(values(path), image, atol=0.51 * slope)
            assert 65535 * slope < 10 * truth.max()  # most of the 16 bits are used


def test_windows_compare_across_magnitudes(folder):
    found = {}
    for name in ("mean", "sample_1", "zero-filled"):
        for image in map(pydicom.dcmread, (folder / name).iterdir()):
            slope = image.RealWorldValueMappingSequence[0].RealWorldValueSlope
            found[slope, image.WindowCenter, image.WindowWidth] = name
    assert len(found) == 1


def test_identity(folder):
    """One result, a series a volume, and no UID twice; nothing of the patient."""
    images = [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
    assert len({image.StudyInstanceUID for image in images}) == 1
    assert len({image.SeriesInstanceUID for image in images}) == len(NAMES)
    assert len({image.SOPInstanceUID for image in images}) == len(images) == 4 * len(NAMES)
    for image in images:
        assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert image.SpecificCharacterSet == "ISO_IR 192"
        assert (image.BurnedInAnnotation, image.LossyImageCompression) == ("NO", "00")
        assert image.PixelSpacing == [96 / 32, 120 / 48]
        assert "RescaleSlope" not in image
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"):
            assert keyword in image
            assert not image[keyword].value
    said = images[NAMES.index("mean") * 4]
    assert said.SeriesDescription == "dds, mean of 3, R=3.00, research"
    assert "realised R=3.00" in said.DerivationDescription
    assert "Research use, not for diagnosis" in said.DerivationDescription
    assert "Orientation unknown" in said.ImageComments
    assert not any(b"subject_0" in path.read_bytes() for path in folder.rglob("*.dcm"))  # the scan's own name


def test_two_exports_share_nothing(result, folder, tmp_path):
    result.export("dicom", tmp_path / "again", "mean")
    first, second = (pydicom.dcmread(path / "mean" / "0001.dcm") for path in (folder, tmp_path / "again"))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value != second[keyword].value


def test_dciodvfy_finds_no_error(result, folder, tmp_path):
    result.export("dicom", tmp_path / "named", "mean", patient=HOSTILE)
    blind = result.about.model_copy(update={"field_of_view_mm": None})
    object.__setattr__(result, "about", blind)
    result.export("dicom", tmp_path / "blind", "mean")
    for path in [*folder.rglob("0001.dcm"), tmp_path / "named/mean/0001.dcm", tmp_path / "blind/mean/0004.dcm"]:
        said = program("dciodvfy", path)
        assert "Error" not in said, said
        warnings = [line for line in said.splitlines() if line.startswith("Warning")]
        # what is not known is empty, and that a DICOMDIR would want it, is all that there is to say
        assert all("DICOMDIR" in line or "<Laterality>" in line for line in warnings), warnings
        assert "MRImage" in said
    image = pydicom.dcmread(tmp_path / "blind/mean/0001.dcm")
    assert image.PixelSpacing == [1, 1]
    assert "Pixel size unknown" in image.ImageComments


def test_dcmdump_reads_hostile_names(result, tmp_path):
    result.export("dicom", tmp_path / "named", "mean", patient=HOSTILE)
    said = program("dcmdump", "+U8", "+L", tmp_path / "named/mean/0001.dcm")
    assert f"PN [{HOSTILE.name}]" in said
    assert f"LO [{HOSTILE.id}]" in said
    assert "DA [19701231]" in said


def test_dcm2niix_makes_our_nifti(result, folder, tmp_path):
    """The same axes and voxels: 16 bits apart."""
    (tmp_path / "theirs").mkdir()
    program("dcm2niix", "-b", "n", "-f", "theirs", "-o", tmp_path / "theirs", folder / "mean")
    (path,) = result.export("nifti", None, "mean")
    theirs, ours = nibabel.load(tmp_path / "theirs" / "theirs.nii"), nibabel.load(path)
    slope = pydicom.dcmread(folder / "mean" / "0001.dcm").RealWorldValueMappingSequence[0].RealWorldValueSlope
    np.testing.assert_allclose(slope * np.asanyarray(theirs.dataobj), ours.get_fdata(), atol=0.51 * slope)
    np.testing.assert_allclose(theirs.header.get_zooms(), ours.header.get_zooms(), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("a\\b", "", "", ""), "--patient-name 'a\\\\\\\\b': DICOM holds no backslash, no control characters"),
        (
            ("x" * 65, "", "", ""),
            "--patient-name 'x{65}': DICOM holds at most 64 characters in each of a name's groups",
        ),
        (("a=" + "ヤ" * 65, "", "", ""), "in each of a name's groups"),
        (("a^b^c^d^e^f=ü", "", "", ""), "write Family\\^Given"),
        (("a\x85b", "", "", ""), "no control characters"),
        (("a\udce9", "", "", ""), "nothing that is not Unicode"),
        (("", "x" * 65, "", ""), "--patient-id 'x{65}': DICOM holds at most 64 characters; shorten it"),
        (("", "a\\b", "", ""), "--patient-id 'a\\\\\\\\b': DICOM holds no backslash"),
        (("", "a\nb", "", ""), "no control characters"),
        (("a=b=c=d", "", "", ""), "write Family\\^Given"),
        (("", "", "31.12.1970", ""), "--patient-birth-date 31.12.1970: is not a date; write it as 1970-12-31"),
        (("", "", "1970-02-30", ""), "is not a date"),
        (("", "", "", "x"), "--patient-sex X: is not one of M, F, O"),
    ],
)
def test_what_dicom_can_not_hold(options, problem):
    with pytest.raises(UserError, match=problem):
        Patient.of(*options)


def test_each_group_of_a_name_may_be_long(result, tmp_path):
    """Three writings of 64 characters each, and what pydicom and DCMTK make of them (dciodvfy counts the bytes of all)."""
    groups = ("Ă" * 30 + "^" + "b" * 33, "山" * 64, "や" * 31 + "^^^^" + "ま" * 29)
    named = Patient("=".join(groups), "x" * 64)
    result.export("dicom", tmp_path / "named", "mean", patient=named)
    path = tmp_path / "named/mean/0001.dcm"
    name = pydicom.dcmread(path).PatientName
    assert (name.alphabetic, name.ideographic, name.phonetic) == groups
    assert f"PN [{named.name}]" in program("dcmdump", "+U8", "+L", path)


def test_titles_are_one_value_each():
    """A backslash would begin another; what is too long is cut."""
    assert long_string("a\\b\n" + "c" * 80) == "a_b_" + "c" * 60


def test_dates_as_people_write_them():
    assert Patient.of("", "", "1970-12-31", "f") == Patient(birth_date="19701231", sex="F")


def test_without_pydicom(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom.dataset", None)
    monkeypatch.delitem(sys.modules, "mri_ambient.recon.export.dicom", raising=False)
    monkeypatch.delitem(EXPORTERS._found, "dicom", raising=False)
    with pytest.raises(UserError, match=r"needs pydicom, which is not installed; pip install 'mri-ambient\[dicom\]'"):
        result.export("dicom", None, "mean")
    assert [path.name for path in tmp_path.iterdir()] == ["scan_recon.h5"]


def test_slices_lie_where_the_scan_places_them(result):
    """Unevenly, and downwards; without such places they are a millimetre apart, which the comments say."""
    for heights in ([9.0, 5.5, 2.0, -4.0], [6.0, 4.0, 2.0, 0.0], None):
        result.about.provenance["geometry"] = {"heights_mm": heights}
        (folder,) = result.export("dicom", None, "mean", True)
        images = [pydicom.dcmread(path) for path in sorted((folder / "mean").iterdir())]
        assert [image.ImagePositionPatient[2] for image in images] == (heights or [0, 1, 2, 3])
        assert ("Slice spacing unknown" in images[0].ImageComments) == (heights is None)
        assert images[0].get("SpacingBetweenSlices") == (2 if heights and heights[0] == 6 else None)
