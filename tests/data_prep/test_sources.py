"""Data sets that an HDF5 file has elsewhere, lacks or packs in ways unknown here, and whose scan it says that it is."""

import sys
import types
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.readers import files_of, read_scan
from mri_ambient.data_prep.readers.subject import pseudonym
from mri_ambient.errors import UserError
from tests.data_prep.test_formats import KSPACE


def write(path: Path, name: str = "kspace") -> Path:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "a") as file:
        file[name] = KSPACE
    return path


def virtual(path: Path, *sources: Path | str, name: str = "kspace") -> Path:
    """One slice of each source."""
    layout = h5py.VirtualLayout((len(sources), *KSPACE.shape[1:]), np.complex64)
    for index, source in enumerate(sources):
        layout[index] = h5py.VirtualSource(str(source), name, KSPACE.shape)[index]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("kspace", layout)
    return path


def refused(path: Path, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as error:
        read_scan(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_scan_put_together_from_its_neighbours(tmp_path):
    parts = [write(tmp_path / f"part{i}.h5") for i in range(2)]
    for name, sources in {"relative": [part.name for part in parts], "absolute": parts}.items():
        path = virtual(tmp_path / f"{name}.h5", *sources)
        scan = read_scan(path)
        assert torch.equal(scan.kspace, torch.from_numpy(KSPACE))
        assert scan.notes == ("parts of it lie in part0.h5, part1.h5 beside it",)
        assert files_of(path) == [path, *(part.resolve() for part in parts)]
    parts[1].unlink()
    refused(path, "part1.h5.*which is missing and would be read as 0; copy it into the scan's folder")


def test_a_source_without_the_samples(tmp_path):
    write(tmp_path / "part.h5", "image")
    refused(virtual(tmp_path / "a.h5", "part.h5"), "part.h5 .`kspace`., which is missing")
    (tmp_path / "part.h5").write_text("nothing")
    refused(virtual(tmp_path / "b.h5", "part.h5"), "part.h5 .`kspace`., which is missing")


def test_a_scan_put_together_from_itself(tmp_path):
    path = virtual(tmp_path / "a.h5", ".", ".", name="raw")
    refused(path, "which is missing")
    assert torch.equal(read_scan(write(path, "raw")).kspace, torch.from_numpy(KSPACE))


def linked(path: Path, link, name: str = "kspace") -> Path:
    with h5py.File(path, "w") as file:
        file[name] = link
    return path


def test_nothing_outside_of_the_folder_is_read(tmp_path):
    away = write(tmp_path / "away" / "other.h5")
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "scan.h5"
    for other in (away, "../away/other.h5"):
        refused(virtual(path, other, other), "outside of the scan's folder, and is not followed there")
        refused(linked(path, h5py.ExternalLink(str(other), "/kspace")), "outside of the scan's folder")
    inner = linked(tmp_path / "here" / "inner.h5", h5py.ExternalLink(str(away), "/kspace"))  # one file further
    refused(linked(path, h5py.ExternalLink("inner.h5", "/kspace")), "outside of the scan's folder")
    refused(virtual(path, inner.name, inner.name), "outside of the scan's folder")
    with h5py.File(path, "w") as file:  # by another name of its own
        file["there"], file["kspace"] = h5py.ExternalLink(str(away), "/"), h5py.SoftLink("there/kspace")
    refused(path, "outside of the scan's folder")
    for name in ("mask", "noise", "sens_maps", "ismrmrd_header"):
        with h5py.File(write(path.with_name(f"{name}.h5")), "a") as file:
            file[name] = h5py.ExternalLink(str(away), "/kspace")
        refused(path.with_name(f"{name}.h5"), f"`{name}` lies in .*outside of the scan's folder")
    refused(linked(path, h5py.ExternalLink(str(away), "/"), "dataset"), r"found: dataset \(a link to .*other.h5\)")


def test_links_within_the_file_and_the_folder(tmp_path):
    beside = write(tmp_path / "beside.h5", "deep/raw")
    path = linked(tmp_path / "a.h5", h5py.ExternalLink("beside.h5", "/deep/raw"))
    assert torch.equal(read_scan(path).kspace, torch.from_numpy(KSPACE))
    assert read_scan(path).notes == (f"parts of it lie in {beside.name} beside it",)
    path = linked(tmp_path / "b.h5", h5py.SoftLink("/deep/raw"))
    assert torch.equal(read_scan(write(path, "deep/raw")).kspace, torch.from_numpy(KSPACE))
    assert read_scan(path).notes == ()


@pytest.mark.parametrize("target", ["kspace", "/kspace", "nowhere"])
def test_links_that_lead_nowhere(target, tmp_path):
    refused(linked(tmp_path / "a.h5", h5py.SoftLink(target)), "holds no `kspace` dataset|too many links")
    refused(linked(tmp_path / "b.h5", h5py.ExternalLink("b.h5", "/kspace")), "points from file to file without an end")


def test_samples_stored_outside_are_not_opened(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(KSPACE.nbytes))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", KSPACE.shape, np.complex64, external=[(str(secret), 0, KSPACE.nbytes)])
    refused(tmp_path / "a.h5", "the samples of `kspace` are in another file .*secret.*, which is not opened")


def packed(path: Path, code: int, name: str = "kspace") -> Path:
    """With a filter that nobody here has: the bytes are anything."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk(KSPACE.shape)
    made.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
    kind, space = h5py.h5t.py_create(np.dtype(np.complex64), logical=True), h5py.h5s.create_simple(KSPACE.shape)
    with h5py.File(path, "a") as file:
        stored = h5py.h5d.create(file.id, name.encode(), kind, space, made)
        stored.write_direct_chunk((0, 0, 0, 0), KSPACE.tobytes(), 0)
    return path


@pytest.mark.parametrize(
    ("code", "title"), [(32015, "Zstandard"), (32008, "bitshuffle"), (307, "bzip2"), (444, "a name unknown here")]
)
def test_a_filter_that_is_not_installed(code, title, tmp_path):
    path = packed(tmp_path / "a.h5", code)
    refused(path, rf"filter {code} \({title}\), which is not installed; pip install hdf5plugin, or store .* with gzip")
    refused(virtual(tmp_path / "b.h5", "a.h5", "a.h5"), f"filter {code}")
    refused(packed(write(tmp_path / "c.h5"), code, "sens_maps"), f"`sens_maps` is compressed by HDF5 filter {code}")


def test_the_plugins_are_asked_once_they_are_needed(tmp_path, monkeypatch):
    """What hdf5plugin does on import, h5py's ``filter_avail`` then knows."""
    asked = []
    plugin = types.ModuleType("hdf5plugin")
    monkeypatch.setitem(sys.modules, "hdf5plugin", plugin)
    monkeypatch.setattr("mri_ambient.data_prep.readers.sources.import_module", lambda name: asked.append(name))
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32015 or bool(asked))
    path = packed(tmp_path / "a.h5", 32015)
    with pytest.raises(UserError, match="is truncated or damaged"):  # HDF5 itself still lacks it
        read_scan(path)
    assert asked == ["hdf5plugin"]


def test_filters_that_everybody_has(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", data=KSPACE, compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("sens_maps", data=KSPACE, compression="lzf")
    assert torch.equal(read_scan(tmp_path / "a.h5").kspace, torch.from_numpy(KSPACE))


def text_array(text: str) -> np.ndarray:
    return np.array([ord(character) for character in text], np.uint16)


SAME = {
    "text": "Subject07",
    "fixed length": np.bytes_("Subject07"),
    "padded": np.array(b"Subject07", "S20"),
    "padded by blanks": "Subject07   \n",
    "array of one": np.array([b"Subject07"]),
    "array of text": np.array(["Subject07"], h5py.string_dtype()),
    "nested array": np.array([["Subject07"]], h5py.string_dtype()),
    "characters": np.array(list(b"Subject07"), "u1"),
    "MATLAB's characters": text_array("Subject07"),
    "letters": np.array([character.encode() for character in "Subject07"]),
    "capitals": "SUBJECT07",
}
NOBODY = {
    "empty": "",
    "blanks": " \t",
    "null": h5py.Empty("S1"),
    "no characters": np.array([], "S1"),
    "signs": "***",
    "unknown": "Unknown",
    "anonymised": np.bytes_("ANONYMIZED"),
    "not available": "N/A",
    "not a number": np.float64("nan"),
    "crossed out": "XXXXXX",
}


def subject_of(path: Path, value: object) -> str | None:
    with h5py.File(path, "w") as file:
        file["kspace"] = KSPACE
        file.attrs["patient_id"] = value
    return read_scan(path).subject


@pytest.mark.parametrize("kind", SAME)
def test_one_person_has_one_pseudonym(kind, tmp_path):
    assert subject_of(tmp_path / "a.h5", SAME[kind]) == pseudonym("Subject07")


@pytest.mark.parametrize("kind", NOBODY)
def test_nobody_has_none(kind, tmp_path):
    assert subject_of(tmp_path / "a.h5", NOBODY[kind]) is None


def test_numbers_are_one_however_they_are_stored(tmp_path):
    kinds = ["0012", "12", b"12", 12, np.int16(12), np.float64(12), np.array([12]), np.array([[12.0]]), "12.0"]
    assert {subject_of(tmp_path / "a.h5", kind) for kind in kinds} == {pseudonym("12")}


def test_different_people_stay_different(tmp_path):
    people = ["Subject07", "Subject7", "Subject08", "unknown7", "12", "120", "1.2", "0", "Søren", "Soren"]
    assert len({subject_of(tmp_path / "a.h5", person) for person in people} - {None}) == len(people)


def test_a_person_by_the_header_of_an_array(tmp_path):
    header = (
        "<ismrmrdHeader><subjectInformation><patientID> subject07 </patientID></subjectInformation><encoding>"
        "<encodedSpace><matrixSize><x>32</x><y>24</y><z>1</z></matrixSize></encodedSpace></encoding></ismrmrdHeader>"
    )
    for name, value in {"none": None, "unknown": "unknown", "own": "subject08"}.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["kspace"], file["ismrmrd_header"] = KSPACE, header
            if value:
                file.attrs["patient_id"] = value
        expected = "subject08" if name == "own" else "subject07"
        assert read_scan(tmp_path / f"{name}.h5").subject == pseudonym(expected)


@pytest.mark.parametrize(
    ("value", "simulated"), [([1, 0], True), (np.array([0]), False), ("False", False), ("True", True)]
)
def test_a_scan_that_says_it_is_simulated(value, simulated, tmp_path):
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        file.attrs["simulated"] = value
    assert read_scan(tmp_path / "a.h5").simulated is simulated


def test_text_in_place_of_an_array(tmp_path):
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        file["noise"] = "none"
    refused(tmp_path / "a.h5", "`noise` is ")
