"""What a format is: how it is written, and how many files that makes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mri_ambient.recon.export.patient import Patient
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.series import Series, mean_and_std


@dataclass(frozen=True)
class Extras:
    """What only some formats have use for.

    Attributes:
        patient: whose images they are; empty where the user doesn't say.
        slice: the one that is shown; None: the middle one.
    """

    patient: Patient = field(default_factory=Patient)
    slice: int | None = None


Write = Callable[[Path, ResultData, Sequence[Series], Extras], None]


@dataclass(frozen=True)
class Exporter:
    """A format, and a line of :data:`mri_ambient.recon.export.registry.EXPORTERS`.

    Attributes:
        write: ``(path, result, series, extras)``: makes one file, or fills an empty folder.
        suffixes: of its files; the first unless ``--out`` ends in another.
        makes: a file for each series, one file of all, or a folder of files.
        samples_together: K samples are one series of four dimensions, else K series.
        by_default: the names of the series that are written if none are asked for.
    """

    write: Write
    suffixes: tuple[str, ...]
    makes: Literal["file a series", "file", "folder"]
    samples_together: bool = False
    by_default: Callable[[ResultData], list[str]] = mean_and_std
