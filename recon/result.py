"""What a reconstruction gives to its user: images, stds and scores, with what can be made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mri_ambient.errors import UserError
from mri_ambient.files import refuse_existing, refuse_foreign
from mri_ambient.recon.export.exporter import Extras
from mri_ambient.recon.export.patient import Patient
from mri_ambient.recon.export.write import export
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.result_file import read_data, write_result
from mri_ambient.recon.show.page import write_report


@dataclass(frozen=True, eq=False, repr=False)
class Result(ResultData):
    """A scan, reconstructed. Arrays are numpy's, in the units of the scan's k-space; slices come first.

    `mean` (complex64 [slice, y, x]), `std` (float32, calibrated on validation scans where there were any), `raw_std` (as
    drawn), `samples` (complex64 [slice, k, y, x] or None), `reference` (float32 or None), `notes` (sentences), `scores()`: see
    :class:`mri_ambient.recon.result_data.ResultData`.
    """

    @classmethod
    def of(cls, data: ResultData) -> "Result":
        """The same with what users do with it."""
        return cls(**{key: getattr(data, key) for key in cls.__dataclass_fields__})

    def save(self, path: Path | str, force: bool = False) -> None:
        """Write ``*_recon.h5``, which :func:`read_result` reads.

        Args:
            path: of the file.
            force: replace an existing file, if it is one of mri-ambient.

        Raises:
            UserError: the file exists, or can't be written.
        """
        refuse_existing(Path(path), force)
        refuse_foreign(Path(path))
        write_result(Path(path), self, exclusive=not force)

    def report(self, path: Path | str, force: bool = False) -> tuple[str, ...]:
        """Write the page, one HTML file that needs no network; returns what was left out to keep it small, in sentences.

        Args:
            path: of the page.
            force: replace an existing file.

        Raises:
            UserError: the file exists, can't be written, or an image holds what is not a number.
        """
        if Path(path).suffix != ".html":
            raise UserError(f"{path}: is an HTML page; let its name end in .html")
        refuse_existing(Path(path), force)
        return write_report(Path(path), self)

    def export(
        self,
        format: str,
        out: Path | str | None = None,
        series: str | Sequence[str] = "",
        force: bool = False,
        slice: int | None = None,
        patient: Patient | None = None,
    ) -> list[Path]:
        """Write for other programs; returns what was written.

        Args:
            format: one of :data:`mri_ambient.recon.export.registry.EXPORTERS`, such as nifti, dicom, h5, png, figure.
            out: a folder, or of a single series its file; None: beside the result's file, or here.
            series: such as ``mean,std,samples``, by commas or a sequence; empty: what the format shows by default.
            force: replace existing files.
            slice: which a figure shows; None: the middle one.
            patient: for dicom, whose images they are; None: left empty.

        Raises:
            UserError: there is no such format, series or slice, or something exists already.
        """
        if slice is not None and format != "figure":
            raise UserError(
                f"slice {slice}: is of a figure, and {format} has all; leave it out, or export result[{slice}]"
            )
        names = series if isinstance(series, str) else ",".join(series)
        return export(
            self, format, names, None if out is None else Path(out), force, Extras(patient or Patient(), slice)
        )


def read_result(path: Path | str) -> Result:
    """The result that :meth:`Result.save` or `recon` wrote. Raises UserError if the file is none of this version."""
    return Result.of(read_data(Path(path)))
