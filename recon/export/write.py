"""Where an export goes: all checked before anything is written, nothing replaced unasked."""

from collections.abc import Sequence
from pathlib import Path

from mri_ambient.errors import UserError
from mri_ambient.files import atomic_folder, refuse_existing, refuse_foreign, writable_folder
from mri_ambient.recon.export.exporter import Exporter, Extras
from mri_ambient.recon.export.registry import EXPORTERS
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.series import Series, chosen_series


def export(result: ResultData, to: str, names: str, out: Path | None, force: bool, extras: Extras) -> list[Path]:
    """Write the series of these ``names`` as ``to``; returns what was written.

    A file a series (nifti, h5): SCAN_SERIES.nii.gz beside the reconstruction, or in the folder ``out``, or ``out`` itself if it
    names a file. One file (figure): SCAN_figure.pdf, or ``out``. A folder (dicom, png): SCAN_dicom, or ``out``, whole or
    absent.

    Args:
        result: of which.
        to: a name of :data:`mri_ambient.recon.export.registry.EXPORTERS`.
        names: of series, by commas; empty: the format's own choice.
        out: file or folder; None: beside the reconstruction.
        force: replace what is there.
        extras: for the formats that have use for them.

    Raises:
        UserError: the format or a series is unknown, something is there already, a folder to be replaced holds anything else,
            or a package is not installed.
    """
    exporter = EXPORTERS[to]
    series = chosen_series(result, names, exporter.by_default)
    if not exporter.samples_together:
        series = [volume for one in series for volume in one.split()]
    beside = result.file.parent if result.file else Path()
    if exporter.makes == "folder":
        folder = out or beside / f"{result.stem}_{to}"
        require_replaceable(folder, exporter.suffixes[0], force)
        with atomic_folder(folder) as temporary:
            exporter.write(temporary, result, series, extras)
        return [folder]
    if exporter.makes == "file":
        jobs = {one_file(exporter, to, out or beside / f"{result.stem}_{to}{exporter.suffixes[0]}"): series}
    else:
        jobs = a_file_each(exporter, series, out, beside / result.stem)
    for path in jobs:
        if result.file and path.resolve() == result.file.resolve():
            raise UserError(f"{path}: is the reconstruction itself, which is never replaced; choose another --out")
        writable_folder(path.parent)
    for path in jobs:
        refuse_existing(path, force)
        if path.suffix == ".h5":
            refuse_foreign(path)
    for path, those in jobs.items():
        exporter.write(path, result, those, extras)
    return list(jobs)


def one_file(exporter: Exporter, to: str, path: Path) -> Path:
    """Raises UserError if its ending is none of the format's."""
    if not path.name.endswith(exporter.suffixes):
        endings = " or ".join(exporter.suffixes)
        raise UserError(f"--out {path}: is not a {to}'s name; let it end in {endings}")
    return path


def a_file_each(
    exporter: Exporter, series: Sequence[Series], out: Path | None, stem: Path
) -> dict[Path, Sequence[Series]]:
    """Raises UserError if ``out`` names one file for several."""
    if out is None or not out.name.endswith(exporter.suffixes):
        folder = out or stem.parent
        return {folder / f"{stem.name}_{one.name}{exporter.suffixes[0]}": [one] for one in series}
    if len(series) > 1:
        names = ", ".join(one.name for one in series)
        raise UserError(
            f"--out {out}: names one file for {len(series)} series ({names}); name a folder, or choose one with --series"
        )
    return {out: series}


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
