import os
import pickle
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from mri_ambient.data_prep.simulation.anatomy import FIELD_OF_VIEW
from mri_ambient.data_prep.simulation.anatomy_files import (
    Patient,
    _interpolation,
    _owner,
    read_patients,
    select_contrasts,
)
from mri_ambient.errors import UserError

REAL = Path(os.environ.get("MRI_AMBIENT_REAL_DATA", "absent")) / "images"


def identities(patients: list[Patient]) -> list[str]:
    return [patient.identity for patient in patients]


def save_nifti(path: Path, volume: np.ndarray, sizes=(1.0, 1.0, 1.0), axes: str = "RAS") -> Path:
    """``volume`` [right, front, up], stored with its axes going to ``axes``."""
    image = nibabel.Nifti1Image(volume, np.diag([*sizes, 1.0]))
    target = nibabel.orientations.axcodes2ornt(tuple(axes))
    nibabel.save(image.as_reoriented(nibabel.orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], target)), path)
    return path


def save_png(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(image.astype(np.uint8)).save(path)
    return path


def ramp(value: int = 200, shape: tuple[int, int] = (24, 24)) -> np.ndarray:
    return np.linspace(1, value, shape[0] * shape[1]).reshape(shape)


# NIfTI


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR", "AIL"])
def test_a_volume_is_placed_at_true_size_whatever_its_axes(tmp_path, axes):
    """A bright blob in a faint box with its middle at the field of view's: 30 mm to the right, 50 to the front, 24 up."""
    sizes = np.array([1.5, 2.0, 4.0])
    position = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip((101, 91, 25), sizes, strict=True)]
    grid = np.meshgrid(*position, indexing="ij")
    volume = 0.3 + np.exp(-sum((g - c) ** 2 for g, c in zip(grid, (30, 50, 24), strict=True)) / 2 / 6**2)
    path = save_nifti(tmp_path / "a.nii.gz", volume.astype(np.float32), sizes, axes)
    (patient,) = read_patients(path)
    subject = patient.series["a"](115, 25)
    assert subject.pixel == 2
    assert subject.image.shape == (25, 115, 115)
    assert subject.heights == pytest.approx(position[2])
    s, y, x = np.unravel_index(subject.image.argmax(), subject.image.shape)
    millimetres = (np.arange(115) + 0.5) * 2 - FIELD_OF_VIEW / 2
    assert subject.heights[s] == 24
    assert millimetres[y] == pytest.approx(-50, abs=1)  # the front is at the top
    assert millimetres[x] == pytest.approx(-30, abs=1)  # the right is on the left
    inside = subject.image[0] > 0.1
    assert inside.any(0).sum() * 2 == pytest.approx(101 * 1.5, abs=4)
    assert inside.any(1).sum() * 2 == pytest.approx(91 * 2, abs=4)


def test_slices_are_evenly_spaced_over_what_has_signal(tmp_path):
    volume = np.zeros((20, 20, 100), np.int16)
    volume[4:16, 4:16, 60:72] = 1000
    (patient,) = read_patients(save_nifti(tmp_path / "a.nii", volume))
    subject = patient.series["a"](32, 4)
    assert subject.image.max((1, 2)) == pytest.approx(1)
    assert subject.heights == pytest.approx([-4.5, -1.5, 1.5, 4.5], abs=0.51)
    assert len(patient.series["a"](32, 40).image) == 12
    assert len(patient.series["a"](32, 1).image) == 1


def test_a_whole_head_is_covered_from_the_vertex_not_to_the_neck(tmp_path):
    volume = np.ones((10, 10, 120), np.float32)
    (patient,) = read_patients(save_nifti(tmp_path / "a.nii", volume, (2, 2, 2)))
    heights = patient.series["a"](32, 200).heights
    assert np.ptp(heights) == 140
    assert heights.sum() == pytest.approx(0)


def test_what_is_no_number_is_outside(tmp_path):
    volume = np.ones((20, 20, 10), np.float32)
    volume[:5] = np.nan
    (patient,) = read_patients(save_nifti(tmp_path / "a.nii", volume))
    assert np.isfinite(patient.series["a"](32, 3).image).all()


def test_a_folder_of_volumes_is_a_patient_a_file(tmp_path):
    for name in ("IXI012-HH-1211-T1_ds.nii.gz", "IXI013.x.nii", "._IXI013.x.nii"):
        save_nifti(tmp_path / name, np.ones((8, 8, 4), np.uint8))
    assert identities(read_patients(tmp_path)) == ["IXI012-HH-1211-T1_ds", "IXI013.x"]


def test_a_trailing_axis_of_one_is_no_fourth_dimension(tmp_path):
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 4, 1), np.uint8), np.eye(4)), path)
    (patient,) = read_patients(path)
    assert patient.series["a"](32, 2).image.shape == (2, 32, 32)


# npz


def test_labels_tell_patient_and_series(tmp_path):
    labels = [
        "ms/p1/s1_T1/0",
        "ms/p1/s1_T1/1",
        "ms/p1/s2_FLAIR/0",
        "ms/p2/s1_T1/0",
        "cheng/4558",
        "cheng/4559",
        "cheng/4560",
    ]
    np.savez(tmp_path / "a.npz", images=np.stack([ramp(50 + i) for i in range(7)]), labels=labels)
    patients = read_patients(tmp_path / "a.npz")
    assert {p.identity: list(p.series) for p in patients} == {
        "ms/p1": ["s1_T1", "s2_FLAIR"],
        "ms/p2": ["s1_T1"],
        "cheng/block_0227": ["cheng"],
        "cheng/block_0228": ["cheng"],
    }
    assert len(patients[0].series["s1_T1"](32, 9).image) == 2
    flair = select_contrasts(patients, ["flair"], tmp_path)
    assert [(p.identity, names) for p, names in flair] == [("ms/p1", ["s2_FLAIR"])]
    assert len(select_contrasts(patients, [], tmp_path)) == 4
    with pytest.raises(UserError, match="no series is called T2; .* s1_T1, s2_FLAIR, cheng"):
        select_contrasts(patients, ["T2"], tmp_path)


@pytest.mark.parametrize(
    ("label", "owner"),
    [
        ("a/b/c/d/5", ("a/b", "c_d")),
        ("a/b/5", ("a/b", "a")),
        ("cheng/2_0710", ("cheng/2_block_0035", "cheng")),
        ("cheng/unknown", ("cheng/unknown", "cheng")),
        ("p01", ("p01", "file")),
    ],
)
def test_owner_of_a_label(label, owner):
    assert _owner(label, "file") == owner


def test_subjects_override_labels_and_are_enough_alone(tmp_path):
    images = np.stack([ramp()] * 3)
    np.savez(tmp_path / "a.npz", images=images, labels=["x/1", "x/2", "x/3"], subjects=["p", "q", "p"])
    np.savez(tmp_path / "b.npz", images=images, subjects=[7, 7, 8])
    assert identities(read_patients(tmp_path / "a.npz")) == ["p", "q"]
    assert [(p.identity, list(p.series)) for p in read_patients(tmp_path / "b.npz")] == [("7", ["b"]), ("8", ["b"])]


def test_an_image_of_the_matrix_is_kept_and_a_large_one_is_averaged(tmp_path):
    image = np.random.default_rng(0).uniform(1, 2, (64, 64))
    np.savez(tmp_path / "a.npz", images=image[None], subjects=["p"])
    read = read_patients(tmp_path / "a.npz")[0].series["a"]
    same, half = read(64, 1).image[0], read(32, 1).image[0]
    assert same / same.max() == pytest.approx(image / image.max(), rel=1e-5)
    blocks = image.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.corrcoef(half[1:-1, 1:-1].ravel(), blocks[1:-1, 1:-1].ravel())[0, 1] > 0.85


@pytest.mark.parametrize("step", [0.3, 1.0, 1.7, 4.0])
def test_interpolation_keeps_constants_and_lines(step):
    points = 20 + step * np.arange(8)
    weights = _interpolation(points, 80)
    assert weights.sum(1) == pytest.approx(1)
    assert weights @ np.arange(80) == pytest.approx(points, abs=0.1)
    assert not _interpolation(points + 1000, 80).any()


# folders of images


def test_names_and_folders_tell_the_patient(tmp_path):
    for name in ("p01_010.png", "p01_9.png", "p02-1.png", "7.png", "8.png", "s1/a.png", "s1/T2/x1.png", "s1/T2/x2.png"):
        save_png(tmp_path / "all" / name, ramp())
    patients = {p.identity: list(p.series) for p in read_patients(tmp_path / "all")}
    assert patients == {"7": ["all"], "8": ["all"], "p01": ["all"], "p02": ["all"], "s1": ["T2", "all"]}


def test_images_of_all_kinds_and_sizes_fill_the_field_of_view(tmp_path):
    images = [ramp(200, shape) for shape in ((40, 40), (40, 20), (30, 60))]
    save_png(tmp_path / "p_1.png", images[0])
    save_png(tmp_path / "p_2.tif", images[1])
    save_png(tmp_path / "p_3.bmp", np.stack([images[2]] * 3, -1))
    (patient,) = read_patients(tmp_path)
    image = patient.series[tmp_path.name](40, 5).image
    assert image.shape == (3, 40, 40)
    assert image.max() < 1.1
    assert image[1, :, :9].max() == 0  # padded to a square, the image in the middle
    assert image[1, 20, 10:30].min() > 0
    assert image[2, :9].max() == 0
    assert image[2, 10:30, 20].min() > 0


def test_images_come_in_the_order_of_their_numbers(tmp_path):
    for i in (1, 2, 10):
        save_png(tmp_path / f"p_{i}.png", np.full((32, 32), 10 * i))
    image = read_patients(tmp_path)[0].series[tmp_path.name](32, 3).image
    assert np.all(np.diff(image.mean((1, 2))) > 0)


# what can't be used


def damaged(path: Path) -> Path:
    whole = save_nifti(path, np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype(np.int16))
    whole.write_bytes(whole.read_bytes()[:2000])
    return whole


def four_dimensional(path: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 4, 2), np.uint8), np.eye(4)), path)
    return path


def flat(path: Path) -> Path:
    content = bytearray(save_nifti(path, np.ones((8, 8, 4), np.uint8)).read_bytes())
    content[312:328] = bytes(16)  # srow_z: the affine's third row
    return written(path, bytes(content))


def written(path: Path, content: bytes = b"nothing of the kind") -> Path:
    path.write_bytes(content)
    return path


def saved(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def npy(path: Path) -> Path:
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    return path


IMAGES_3 = np.ones((3, 8, 8))
BAD = {
    "missing": (lambda f: f / "absent", "doesn't exist; give"),
    "another kind": (lambda f: written(f / "a.dcm"), "neither NIfTI nor npz; give"),
    "empty folder": (lambda f: f, "holds no volumes and no images; put"),
    "text as NIfTI": (lambda f: written(f / "a.nii"), "not a readable NIfTI volume; remove"),
    "text as gzip": (lambda f: written(f / "a.nii.gz"), "not a readable NIfTI volume; remove"),
    "cut gzip": (lambda f: damaged(f / "a.nii.gz"), "not a readable NIfTI volume; remove"),
    "cut NIfTI": (lambda f: damaged(f / "a.nii"), "not a readable NIfTI volume; remove"),
    "4-D": (lambda f: four_dimensional(f / "a.nii"), r"\(8, 8, 4, 2\), not one magnitude volume; save"),
    "voxels of no size": (lambda f: flat(f / "a.nii"), r"voxels of \(1.0, 1.0, 0.0\) mm; correct"),
    "complex": (
        lambda f: save_nifti(f / "a.nii", np.ones((8, 8, 4), np.complex64)),
        "complex values, not one .*; save",
    ),
    "blank volume": (lambda f: save_nifti(f / "a.nii", np.zeros((8, 8, 4), np.uint8)), "a.nii: is blank, .*; remove"),
    "text as npz": (lambda f: written(f / "a.npz"), "can't be read; store plain arrays"),
    "cut npz": (lambda f: written(f / "a.npz", b"PK\x03\x04 and no more"), "can't be read; store plain arrays"),
    "npy as npz": (lambda f: npy(f / "a.npz"), "can't be read; store plain arrays"),
    "empty npz": (lambda f: written(f / "a.npz", b""), "can't be read; store plain arrays"),
    "no images": (lambda f: saved(f / "a.npz", labels=["a"]), "has no real array images"),
    "complex images": (
        lambda f: saved(f / "a.npz", images=1j * IMAGES_3, labels=["a"] * 3),
        "has no real array images",
    ),
    "one image": (lambda f: saved(f / "a.npz", images=np.ones((8, 8)), labels=["a"] * 8), "has no real array images"),
    "no labels": (lambda f: saved(f / "a.npz", images=IMAGES_3), "doesn't say whose the images are; add"),
    "few labels": (
        lambda f: saved(f / "a.npz", images=IMAGES_3, labels=["a"]),
        "labels is not a list of 3 texts; store",
    ),
    "real labels": (
        lambda f: saved(f / "a.npz", images=IMAGES_3, subjects=[0.5] * 3),
        "subjects is not a list .*; store",
    ),
    "blank image": (
        lambda f: saved(f / "a.npz", images=0 * IMAGES_3, labels=["a/b/1"] * 3),
        "a/b/1: is blank, .*; remove",
    ),
    "text as png": (lambda f: written(f / "p_1.png").parent, "p_1.png: is not a readable image; remove"),
    "text as tif": (lambda f: written(f / "p_1.tif").parent, "p_1.tif: is not a readable image; remove"),
    "blank png": (lambda f: save_png(f / "p_1.png", np.zeros((8, 8))).parent, "p_1.png: is blank, .*; remove"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_one_sentence(tmp_path, case):
    make, message = BAD[case]
    path = make(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        for patient in read_patients(path):
            for read in patient.series.values():
                read(32, 3)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))


def test_several_pages_are_refused(tmp_path):
    pages = [Image.fromarray(ramp().astype(np.uint8)) for _ in range(6)]
    pages[0].save(tmp_path / "p_1.tif", save_all=True, append_images=pages[1:])
    (patient,) = read_patients(tmp_path)
    with pytest.raises(UserError, match="p_1.tif: holds several images; save"):
        patient.series[tmp_path.name](32, 1)


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path(os.environ["TRAP"]),))


@pytest.mark.parametrize("name", ["images", "labels", "subjects"])
def test_nothing_is_unpickled(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    arrays = {"images": IMAGES_3, "labels": ["a"] * 3} | {name: np.array([Trap(), 0, 0], object)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match="no Python objects"):
        read_patients(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="no Python objects"):
        read_patients(tmp_path / "b.npz")
    assert not (tmp_path / "sprung").exists()


# real images


def plausible(image: np.ndarray) -> bool:
    """Every slice has a head in the middle, brighter than the corners."""
    n = image.shape[-1]
    middle, corner = image[:, n // 3 : -n // 3, n // 3 : -n // 3], image[:, : n // 16, : n // 16]
    return bool(np.all(middle.mean((1, 2)) > 3 * corner.mean((1, 2))) and 0.8 < image.max() < 10)


@pytest.mark.real
@pytest.mark.skipif(
    not (REAL / "ixi_t1_2mm").is_dir(), reason="needs real volumes: MRI_AMBIENT_REAL_DATA/images/ixi_t1_2mm"
)
def test_ixi():
    patients = read_patients(REAL / "ixi_t1_2mm")
    assert len(patients) == 10
    for patient in patients:
        assert patient.identity.startswith("IXI")
        (read,) = patient.series.values()
        assert plausible(read(128, 8).image)


@pytest.mark.real
@pytest.mark.skipif(
    not (REAL / "mr_slices_256.npz").exists(),
    reason="needs real images: MRI_AMBIENT_REAL_DATA/images/mr_slices_256.npz",
)
def test_mr_slices():
    patients = read_patients(REAL / "mr_slices_256.npz")
    named = [patient for patient in patients if patient.identity.startswith("open_ms/")]
    assert len(named) == 7
    for patient in named:
        for read in patient.series.values():
            assert plausible(read(64, 3).image)
    assert len({patient.identity for patient in patients}) == len(patients) > 200
