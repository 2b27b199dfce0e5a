"""Anatomy from files: NIfTI volumes, an npz or folders of magnitude images, each series with whose it is.

They have been through a scanner's reconstruction: what they give is anatomy; coils, phase and noise are simulated.
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from mri_ambient.data_prep.simulation.anatomy import FIELD_OF_VIEW, SLICE_SPAN, Subject
from mri_ambient.errors import UserError

NIFTI = (".nii", ".nii.gz")
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
COVERAGE = 140.0  # mm below the vertex: an axial brain scan's stack, where a whole-head volume goes on to the neck
BLOCK = 20  # consecutive images of unknown patients that count as one patient's

Plane = Real[np.ndarray, "y x"]


@dataclass(frozen=True)
class Patient:
    """Whose images: all that has one ``identity`` belongs on one side of a split.

    series: contrast -> a function of (matrix, slices) that reads at most so many evenly spaced slices. It can be pickled,
    and raises UserError if a file can't be read.
    """

    identity: str
    series: dict[str, Callable[[int, int], Subject]]


def read_patients(path: Path) -> list[Patient]:
    """The patients of a NIfTI file, a folder of them, an npz, or a folder of images; volumes and images are read later.

    - A NIfTI file is a patient and its one series, named as the file. Axial slices at true size, front at the top and the
      patient's right on the left, evenly spaced over what has signal, at most COVERAGE from the top.
    - An npz has ``images`` [n, y, x], and ``labels`` [n] of paths or ``subjects`` [n], which then say whose an image is. Of
      the label ``a/b/c/5``, ``a/b`` is the patient and ``c`` the series. Of ``a/57`` the patient is unknown, and neighbours
      are often one patient's: BLOCK consecutive numbers count as one. (A patient at a block's end may still be in two.)
    - In a folder of images a subfolder is a patient, folders in it are series. An image beside them belongs to the patient
      that its name tells without the last number (p01_003.png: p01), or else to one of its own.

    An image is assumed to fill FIELD_OF_VIEW with its longer side, a series to span the template's slices; rows and columns
    stay as they are. Each series is scaled to about [0, 1]; its air keeps its noise.

    Raises UserError if there is nothing that can be read so.
    """
    if path.is_dir():
        return _folder_patients(path)
    if not path.exists():
        raise UserError(f"{path}: doesn't exist; give a NIfTI volume, an npz, or a folder of volumes or images")
    if path.name.lower().endswith(NIFTI):
        return [_nifti_patient(path)]
    if path.suffix.lower() == ".npz":
        return _npz_patients(path)
    raise UserError(f"{path}: is neither NIfTI nor npz; give a volume, an npz, or the folder of the volumes or images")


def select_contrasts(
    patients: Sequence[Patient], contrasts: Sequence[str], path: Path
) -> list[tuple[Patient, list[str]]]:
    """The patients with the names of their series that contain one of ``contrasts``, in any case; () keeps all series.

    Raises UserError, naming ``path``, if no name contains one of them.
    """
    there = list(dict.fromkeys(name for patient in patients for name in patient.series))
    for word in contrasts:
        if not any(_contains(name, word) for name in there):
            shown = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
            raise UserError(f"{path}: no series is called {word}; choose --contrasts from its series: {shown}")
    kept = [
        [name for name in patient.series if any(_contains(name, word) for word in contrasts or ("",))]
        for patient in patients
    ]
    return [(patient, names) for patient, names in zip(patients, kept, strict=True) if names]


def _contains(name: str, word: str) -> bool:
    return word.lower() in name.lower()


def _folder_patients(folder: Path) -> list[Patient]:
    files = sorted((p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")), key=_natural)
    volumes = [path for path in files if path.parent == folder and path.name.lower().endswith(NIFTI)]
    if volumes:
        return [_nifti_patient(path) for path in volumes]
    images = [path for path in files if path.suffix.lower() in IMAGES]
    if not images:
        kinds = ", ".join((*NIFTI, *IMAGES))
        raise UserError(f"{folder}: holds no volumes and no images; put files there that end in {kinds}")
    owners = []
    for path in images:
        *folders, _ = path.relative_to(folder).parts
        named = re.sub(r"[\s_.-]*\d+\D*$", "", path.stem) or path.stem
        owners.append((folders[0] if folders else named, "_".join(folders[1:]) or folder.name))
    return _image_patients([str(path) for path in images], images, owners)


def _natural(path: Path) -> list[str | int]:
    """Sorts 2 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", str(path)))]


def _npz_patients(path: Path) -> list[Patient]:
    images, labels, subjects = _npz_arrays(path)
    if labels is None and subjects is None:
        raise UserError(
            f"{path}: doesn't say whose the images are; add labels [n], such as patient/series/slice, or subjects [n]"
        )
    for name, array in (("labels", labels), ("subjects", subjects)):
        if array is not None and (array.shape != images.shape[:1] or array.dtype.kind not in "USiu"):
            raise UserError(f"{path}: {name} is not a list of {len(images)} texts; store one an image")
    names = [str(i) for i in range(len(images))] if labels is None else labels.astype(str).tolist()
    owners = [_owner(name, path.stem) for name in names]
    if subjects is not None:
        owners = [(subject, series) for subject, (_, series) in zip(subjects.astype(str).tolist(), owners, strict=True)]
    return _image_patients([f"{path}: image {name}" for name in names], list(images), owners)


def _npz_arrays(path: Path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = [file.get(name) for name in ("images", "labels", "subjects")]
    except (OSError, ValueError, EOFError, TypeError, zlib.error, zipfile.BadZipFile) as error:  # TypeError: one array
        raise UserError(f"{path}: can't be read; store plain arrays with numpy.savez, no Python objects") from error
    images, labels, subjects = arrays
    if images is None or images.ndim != 3 or not images.size or images.dtype.kind not in "buif":
        raise UserError(f"{path}: has no real array images [n, y, x]; store magnitude images under that name")
    return images, labels, subjects


def _owner(label: str, file: str) -> tuple[str, str]:
    """(patient, series) of a label; ``file`` names the series of a label without folders."""
    parts = label.strip("/").split("/")
    if len(parts) > 2:
        return "/".join(parts[:2]), "_".join(parts[2:-1]) or parts[0]
    number = re.search(r"(\d+)\D*$", label)
    if len(parts) < 2 or not number:
        return label, parts[0] if len(parts) > 1 else file
    return f"{label[: number.start()]}block_{int(number[1]) // BLOCK:04d}", parts[0]


def _image_patients(where: list[str], images: Sequence[Path | Plane], owners: list[tuple[str, str]]) -> list[Patient]:
    """One (patient, series) an image -> patients; the images keep their order. ``where`` names them in messages."""
    grouped: dict[str, dict[str, list[tuple[str, Path | Plane]]]] = {}
    for place, image, (identity, series) in zip(where, images, owners, strict=True):
        grouped.setdefault(identity, {}).setdefault(series, []).append((place, image))
    return [
        Patient(identity, {name: partial(_read_images, name, found) for name, found in series.items()})
        for identity, series in grouped.items()
    ]


def _read_images(contrast: str, images: list[tuple[str, Path | Plane]], matrix: int, slices: int) -> Subject:
    chosen = _evenly(len(images), slices)
    resized = []
    for where, image in (images[i] for i in chosen):
        plane = _signal(_read_grey(image) if isinstance(image, Path) else image, where)
        pixel = FIELD_OF_VIEW / max(plane.shape)
        resized.append(_resample(plane, (pixel, pixel), (np.array(plane.shape) - 1) / 2, matrix))
    low, high = SLICE_SPAN
    return _subject(np.stack(resized), contrast, low + (high - low) * (chosen + 0.5) / len(images))


def _read_grey(path: Path) -> Plane:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG", "TIFF", "BMP")) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise UserError(f"{path}: holds several images; save each slice as a file")
            deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
            return np.asarray(image if deep else image.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: is not a readable image; remove it or save it again") from error


def _nifti_patient(path: Path) -> Patient:
    name = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return Patient(name, {name: partial(_read_volume, name, path)})


def _read_volume(contrast: str, path: Path, matrix: int, slices: int) -> Subject:
    volume, (right, front, up) = _read_nifti(path)
    volume = _signal(volume, str(path))
    head = volume > 0.1 * _brightness(volume)
    low, high = _extent(head, 2)
    low = max(low, high - int(COVERAGE / up))
    chosen = low + _evenly(high - low + 1, slices)
    middle = np.array([sum(_extent(head[..., low : high + 1], axis)) / 2 for axis in (1, 0)])
    # turned to [slice, y, x]: y from front to back, x from the patient's right to left
    planes = volume[::-1, ::-1, chosen].T
    middle = np.array(planes.shape[1:]) - 1 - middle
    image = np.stack([_resample(plane, (front, right), middle, matrix) for plane in planes])
    return _subject(image, contrast, up * (chosen - (low + high) / 2))


def _read_nifti(path: Path) -> tuple[Float[np.ndarray, "right front up"], tuple[float, float, float]]:
    """A volume, its axes going to the patient's right, front and head, and the voxel's sizes along them in mm."""
    import nibabel
    from nibabel.affines import voxel_sizes
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        image = nibabel.Nifti1Image.from_filename(path)
        shape, kind = image.shape, np.dtype(image.get_data_dtype()).kind
        if len(shape) < 3 or any(n != 1 for n in shape[3:]) or kind not in "buif":
            held = "complex values" if kind == "c" else f"an array of {shape}" if kind in "buif" else "colours"
            raise UserError(f"{path}: holds {held}, not one magnitude volume; save one volume [x, y, z] of magnitudes")
        sizes = voxel_sizes(image.affine)
        if not (np.isfinite(sizes).all() and sizes.min() > 0):
            raise UserError(f"{path}: has voxels of {tuple(sizes.tolist())} mm; correct the header's affine")
        image = nibabel.as_closest_canonical(nibabel.squeeze_image(image))
        return np.asanyarray(image.dataobj, np.float32), tuple(voxel_sizes(image.affine).tolist())
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError, WrapStructError) as error:
        raise UserError(f"{path}: is not a readable NIfTI volume; remove it or copy it again") from error


def _signal(image: np.ndarray, where: str) -> Float[np.ndarray, "..."]:
    """Magnitudes as float32; what isn't a number is outside of the image."""
    image = np.nan_to_num(image.astype(np.float32), nan=0, posinf=0, neginf=0).clip(0)
    if not image.any():
        raise UserError(f"{where}: is blank, all its values are 0; remove it")
    return image


def _brightness(image: np.ndarray) -> float:
    return float(np.quantile(image[image > 0], 0.995))


def _extent(head: Bool[np.ndarray, "right front up"], axis: int) -> tuple[int, int]:
    """First and last index along ``axis`` where there is more than a few voxels of the head."""
    profile = head.sum(tuple({0, 1, 2} - {axis}))
    where = np.flatnonzero(profile > 0.1 * profile.max())
    return int(where[0]), int(where[-1])


def _evenly(available: int, wanted: int) -> Int[np.ndarray, " slice"]:
    count = min(available, wanted)
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def _resample(
    plane: Plane, pixel: tuple[float, float], middle: Float[np.ndarray, " 2"], matrix: int
) -> Float[np.ndarray, "{matrix} {matrix}"]:
    """``plane``, of ``pixel`` (y, x) in mm, on the grid of FIELD_OF_VIEW around its index ``middle``; 0 outside of it."""
    target = (np.arange(matrix) + 0.5 - matrix / 2) * FIELD_OF_VIEW / matrix
    rows, columns = (
        _interpolation(centre + target / size, n) for centre, size, n in zip(middle, pixel, plane.shape, strict=True)
    )
    return rows @ plane @ columns.T


def _interpolation(points: Float[np.ndarray, " m"], samples: int) -> Float[np.ndarray, "m {samples}"]:
    """Weights of ``samples`` values, at 0, 1, ..., in those at evenly spaced ``points``: linear, without aliasing."""
    reach = max(1.0, points[1] - points[0])
    lattice = np.arange(np.floor(points[0] - reach), points[-1] + reach + 1)
    weights = np.clip(1 - np.abs(points[:, None] - lattice) / reach, 0, None)
    weights /= weights.sum(1, keepdims=True)
    inside = (lattice >= 0) & (lattice < samples)
    full = np.zeros((len(points), samples))
    full[:, lattice[inside].astype(int)] = weights[:, inside]
    return full


def _subject(image: Float[np.ndarray, "slice y x"], contrast: str, heights: Float[np.ndarray, " slice"]) -> Subject:
    return Subject((image / _brightness(image)).astype(np.float32), contrast, FIELD_OF_VIEW / image.shape[-1], heights)
