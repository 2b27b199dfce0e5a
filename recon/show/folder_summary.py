"""Many reconstructions in one table: a line for each scan and method in CSV, a row for each scan in the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.show.recon_file import Study

Row = dict[str, Any]


def rows_of(study: Study) -> Iterator[Row]:
    """Of each method, the kept one first: errors of its mean if there is a reference (of two sets of maps, of the first's
    images), hidden lines, misfit."""
    about, held = study.about, study.held_out
    for name, residuals in study.residuals.items():
        image = study.mean.abs() if name == about.method else study.others[name]
        row: Row = {"scan": about.name, "method": name, "kept": name == about.method, "accel": about.accel}
        row |= {"slices": len(study.mean), "simulated": about.simulated}
        for metric, measure in METRICS.items():
            row[metric] = None if study.reference is None else measure(study.reference.numpy(), image.numpy())
        row["held_out"] = None if held is None or name not in held.errors else float(held.errors[name].mean())
        row["held_out_noise"] = None if held is None else float(held.noise.mean())
        row["residual"] = float(residuals.mean())
        row["file"] = study.path.name
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


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
