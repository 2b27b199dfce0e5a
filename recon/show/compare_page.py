"""The comparison as one HTML file that needs nothing else: text escaped, figures inside, no script."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mri_ambient import __version__
from mri_ambient.files import atomic_write
from mri_ambient.priors.runs import place
from mri_ambient.recon.evaluate.compare import Comparison
from mri_ambient.recon.evaluate.compare_summary import Summary
from mri_ambient.recon.evaluate.plan import Plan
from mri_ambient.recon.show.compare_columns import LEGEND, OTHER_COLUMNS, cells, error_columns, shown_columns
from mri_ambient.recon.show.panel import NOTICE

STYLE = (
    "body{font-family:sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}caption{text-align:left;font-weight:bold;padding:.3em 0}"
    "img{max-width:100%}.notice{color:#a00;font-weight:bold}.small{color:#555;font-size:.9em}"
)


@dataclass(frozen=True)
class Section:
    """Of raw, or of simulated scans.

    Attributes:
        kind: raw or simulated.
        description: what the numbers are of.
        summaries: a method and R each.
        figures: their files, without suffix.
    """

    kind: str
    description: str
    summaries: Sequence[Summary]
    figures: Sequence[Path]


def write_page(path: Path, sections: Sequence[Section], comparison: Comparison) -> None:
    """Tables and figures of each section; the settings and what was left out, of the whole ``comparison``."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>mri-ambient: comparison</title>"
        f"<style>{STYLE}</style></head><body><h1>Comparison of reconstructions</h1><p class='notice'>{NOTICE}</p>"
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.kind)} scans</h2><p>{escape(section.description)}</p>")
        accels = dict.fromkeys(summary.accel for summary in section.summaries)
        parts += [html_table(section.summaries, accel) for accel in accels]
        parts += [image(figure.with_suffix(".png")) for figure in section.figures]
    parts.append(f"<p class='small'>{escape(LEGEND)}</p>")
    parts.append("<h2>Settings</h2>" + bullets([*comparison.notes, *settings_of(comparison.plan)]))
    if comparison.failed:
        parts.append("<h2>Left out</h2>" + bullets(comparison.failed))
    parts.append(f"<p class='small'>mri-ambient {__version__}</p></body></html>\n")
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def html_table(summaries: Sequence[Summary], accel: float) -> str:
    those = [summary for summary in summaries if summary.accel == accel]
    columns = shown_columns(those, (*error_columns(), *OTHER_COLUMNS))
    head = "".join(f"<th>{escape(title)}</th>" for title in ("method", *(column.title for column in columns)))
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in (s.label, *cells(s, columns))) + "</tr>" for s in those
    )
    realised = f"{those[0].realised[0]:.2f} to {those[0].realised[1]:.2f}"
    return f"<table><caption>R={accel:g} (realised {realised})</caption><tr>{head}</tr>{body}</table>"


def settings_of(plan: Plan) -> list[str]:
    lines = []
    for run in plan.runs:
        tuned = "defaults" if run.tuned_at is None else f"tuned at R={run.tuned_at:g}, temperature {run.std_scale:.2f}"
        prior = f", prior {place(run.prior)} ({run.prior_sha256[:12]})" if run.prior else ""
        lines.append(f"R={run.accel:g} {run.label}: {run.settings or 'no settings'} ({tuned}){prior}")
    return lines


def bullets(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<p><img alt='{escape(path.stem, quote=True)}' src='data:image/png;base64,{data}'></p>"
