"""HDF5 with ``kspace``: fastMRI multi-coil files (train, validation and test layouts), or just the bare array.

Optional beside it: ``mask`` [x] or [y, x], ``noise`` [coil, n], ``sens_maps`` like ``kspace``, ``ismrmrd_header``.
"""

from pathlib import Path

import h5py
import numpy as np

from data_prep.readers.checks import make_scan
from data_prep.readers.header import pseudonym, read_header
from data_prep.readers.layout import as_kspace
from data_prep.scan import Scan
from mri_ambient.errors import UserError


def read_hdf5(path: Path, file: h5py.File) -> Scan:
    """Raises UserError if there is no usable ``kspace``."""
    if is_ours(file):
        kind = str(file.attrs["format"]).rpartition(" ")[0]  # without the format's number
        raise UserError(f"{path}: is an {kind}, not a raw scan; give the scan that it was made from")
    stored = file.get("kspace")
    if not isinstance(stored, h5py.Dataset):
        raise UserError(f"{path}: holds no `kspace` dataset (found: {', '.join(file) or 'nothing'}); name it so")
    kspace, notes = as_kspace(path, stored[()])
    others = [name for name, data in file.items() if name != "kspace" and _is_kspace(data)]
    if others:
        notes += (f"`kspace` is read, not {', '.join(others)}",)
    xml = file.get("ismrmrd_header")
    header = read_header(path, xml[()], kspace.shape) if isinstance(xml, h5py.Dataset) else None
    return make_scan(
        path,
        "HDF5 with kspace and no header" if header is None else "fastMRI HDF5",
        kspace.swapaxes(-1, -2) if header is not None and header.swapped else kspace,
        header=header,
        subject=pseudonym(file.attrs.get("patient_id")),
        simulated=bool(file.attrs.get("simulated", False)),
        mask=_optional(file, "mask"),
        noise=_optional(file, "noise"),
        sens_maps=_optional(file, "sens_maps"),
        notes=notes,
    )


def _is_kspace(data: object) -> bool:
    return isinstance(data, h5py.Dataset) and data.ndim == 4 and data.dtype.kind == "c" and "maps" not in str(data.name)


def is_ours(file: h5py.File) -> bool:
    """A prepared volume or a reconstruction."""
    return str(file.attrs.get("format", "")).startswith("mri-ambient")


def _optional(file: h5py.File, key: str) -> np.ndarray | None:
    stored = file.get(key)
    return stored[()] if isinstance(stored, h5py.Dataset) else None
