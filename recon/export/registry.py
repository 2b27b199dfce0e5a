"""The formats of other programs, by name: nothing heavy is imported."""

from typing import TYPE_CHECKING

from mri_ambient.registry import Registry

if TYPE_CHECKING:
    from mri_ambient.recon.export.exporter import Exporter

EXPORTERS: "Registry[Exporter]" = Registry(
    "format",
    {
        "nifti": "mri_ambient.recon.export.nifti:NIFTI",
        "dicom": "mri_ambient.recon.export.dicom:DICOM",
        "h5": "mri_ambient.recon.export.h5:H5",
        "png": "mri_ambient.recon.export.png:PNG",
        "figure": "mri_ambient.recon.export.figure:FIGURE",
    },
)
