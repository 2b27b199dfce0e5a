"""The figure for print: one slice by several methods."""

from collections.abc import Sequence
from pathlib import Path

from mri_ambient.recon.export.exporter import Exporter, Extras
from mri_ambient.recon.outputs import FIGURES
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.figure import draw_figure
from mri_ambient.recon.show.series import Series, every_method


def write_figure(path: Path, result: ResultData, series: Sequence[Series], extras: Extras) -> None:
    """Of ``extras.slice``, see :func:`mri_ambient.recon.show.figure.draw_figure`."""
    draw_figure(path, result, extras.slice, series)


FIGURE = Exporter(write_figure, FIGURES, "file", by_default=every_method)
