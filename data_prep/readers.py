"""HDF5 in: fastMRI multi-coil files (train, validation and test layouts) and files that hold only ``kspace``."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from data_prep.scan import Scan
from mri_ambient.errors import UserError
from mri_ambient.store import dataset


def read_scan(path: Path) -> Scan:
    """Read and check a scan. Raises UserError in one sentence if the file is not usable."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of an HDF5 scan")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path}: is not an HDF5 file; give a fastMRI-style .h5 with a `kspace` dataset")
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: is truncated or damaged ({error}); copy or download it again") from error


def _read(path: Path, file: h5py.File) -> Scan:
    dataset = file.get("kspace")
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(f"{path}: holds no `kspace` dataset (found: {', '.join(file) or 'nothing'}); name it so")
    if dataset.ndim != 4:
        raise UserError(
            f"{path}: `kspace` has {dataset.ndim} dimensions {dataset.shape}; store it as (slice, coil, y, x)"
        )
    if dataset.dtype.kind != "c":
        raise UserError(f"{path}: `kspace` is {dataset.dtype}, not complex; store complex64 raw data")
    if 0 in dataset.shape:
        raise UserError(f"{path}: `kspace` is empty, shape {dataset.shape}; export the scan again")
    kspace = torch.from_numpy(dataset[:].astype(np.complex64))
    if not torch.isfinite(torch.view_as_real(kspace)).all():
        raise UserError(f"{path}: `kspace` has NaN or infinite entries; export the scan again without them")
    measured = kspace.abs().amax((0, 1)) > 0
    if not measured.any():
        raise UserError(f"{path}: `kspace` is zero everywhere; export the scan again")

    header = _read_header(path, file)
    acquired = torch.zeros(measured.shape[-1], dtype=torch.bool)
    first, last = header.get("limits", (0, len(acquired) - 1))
    acquired[first : last + 1] = True
    mask = _read_mask(path, file, measured) & acquired
    return Scan(
        path=path,
        kspace=kspace,
        mask=mask,
        acquired=_without_padding(acquired, mask),
        recon_rows=header.get("rows"),
        field_of_view=header.get("fov"),
        simulated=bool(file.attrs.get("simulated", False)),
    )


def _read_mask(path: Path, file: h5py.File, measured: Bool[Tensor, "y x"]) -> Bool[Tensor, "#y x"]:
    """The file's own ``mask`` if it has one, else where k-space is not exactly zero.

    One row if whole lines are measured; a stray zero (of integer data) does not make a measured line unmeasured.
    """
    if isinstance(stored := file.get("mask"), h5py.Dataset):
        mask = torch.from_numpy(np.atleast_2d(stored[()]).astype(bool))
        if mask.shape[-1] != measured.shape[-1] or mask.shape[0] not in (1, measured.shape[0]):
            raise UserError(
                f"{path}: `mask` has shape {stored.shape}, which does not fit k-space of {tuple(measured.shape)}; "
                "store one entry a column, or one a sample"
            )
        if not (mask & measured).any():
            raise UserError(f"{path}: `mask` keeps no measured sample; check which axis it describes")
        return mask
    lines = measured.any(0)
    return lines[None] if bool((measured[:, lines].float().mean(0) > 0.9).all()) else measured


def _without_padding(acquired: Bool[Tensor, " x"], mask: Bool[Tensor, "#y x"]) -> Bool[Tensor, " x"]:
    """Zero columns at the edges of an otherwise complete k-space are padding, not something left unmeasured."""
    lines = mask.any(0).nonzero()
    inside = torch.zeros_like(acquired)
    inside[int(lines.min()) : int(lines.max()) + 1] = True
    return acquired & inside if bool(mask[:, inside].all()) else acquired


def _read_header(path: Path, file: h5py.File) -> dict[str, Any]:
    """rows, limits and fov of an ISMRMRD header, each only if it agrees with the array."""
    stored = file.get("ismrmrd_header")
    if not isinstance(stored, h5py.Dataset):
        return {}
    from xml.etree import ElementTree

    from fastmri.data.mri_data import et_query

    try:
        root = ElementTree.fromstring(stored[()])
        number = lambda *names: float(et_query(root, names))  # noqa: E731
        rows, columns = dataset(file, "kspace").shape[-2:]
        encoded = ("encoding", "encodedSpace")
        recon_rows = int(number("encoding", "reconSpace", "matrixSize", "x"))
        centre = int(number("encoding", "encodingLimits", "kspace_encoding_step_1", "center"))
        last = int(number("encoding", "encodingLimits", "kspace_encoding_step_1", "maximum"))
        readout_fov = number(*encoded, "fieldOfView_mm", "x")
        phase_fov = number(*encoded, "fieldOfView_mm", "y")
    except (ElementTree.ParseError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path}: `ismrmrd_header` can't be read ({error}); repair it, or remove it to use the array alone"
        ) from error
    header: dict[str, Any] = {"fov": (readout_fov, phase_fov)}
    if recon_rows < rows:  # wider than k-space: the header is of another array (fastMRI brain FLAIR-203)
        header["rows"] = recon_rows
        header["fov"] = (readout_fov * recon_rows / rows, phase_fov)
    first = columns // 2 - centre
    if first >= 0 and first + last < columns:
        header["limits"] = (first, first + last)
    return header
