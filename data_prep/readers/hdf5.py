"""HDF5 with ``kspace``: fastMRI multi-coil files (train, validation and test layouts), or just the bare array.

Optional beside it: ``mask`` [x] or [y, x], ``noise`` [coil, n], ``sens_maps`` like ``kspace``, ``ismrmrd_header``.
"""

from pathlib import Path

import h5py
import numpy as np

from mri_ambient.data_prep.readers.checks import Acquired, make_scan
from mri_ambient.data_prep.readers.format import Format
from mri_ambient.data_prep.readers.header import read_header, with_measured_lines
from mri_ambient.data_prep.readers.layout import as_kspace
from mri_ambient.data_prep.readers.sources import link_out, other_files, stored
from mri_ambient.data_prep.readers.subject import pseudonym
from mri_ambient.data_prep.readers.xml_header import header_text, read_xml
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError

IMAGES = ("reconstruction_rss", "reconstruction_esc")  # fastMRI's, [slice, y, x]
NOISELESS = "noiseless"  # beside `kspace` in a simulation's file: the same without its noise
NAMES = ("kspace", "mask", "noise", "sens_maps", "ismrmrd_header")


def read_hdf5(path: Path) -> Scan:
    """Raises UserError if there is no usable ``kspace``."""
    with h5py.File(path, "r") as file:
        return make_scan(_acquired(path, file))


def _acquired(path: Path, file: h5py.File) -> Acquired:
    if _is_ours(file):
        kind = str(file.attrs["format"]).rpartition(" ")[0]  # without the format's number
        raise UserError(f"{path}: is an {kind}, not a raw scan; give the scan that it was made from")
    kspace = stored(path, file, "kspace")
    if kspace is None:
        found = ", ".join(
            f"{name} (a link to {link[0]})" if (link := link_out(file, str(name))) else str(name) for name in file
        )
        raise UserError(f"{path}: holds no `kspace` dataset (found: {found or 'nothing'}); name it so")
    images = next((data for name in IMAGES if (data := stored(path, file, name)) is not None), None)
    samples, notes = as_kspace(path, kspace[()], None if images is None or images.ndim != 3 else len(images))
    simulated = _says_yes(file.attrs.get("simulated", False))
    known = {"kspace", NOISELESS} if simulated else {"kspace"}
    if unread := [name for name, data in file.items() if name not in known and _is_kspace(data)]:
        notes += (f"`kspace` is read, not {', '.join(unread)}",)
    beside = [other.name for name in NAMES for other in other_files(path, file, name)]
    if beside:
        notes += (f"parts of it lie in {', '.join(sorted(set(beside)))} beside it",)
    subject, header = file.attrs.get("patient_id"), None
    xml = stored(path, file, "ismrmrd_header")
    if xml is not None:
        told = read_xml(path, header_text(path, xml, "ismrmrd_header"), "its `ismrmrd_header`")
        header = read_header(path, told, samples.shape)
        samples = samples.swapaxes(-1, -2) if header.swapped else samples
        header = with_measured_lines(header, samples)
        subject = told.patient if pseudonym(subject) is None else subject
    return Acquired(
        source=path,
        format="HDF5 with kspace and no header" if header is None else "fastMRI HDF5",
        kspace=samples,
        mask=_optional(path, file, "mask"),
        header=header,
        noise=_optional(path, file, "noise"),
        sens_maps=_optional(path, file, "sens_maps"),
        subject=pseudonym(subject),
        notes=notes,
        simulated=simulated,
        noiseless=_optional(path, file, NOISELESS) if simulated else None,
    )


def source_files(path: Path) -> list[Path]:
    """``path``, and the files beside it that hold parts of this scan. Raises UserError if such can't be followed."""
    with h5py.File(path, "r") as file:
        return [path, *sorted({other for name in NAMES for other in other_files(path, file, name)})]


def _is_kspace(data: object) -> bool:
    return isinstance(data, h5py.Dataset) and data.ndim == 4 and data.dtype.kind == "c" and "maps" not in str(data.name)


def is_ours(path: Path) -> bool:
    """A prepared volume or a reconstruction. Raises OSError if it is no HDF5."""
    with h5py.File(path, "r") as file:
        return _is_ours(file)


def _is_ours(file: h5py.File) -> bool:
    return str(file.attrs.get("format", "")).startswith("mri-ambient")


def _says_yes(value: object) -> bool:
    if isinstance(value, str | bytes):
        return value in ("true", "True", "yes", "1", b"true", b"True", b"yes", b"1")
    return bool(np.any(np.asarray(value)))


def _optional(path: Path, file: h5py.File, key: str) -> np.ndarray | None:
    found = stored(path, file, key)
    return None if found is None else np.asarray(found[()])


HDF5 = Format(h5py.is_hdf5, read_hdf5, (".h5", ".hdf5"), files=source_files)
