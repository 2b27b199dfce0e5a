"""HDF5 as fastMRI lays reconstructions out, for its evaluation and its viewers."""

from pathlib import Path

import h5py
import numpy as np

from mri_ambient.files import atomic_write
from mri_ambient.recon.show.recon_file import Study
from mri_ambient.recon.show.series import Series


def write_fastmri(path: Path, study: Study, series: Series) -> None:
    """``reconstruction`` float32 [slice, y, x] of one volume, attributes ``max`` and ``norm`` of it, and what it is."""
    (volume,) = series.images.numpy()
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = "mri-ambient export 1"  # by which `prep` knows that it is no raw scan
        file["reconstruction"] = volume
        file.attrs["max"] = volume.max()
        file.attrs["norm"] = np.linalg.norm(volume)
        file.attrs["description"] = series.title
        file.attrs["magnitude"] = study.about.magnitude  # mvue or rss
        file.attrs["acceleration"] = study.about.accel
