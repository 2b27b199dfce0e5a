"""NIfTI-1: spacing as far as it is known, orientation unknown and said to be."""

import gzip
from pathlib import Path

import nibabel
import numpy as np

from mri_ambient.files import atomic_write
from mri_ambient.recon.export.slices import spacing_mm
from mri_ambient.recon.show.recon_file import Study
from mri_ambient.recon.show.series import Series


def write_nifti(path: Path, study: Study, series: Series) -> None:
    """float32 [x, y, slice] or, of samples, [x, y, slice, k], in the units of the scan's k-space; ``path`` ends in .nii.gz.

    x runs to the right and y, as everywhere in NIfTI, upwards: viewers show the image as it is elsewhere in this package, and
    as dcm2niix would make it of the DICOM export. Where the patient lies is not known: qform and sform codes are 0. A slice
    is given 1 mm unless the scan's file told how far they are apart, a pixel too if its size is not known, then in unknown
    units; ``descrip`` says so.
    """
    data = series.images.numpy().transpose(3, 2, 1, 0)[:, ::-1]
    image = nibabel.Nifti1Image(np.ascontiguousarray(data[..., 0] if data.shape[-1] == 1 else data), None)
    pixel = study.pixel_mm
    height, width = pixel or (1.0, 1.0)
    header = image.header
    spacing = spacing_mm(study)
    header.set_zooms((width, height, spacing or 1.0, 1.0)[: image.ndim])
    header.set_xyzt_units("mm" if pixel else "unknown")
    header["cal_min"], header["cal_max"] = 0, series.window
    unknown = "orientation" + ("" if pixel and spacing else ", slice spacing" if pixel else ", spacing")
    header["descrip"] = f"{study.about.method} R={study.about.accel:.2f}; {unknown} unknown; research".encode()[:80]
    with atomic_write(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
