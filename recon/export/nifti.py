"""NIfTI-1: spacing as far as it is known, orientation unknown and said to be."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np

from mri_ambient.files import atomic_write
from mri_ambient.recon.export.exporter import Exporter, Extras
from mri_ambient.recon.export.slices import spacing_mm
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.series import Series


def write_nifti(path: Path, result: ResultData, series: Sequence[Series], extras: Extras) -> None:
    """float32 [x, y, slice] or, of samples, [x, y, slice, k], in the units of the scan's k-space; ``path`` ends in .nii.gz.

    x runs to the right and y, as everywhere in NIfTI, upwards: viewers show the image as it is elsewhere in this package, and
    as dcm2niix would make it of the DICOM export. Where the patient lies is not known: qform and sform codes are 0. A slice
    is given 1 mm unless the scan's file told how far they are apart, a pixel too if its size is not known, then in unknown
    units; ``descrip`` says so.
    """
    (one,) = series
    data = one.images.transpose(3, 2, 1, 0)[:, ::-1]
    image = nibabel.Nifti1Image(np.ascontiguousarray(data[..., 0] if data.shape[-1] == 1 else data), None)
    pixel = result.pixel_mm
    height, width = pixel or (1.0, 1.0)
    header = image.header
    spacing = spacing_mm(result)
    header.set_zooms((width, height, spacing or 1.0, 1.0)[: image.ndim])
    header.set_xyzt_units("mm" if pixel else "unknown")
    header["cal_min"], header["cal_max"] = 0, one.window
    unknown = "orientation" + ("" if pixel and spacing else ", slice spacing" if pixel else ", spacing")
    header["descrip"] = f"{result.about.method} R={result.about.accel:.2f}; {unknown} unknown; research".encode()[:80]
    with atomic_write(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


NIFTI = Exporter(write_nifti, (".nii.gz",), "file a series", samples_together=True)
