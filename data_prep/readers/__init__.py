"""A file becomes a Scan. Which reader serves it is told from its content, never from its name."""

from pathlib import Path

import h5py

from mri_ambient.data_prep.readers.bart_files import HEADER_START, RA_MAGIC, read_cfl, read_ra
from mri_ambient.data_prep.readers.hdf5 import is_ours, read_hdf5, source_files
from mri_ambient.data_prep.readers.mrd import mrd_groups, read_mrd
from mri_ambient.data_prep.readers.npy import MAGIC as NPY_MAGIC
from mri_ambient.data_prep.readers.npy import read_npy
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError

FORMATS = "fastMRI or ISMRMRD HDF5, HDF5 with `kspace`, BART cfl/hdr or ra, or npy"
ZIP = b"PK\x03\x04"
SCAN_SUFFIXES = {".h5", ".hdf5", ".mrd", ".hdr", ".ra", ".npy"}  # a file so named claims to be a scan


def read_scan(path: Path) -> Scan:
    """Read and check a scan. Raises UserError in one sentence if the file is not usable."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give one scan of it, or prepare them all with `mri-ambient prep`")
    path = _header_of(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a raw scan ({FORMATS})")
    try:
        start = _start(path)
        if start.startswith(HEADER_START):
            return read_cfl(path)
        if start.startswith(RA_MAGIC):
            return read_ra(path)
        if start.startswith(NPY_MAGIC):
            return read_npy(path)
        if start.startswith(ZIP):
            raise UserError(f"{path}: is an archive (.npz or .zip); save the one array of k-space with numpy.save")
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                read = read_mrd if "kspace" not in list(file) and mrd_groups(file) else read_hdf5
                return read(path, file)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path}: is truncated or damaged, or may not be read ({error}); copy or download it again"
        ) from error
    raise UserError(f"{path}: is not a scan in a known format; give {FORMATS}")


def scan_files(folder: Path) -> tuple[list[Path], int]:
    """The scans of a folder, known by their content or claiming to be one by their names, and how many files are none.

    What this package wrote, reconstructions beside their scans for one, is none.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    data = {path.with_suffix(".cfl") for path in files if path.suffix == ".hdr"}
    files = [path for path in files if path not in data]
    scans = [p for p in files if (p.suffix.lower() in SCAN_SUFFIXES or _is_known(p)) and not _is_ours(p)]
    return scans, len(files) - len(scans)


def files_of(path: Path) -> list[Path]:
    """The files that make up a scan: one, a BART header and its data, or HDF5 that takes data sets from its neighbours."""
    path = _header_of(path)
    data = path.with_suffix(".cfl")
    if path.suffix == ".hdr" and data.is_file():
        return [path, data]
    try:
        with h5py.File(path, "r") as file:
            return [path, *source_files(path, file)]
    except (OSError, RuntimeError, UserError):  # told when it is read
        return [path]


def _header_of(path: Path) -> Path:
    """BART's users name a scan by its .hdr, by its .cfl, or by neither."""
    header = path.with_suffix(".hdr") if path.suffix == ".cfl" else path.with_name(f"{path.name}.hdr")
    return header if header.is_file() and (path.suffix == ".cfl" or not path.exists()) else path


def _is_known(path: Path) -> bool:
    try:
        start = _start(path)
        return start.startswith((HEADER_START, RA_MAGIC, NPY_MAGIC)) or h5py.is_hdf5(path)
    except OSError:
        return False


def _is_ours(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return is_ours(file)
    except OSError:
        return False


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
