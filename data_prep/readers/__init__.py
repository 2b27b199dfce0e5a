"""A file becomes a Scan. Which reader serves it is told from its content, never from its name."""

from pathlib import Path

import h5py

from data_prep.readers.hdf5 import read_hdf5
from data_prep.readers.mrd import mrd_groups, read_mrd
from data_prep.scan import Scan
from mri_ambient.errors import UserError


def read_scan(path: Path) -> Scan:
    """Read and check a scan. Raises UserError in one sentence if the file is not usable."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of an HDF5 scan")
    if not h5py.is_hdf5(path):
        raise UserError(
            f"{path}: is not an HDF5 file; give an ISMRMRD file, or a fastMRI-style .h5 with a `kspace` dataset"
        )
    try:
        with h5py.File(path, "r") as file:
            read = read_mrd if "kspace" not in file and mrd_groups(file) else read_hdf5
            return read(path, file)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: is truncated or damaged ({error}); copy or download it again") from error
