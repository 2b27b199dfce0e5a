"""The comparison as one HTML file that needs nothing else: text escaped, figures inside, no script."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mri_ambient import __version__
from mri_ambient.files import atomic_write
from mri_ambient.priors.runs import place
from mri_ambient.recon.evaluate.compare_rows import Plan
from mri_ambient.recon.evaluate.compare_summary import (
    ERROR_COLUMNS,
    LEGEND,
    OTHER_COLUMNS,
    Summary,
    cells,
    shown_columns,
)
from mri_ambient.recon.show.panel import NOTICE

Section = tuple[str, str, Sequence[Summary], Sequence[Path]]
STYLE = (
    "body{font-family:sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}caption{text-align:left;font-weight:bold;padding:.3em 0}"
    "img{max-width:100%}.notice{color:#a00;font-weight:bold}.small{color:#555;font-size:.9em}"
)


def write_page(
    path: Path, sections: Sequence[Section], plan: Plan, notes: Sequence[str], failed: Sequence[str]
) -> None:
    """sections: for raw and for simulated scans (kind, description, summaries, figures without suffix)."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>mri-ambient: comparison</title>"
        f"<style>{STYLE}</style></head><body><h1>Comparison of reconstructions</h1><p class='notice'>{NOTICE}</p>"
    ]
    for kind, description, summaries, figures in sections:
        parts.append(f"<h2>{escape(kind)} scans</h2><p>{escape(description)}</p>")
        parts += [html_table(summaries, accel) for accel in dict.fromkeys(s.accel for s in summaries)]
        parts += [image(figure.with_suffix(".png")) for figure in figures]
    parts.append(f"<p class='small'>{escape(LEGEND)}</p>")
    parts.append("<h2>Settings</h2>" + bullets([*notes, *settings_of(plan)]))
    if failed:
        parts.append("<h2>Left out</h2>" + bullets(failed))
    parts.append(f"<p class='small'>mri-ambient {__version__}</p></body></html>\n")
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def html_table(summaries: Sequence[Summary], accel: float) -> str:
    those = [summary for summary in summaries if summary.accel == accel]
    columns = shown_columns(those, {**ERROR_COLUMNS, **OTHER_COLUMNS})
    head = "".join(f"<th>{escape(title)}</th>" for title in ("method", *columns))
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in (s.label, *cells(s, columns))) + "</tr>" for s in those
    )
    realised = f"{those[0].realised[0]:.2f} to {those[0].realised[1]:.2f}"
    return f"<table><caption>R={accel:g} (realised {realised})</caption><tr>{head}</tr>{body}</table>"


def settings_of(plan: Plan) -> list[str]:
    lines = []
    for run in plan.runs:
        tuned = (
            "defaults" if run.tuned_at is None else f"tuned at R={run.tuned_at:g}, temperature {run.temperature:.2f}"
        )
        prior = f", prior {place(run.prior)} ({run.prior_sha256[:12]})" if run.prior else ""
        lines.append(f"R={run.accel:g} {run.label}: {run.settings or 'no settings'} ({tuned}){prior}")
    return lines


def bullets(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<p><img alt='{escape(path.stem, quote=True)}' src='data:image/png;base64,{data}'></p>"
