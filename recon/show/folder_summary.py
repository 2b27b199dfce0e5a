"""Many reconstructions in one table: a line for each scan and method in CSV, a row for each scan in the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.scores import errors_of, mean_held_out
from mri_ambient.recon.show.summary import number
from mri_ambient.store import Json


@dataclass(frozen=True)
class Row:
    """A scan by a method, in the order of the columns.

    kept: whether ``file`` keeps it whole. errors: of the mean, by every metric, none without a reference; of two sets of maps,
    of the first's images. held_out, held_out_noise: on hidden lines, of the mean and of noise alone. residual: misfit on the
    measured samples over the noise level.
    """

    scan: str
    method: str
    kept: bool
    accel: float
    slices: int
    simulated: bool
    errors: Mapping[str, float]
    held_out: float | None
    held_out_noise: float | None
    residual: float
    file: str

    def line(self) -> Json:
        """Of the CSV."""
        flat: Json = {}
        for name, value in vars(self).items():
            flat |= dict.fromkeys(METRICS) | dict(self.errors) if name == "errors" else {name: value}
        return flat


def rows_of(result: ResultData, file: Path) -> Iterator[Row]:
    """Of each method, the kept one first."""
    about, held = result.about, result.held_out
    noise = None if held is None else float(held.noise.mean())
    for name, residual in result.mean_residuals.items():
        errors, hidden = errors_of(result.magnitudes[name], result.reference), mean_held_out(held, name)
        scan = (about.name, name, name == about.method, about.accel, len(result), about.simulated)
        yield Row(*scan, errors, hidden, noise, residual, file.name)


def scans_table(rows: Sequence[Row]) -> Table:
    """Of the kept method; of hidden lines also the best of the others."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("reconstruction", overflow="fold")
    for name in ("R", "NRMSE", "SSIM", "held-out", "best of others", "residual"):
        table.add_column(name, justify="right", no_wrap=name != "best of others")
    for row in rows:
        if row.kept:
            others = [
                (o.held_out, o.method) for o in rows if o.file == row.file and not o.kept and o.held_out is not None
            ]
            of_others = "{:.2f} {}".format(*min(others)) if others else ""
            errors = (number(row.errors.get(name), 3) for name in ("NRMSE", "SSIM"))
            hidden, misfit = number(row.held_out, 2), number(row.residual, 2)
            table.add_row(escape(row.file), number(row.accel, 2), *errors, hidden, of_others, misfit)
    return table
