"""Where an export goes: all checked before anything is written, nothing replaced unasked."""

from importlib.util import find_spec
from pathlib import Path

from mri_ambient.errors import UserError
from mri_ambient.files import atomic_folder, refuse_existing, writable_folder
from mri_ambient.recon.export.fastmri_h5 import write_fastmri
from mri_ambient.recon.export.nifti import write_nifti
from mri_ambient.recon.export.patient import Patient
from mri_ambient.recon.export.png import write_pngs
from mri_ambient.recon.show.recon_file import Study
from mri_ambient.recon.show.series import Series

FILES = {"nifti": (".nii.gz", write_nifti), "h5": (".h5", write_fastmri)}
FOLDERS = {"png": ".png", "dicom": ".dcm"}


def export(study: Study, to: str, series: list[Series], out: Path | None, force: bool, patient: Patient) -> list[Path]:
    """Write ``series`` as ``to``; returns what was written.

    A file a series (nifti, h5): SCAN_SERIES.nii.gz beside the reconstruction, or in the folder ``out``, or ``out`` itself if it
    names a file. A folder (dicom, png): SCAN_dicom, or ``out``; whole or absent. Raises UserError if something is there
    already, unless ``force``, if a folder to be replaced holds anything else, or if pydicom is not installed.
    """
    stem = study.path.stem.removesuffix("_recon")
    if to != "nifti":  # the only one with four dimensions
        series = [volume for one in series for volume in one.split()]
    if to in FILES:
        suffix, write = FILES[to]
        paths = file_paths(study, series, out, suffix, stem)
        for path in paths:
            refuse_existing(path, force)
        for path, one in zip(paths, series, strict=True):
            write(path, study, one)
        return paths
    folder = out or study.path.with_name(f"{stem}_{to}")
    require_replaceable(folder, FOLDERS[to], force)
    if to == "png":
        with atomic_folder(folder) as temporary:
            write_pngs(temporary, study, series)
        return [folder]
    if find_spec("pydicom") is None:
        raise UserError("--to dicom: needs pydicom, which is not installed; pip install 'mri-ambient[dicom]'")
    from mri_ambient.recon.export.dicom import write_dicom

    with atomic_folder(folder) as temporary:
        write_dicom(temporary, study, series, patient)
    return [folder]


def file_paths(study: Study, series: list[Series], out: Path | None, suffix: str, stem: str) -> list[Path]:
    """One a series. Raises UserError if ``out`` names one file for several, or if one is the reconstruction itself."""
    if out is not None and out.name.endswith(suffix):
        if len(series) > 1:
            names = ", ".join(one.name for one in series)
            raise UserError(
                f"--out {out}: names one file for {len(series)} series ({names}); name a folder, or choose one with --series"
            )
        paths = [out]
    else:
        paths = [(out or study.path.parent) / f"{stem}_{one.name}{suffix}" for one in series]
    for path in paths:
        if path.resolve() == study.path.resolve():
            raise UserError(f"{path}: is the reconstruction itself, which is never replaced; choose another --out")
        writable_folder(path.parent)
    return paths


def require_replaceable(folder: Path, suffix: str, force: bool) -> None:
    """Raises UserError if ``folder`` is there and not empty, unless ``force`` and it holds files of that suffix alone."""
    if folder.is_dir():
        files = [path for path in folder.rglob("*") if not path.is_dir()]
        if not files:
            return
        strange = [path for path in files if path.suffix != suffix]
        if strange and force:
            raise UserError(
                f"{folder}: holds other files ({strange[0].name}) and is not replaced; choose another --out"
            )
    refuse_existing(folder, force)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder with --out")
