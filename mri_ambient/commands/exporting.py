"""A reconstruction, for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from mri_ambient.commands.options import EXPORT_FORMATS, Force, check_choice


def export(
    file: Annotated[Path, typer.Argument(help="A reconstruction, made by `recon`.")],
    to: Annotated[str, typer.Option("--to", help="nifti, dicom, h5 (fastMRI's layout), png or figure.")],
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
    from mri_ambient.recon.outputs import check_figure_path

    check_choice("--to", to, EXPORT_FORMATS)
    target = out or file.with_name(f"{file.stem.removesuffix('_recon')}_figure.pdf")
    if to == "figure":
        check_figure_path("--out", target, force)

    from mri_ambient.console import stdout
    from mri_ambient.recon.export.patient import Patient
    from mri_ambient.recon.export.write import export as write
    from mri_ambient.recon.show.figure import draw_study
    from mri_ambient.recon.show.recon_file import read_reconstruction
    from mri_ambient.recon.show.series import chosen_series

    patient = Patient.of(patient_name, patient_id, patient_birth_date, patient_sex)
    study = read_reconstruction(file)
    if to == "figure":
        draw_study(target, study, slice, chosen_series(study, series) if series else ())
        written = [target]
    else:
        written = write(study, to, chosen_series(study, series), out, force, patient)
    for path in written:
        stdout.print(f"wrote {path}", highlight=False, markup=False)
