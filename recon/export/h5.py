"""HDF5 as fastMRI lays reconstructions out, for its evaluation and its viewers."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from mri_ambient.files import atomic_write
from mri_ambient.recon.export.exporter import Exporter, Extras
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.series import Series


def write_fastmri(path: Path, result: ResultData, series: Sequence[Series], extras: Extras) -> None:
    """``reconstruction`` float32 [slice, y, x] of one volume, attributes ``max`` and ``norm`` of it, and what it is."""
    (one,) = series
    (volume,) = one.images
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = "mri-ambient export 1"  # by which `prep` knows that it is no raw scan
        file["reconstruction"] = volume
        file.attrs["max"] = volume.max()
        file.attrs["norm"] = np.linalg.norm(volume)
        file.attrs["description"] = one.title
        file.attrs["magnitude"] = result.about.magnitude  # mvue or rss
        file.attrs["acceleration"] = result.about.accel


H5 = Exporter(write_fastmri, (".h5",), "file a series")
