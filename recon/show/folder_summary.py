"""Many reconstructions in one table: a line for each scan and method in CSV, a row for each scan in the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.scores import errors_of, mean_held_out
from mri_ambient.recon.show.summary import number

Row = dict[str, Any]


def rows_of(result: ResultData, file: Path) -> Iterator[Row]:
    """Of each method, the kept one first: errors of its mean if there is a reference (of two sets of maps, of the first's
    images, as its ``file`` holds them), hidden lines, misfit."""
    about, held = result.about, result.held_out
    for name, residual in result.mean_residuals.items():
        row: Row = {"scan": about.name, "method": name, "kept": name == about.method, "accel": about.accel}
        row |= {"slices": len(result), "simulated": about.simulated}
        row |= dict.fromkeys(METRICS) | errors_of(result.magnitudes[name], result.reference)
        row["held_out"] = mean_held_out(held, name)
        row["held_out_noise"] = None if held is None else float(held.noise.mean())
        row["residual"] = residual
        row["file"] = file.name
        yield row


def scans_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Of the kept method; of hidden lines also the best of the others."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("reconstruction", overflow="fold")
    for name in ("R", "NRMSE", "SSIM", "held-out", "best of others", "residual"):
        table.add_column(name, justify="right", no_wrap=name != "best of others")
    for row in rows:
        if row["kept"]:
            others = [o for o in rows if o["file"] == row["file"] and not o["kept"] and o["held_out"] is not None]
            best = min(others, key=lambda other: other["held_out"], default=None)
            of_others = f"{best['held_out']:.2f} {best['method']}" if best else ""
            accel, nrmse, ssim = number(row["accel"], 2), number(row["NRMSE"], 3), number(row["SSIM"], 3)
            hidden, misfit = number(row["held_out"], 2), number(row["residual"], 2)
            table.add_row(escape(row["file"]), accel, nrmse, ssim, hidden, of_others, misfit)
    return table
