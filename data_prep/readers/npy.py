"""A NumPy file with the bare k-space array."""

from pathlib import Path

import numpy as np

from mri_ambient.data_prep.readers.checks import Acquired, make_scan
from mri_ambient.data_prep.readers.format import Format, starts_with
from mri_ambient.data_prep.readers.layout import as_kspace
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError


def read_npy(path: Path) -> Scan:
    """(slice, coil, y, x) complex, or what can be told to be that. Raises UserError; pickled objects are never loaded."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: can't be read as a NumPy array ({reason}); save it again with numpy.save") from error
    kspace, notes = as_kspace(path, array)
    return make_scan(Acquired(path, "NumPy", kspace, notes=notes))


NPY = Format(starts_with(b"\x93NUMPY"), read_npy, (".npy",))
