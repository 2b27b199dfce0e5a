"""A reconstruction, for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from mri_ambient.commands.options import Force, check_choice
from mri_ambient.recon.export.registry import EXPORTERS


def export(
    file: Annotated[Path, typer.Argument(help="A reconstruction, made by `recon`.")],
    to: Annotated[str, typer.Option("--to", help=f"{', '.join(EXPORTERS)} (h5 is fastMRI's layout).")],
    series: Annotated[
        str,
        typer.Option(
            "--series",
            help="mean, std, samples, determined, reference, or other methods' names, by commas (default: mean and std; of a "
            "figure all methods).",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder (default: beside the reconstruction); of one nifti, h5 or figure the file."),
    ] = None,
    slice: Annotated[
        int | None, typer.Option("--slice", help="Which a figure shows, from 0 (default: the middle one).")
    ] = None,
    patient_name: Annotated[str, typer.Option("--patient-name", help="For dicom, Family^Given; else empty.")] = "",
    patient_id: Annotated[str, typer.Option("--patient-id", help="For dicom; else empty.")] = "",
    patient_birth_date: Annotated[str, typer.Option("--patient-birth-date", help="For dicom, 1970-12-31.")] = "",
    patient_sex: Annotated[str, typer.Option("--patient-sex", help="For dicom: M, F or O.")] = "",
    force: Force = False,
) -> None:
    """A reconstruction as NIfTI, DICOM, fastMRI's HDF5 or PNG, which say what is not known of its geometry; or as a figure."""
    check_choice("--to", to, tuple(EXPORTERS))

    from mri_ambient.console import stdout
    from mri_ambient.recon.export.patient import Patient
    from mri_ambient.recon.result import read_result

    patient = Patient.of(patient_name, patient_id, patient_birth_date, patient_sex)
    for path in read_result(file).export(to, out, series, force, slice, patient):
        stdout.print(f"wrote {path}", highlight=False, markup=False)
