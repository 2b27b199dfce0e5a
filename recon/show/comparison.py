"""What a comparison writes: CSV, figures and a page; and its tables for the terminal."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from mri_ambient.files import atomic_write
from mri_ambient.recon.evaluate.compare import Comparison
from mri_ambient.recon.evaluate.compare_summary import MEAN, Summary, measures
from mri_ambient.recon.evaluate.rows import ComparedScan
from mri_ambient.recon.show.compare_columns import (
    LEGEND,
    OTHER_COLUMNS,
    cells,
    described,
    error_columns,
    shown_columns,
)
from mri_ambient.recon.show.compare_figure import draw_errors, draw_pictures
from mri_ambient.recon.show.compare_page import Section, write_page
from mri_ambient.store import Json

ELSEWHERE = ("lesions", "error_quantiles")  # not in scans.csv


def write_comparison(comparison: Comparison, out: Path) -> None:
    """CSV, figures and the page. Raw and simulated scans have files and figures of their own: ``summary.csv`` if all are of one
    kind, else ``summary_raw.csv`` and ``summary_simulated.csv``.

    Args:
        comparison: rows, plan and notes.
        out: a folder, whose ``rows`` have the pictures.
    """
    sections = []
    for part in comparison.parts:
        kind, rows, summaries = part.kind, part.rows, part.summaries
        suffix = f"_{kind}" if len(comparison.parts) > 1 else ""
        write_csv(out / f"scans{suffix}.csv", [scan_line(row) for row in rows])
        lines = [summary_line(kind, summary, comparison.plan.magnitude) for summary in summaries]
        write_csv(out / f"summary{suffix}.csv", lines)
        if lesions := [line for row in rows for line in lesion_lines(row)]:
            write_csv(out / f"lesions{suffix}.csv", lesions)
        figures = [out / f"errors{suffix}"]
        draw_errors(figures[0], summaries, f"{kind} scans, {described(rows)}")
        pictured = [row for row in rows if row.picture]
        if pictured and draw_pictures(out / f"pictures{suffix}", pictured, out / "rows"):
            figures.append(out / f"pictures{suffix}")
        sections.append(Section(kind, described(rows), summaries, figures))
    write_page(out / "comparison.html", sections, comparison)


def scan_line(row: ComparedScan) -> Json:
    """A row of ``scans.csv``: no lists of lists, settings as JSON."""
    return {
        key: json.dumps(value) if isinstance(value, dict | list) else value
        for key, value in row.to_json().items()
        if key not in ELSEWHERE
    }


def summary_line(kind: str, summary: Summary, magnitude: str) -> Json:
    line: Json = {
        "kind": kind,
        "accel": summary.accel,
        "method": summary.label,
        "scans": summary.scans,
        "reference": magnitude.upper(),
        "subjects": summary.estimates[MEAN].subjects,
        "realised_accel_low": summary.realised[0],
        "realised_accel_high": summary.realised[1],
    }
    for measure in measures():
        found = summary.estimates.get(measure)
        line[measure] = found and found.mean
        line[f"{measure}_low"], line[f"{measure}_high"] = (found.low, found.high) if found else (None, None)
    return line


def lesion_lines(row: ComparedScan) -> list[Json]:
    stored = row.to_json()
    of_row = {key: stored[key] for key in ("scan", "subject", "kind", "accel", "label", "seed")}
    return [of_row | vars(lesion) for lesion in row.lesions or []]


def write_csv(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    columns = list(dict.fromkeys(key for line in lines for key in line))
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def terminal_tables(comparison: Comparison) -> list[Table]:
    """Two an R and kind of scans, of errors and of the rest, so that both fit into 80 characters: a number that is cut is no
    number."""
    tables = []
    for part in comparison.parts:
        for accel in dict.fromkeys(summary.accel for summary in part.summaries):
            those = [summary for summary in part.summaries if summary.accel == accel]
            low, high = those[0].realised
            realised = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
            title = f"{part.kind}, R={accel:g} (realised {realised}), {described(part.rows)}"
            for heading, columns in ((escape(title), error_columns()), (None, OTHER_COLUMNS)):
                columns = shown_columns(those, columns)
                table = Table(title=heading, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
                table.add_column("method")
                for column in columns:
                    table.add_column(column.title, justify="right")
                for summary in those:
                    texts = [text.replace(" [", "\n[") for text in cells(summary, columns)]
                    table.add_row(escape(summary.label), *map(escape, texts))
                tables.append(table)
        tables[-1].caption, tables[-1].caption_justify = LEGEND, "left"
    return tables
