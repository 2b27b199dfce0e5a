"""All methods on all scans at all R: rows, means over subjects, and their files."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from mri_ambient.console import stderr
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write, remove_leftovers, writable_folder
from mri_ambient.processes import Job, Result, Spread, run_jobs
from mri_ambient.recon.evaluate.compare_rows import Plan, Row, RowsAndFailures, Source, compare_scan
from mri_ambient.recon.evaluate.compare_summary import (
    DIFFERENCE,
    ERROR_COLUMNS,
    LEGEND,
    MEASURES,
    OTHER_COLUMNS,
    Summary,
    cells,
    described,
    shown_columns,
    summarise,
)
from mri_ambient.recon.show.compare_figure import draw_errors, draw_pictures
from mri_ambient.recon.show.compare_page import write_page

ELSEWHERE = ("lesions", "error_quantiles")  # not in scans.csv
OpenSource = Callable[[Path], Source]


@dataclass(frozen=True)
class Outcome:
    """rows: of all that could be done, in order. failed: a sentence for each scan, or method on a scan, that could not."""

    rows: list[Row]
    failed: list[str]


def compare(paths: Sequence[Path], plan: Plan, out: Path, open_source: OpenSource, spread: Spread) -> Outcome:
    """A row for each scan, R and method, in ``out/rows``; what is there already is not done again.

    open_source: reads a raw scan; has to be a function that another process can import. A scan that can't be used, or a method
    that fails on one, is reported and the rest go on. Raises UserError if none can be used.
    """
    return spread_over_scans(compare_file, paths, plan, out, open_source, spread)


def first_usable(folder: Path, paths: Sequence[Path], plan: Plan, open_source: OpenSource) -> str:
    """The name of the first scan that can be compared on. Raises UserError if there is none."""
    refusal = UserError(
        f"{folder}: holds no fully sampled scan, so that nothing can be compared; give a folder that does"
    )
    for path in paths:
        try:
            source = open_source(path)
        except UserError:  # reported when its turn comes
            continue
        if source.fully_sampled:
            try:
                require_unseen(source, path, plan)
                return source.name
            except UserError as error:
                refusal = error
    raise refusal


def spread_over_scans(
    function: Callable[..., RowsAndFailures],
    paths: Sequence[Path],
    plan: Plan,
    out: Path,
    open_source: OpenSource,
    spread: Spread,
) -> Outcome:
    """``function(path, accel, plan, out/rows, open_source)`` for every scan at every R of the plan. Raises UserError if none
    could be done."""
    folder = writable_folder(out / "rows")
    remove_leftovers(folder)
    accels = list(dict.fromkeys(run.accel for run in plan.runs))
    jobs = [(path.absolute(), accel, plan, folder.absolute(), open_source) for path, accel in product(paths, accels)]
    rows: dict[tuple[Path, float], list[Row]] = {}
    failed: list[str] = []

    def collect(job: Job, result: Result) -> None:
        try:
            rows[job[0], job[1]], said = result()
        except UserError as error:
            said = [str(error)]
        for sentence in said:
            if sentence not in failed:
                stderr.print(f"[red]failed[/] {escape(sentence)}", highlight=False)
                failed.append(sentence)

    run_jobs(function, jobs, spread, "comparing", collect)
    if not any(rows.values()):
        raise UserError(failed[0])
    return Outcome([row for job in jobs for row in rows.get((job[0], job[1]), [])], failed)


def compare_file(path: Path, accel: float, plan: Plan, folder: Path, open_source: OpenSource) -> RowsAndFailures:
    """One job: a scan at one R."""
    source = open_source(path)
    if not source.fully_sampled:
        raise UserError(f"{path}: is already undersampled, so that there is nothing to compare with; leave it out")
    require_unseen(source, path, plan)
    return compare_scan(source, accel, plan, folder)


def require_unseen(source: Source, path: Path, plan: Plan) -> None:
    """Raises UserError if settings were chosen on this scan, or a prior trained with it: on its very k-space, or, if it is raw,
    on one of the same name and subject. Simulated scans of different seeds share names."""
    for scans, why, remedy in (
        (plan.tuning_scans, "on which the methods were tuned, which flatters them", "--tuned"),
        (plan.training_scans, "with which a prior was trained, which flatters it", "--prior"),
    ):
        for digest, name, subject in scans:
            alike = not source.simulated and (name, subject) == (source.name, source.subject)
            if digest == source.sha256 or alike:
                raise UserError(f"{path}: is one of the scans {why}; compare on others, or pass another {remedy}")


def write_outputs(outcome: Outcome, plan: Plan, out: Path, notes: Sequence[str]) -> list[Table]:
    """CSV, figures and the page into ``out``; returns the tables for the terminal. Raw and simulated scans have files, figures
    and tables of their own: ``summary.csv`` if all are of one kind, else ``summary_raw.csv`` and ``summary_simulated.csv``."""
    kinds = {kind: [row for row in outcome.rows if row["kind"] == kind] for kind in ("raw", "simulated")}
    kinds = {kind: rows for kind, rows in kinds.items() if rows}
    tables, sections = [], []
    for kind, rows in kinds.items():
        suffix = f"_{kind}" if len(kinds) > 1 else ""
        summaries = summarise(rows, plan.seed)
        write_csv(out / f"scans{suffix}.csv", [scan_line(row) for row in rows])
        write_csv(out / f"summary{suffix}.csv", [summary_line(kind, summary, plan.magnitude) for summary in summaries])
        lesions = [lesion_line(row, lesion) for row in rows for lesion in row.get("lesions", [])]
        if lesions:
            write_csv(out / f"lesions{suffix}.csv", lesions)
        figures = [out / f"errors{suffix}"]
        draw_errors(figures[0], summaries, f"{kind} scans, {described(rows)}")
        pictured = [row for row in rows if row["picture"]]
        if pictured and draw_pictures(out / f"pictures{suffix}", pictured, out / "rows"):
            figures.append(out / f"pictures{suffix}")
        tables += terminal_tables(kind, rows, summaries)
        sections.append((kind, described(rows), summaries, figures))
    write_page(out / "comparison.html", sections, plan, notes, outcome.failed)
    return tables


def scan_line(row: Row) -> Row:
    """A row of ``scans.csv``: no lists of lists, settings as JSON."""
    return {
        key: json.dumps(value) if isinstance(value, dict | list) else value
        for key, value in row.items()
        if key not in ELSEWHERE
    }


def summary_line(kind: str, summary: Summary, magnitude: str) -> Row:
    subjects = summary.estimates["NRMSE_mean"].subjects
    line: Row = {"kind": kind, "accel": summary.accel, "method": summary.label, "scans": summary.scans}
    line["reference"] = magnitude.upper()
    line |= {
        "subjects": subjects,
        "realised_accel_low": summary.realised[0],
        "realised_accel_high": summary.realised[1],
    }
    for measure in (*MEASURES, DIFFERENCE):
        found = summary.estimates.get(measure)
        line[measure] = found and found.mean
        line[f"{measure}_low"], line[f"{measure}_high"] = (found.low, found.high) if found else (None, None)
    return line


def lesion_line(row: Row, lesion: dict[str, Any]) -> Row:
    return {key: row[key] for key in ("scan", "subject", "kind", "accel", "label", "seed")} | lesion


def write_csv(path: Path, lines: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(key for line in lines for key in line))
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def terminal_tables(kind: str, rows: Sequence[Row], summaries: Sequence[Summary]) -> list[Table]:
    """Two an R, of errors and of the rest, so that both fit into 80 characters: a number that is cut is no number."""
    tables = []
    for accel in dict.fromkeys(summary.accel for summary in summaries):
        those = [summary for summary in summaries if summary.accel == accel]
        low, high = those[0].realised
        realised = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
        for title, columns in (
            (f"{kind}, R={accel:g} (realised {realised}), {described(rows)}", ERROR_COLUMNS),
            (None, OTHER_COLUMNS),
        ):
            columns = shown_columns(those, columns)
            table = Table(title=title and escape(title), title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
            table.add_column("method")
            for heading in columns:
                table.add_column(heading, justify="right")
            for summary in those:
                texts = [text.replace(" [", "\n[") for text in cells(summary, columns)]
                table.add_row(escape(summary.label), *map(escape, texts))
            tables.append(table)
    tables[-1].caption, tables[-1].caption_justify = LEGEND, "left"
    return tables
