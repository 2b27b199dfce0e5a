"""The reconstruction as one HTML file that opens from the disk and asks no network: the images in linked panes, what is known
of them, and the programs that draw them (`template/`, and NiiVue from nilearn's wheel)."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template

import numpy as np

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.recon.reference import NAMES
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.compare_page import bullets
from mri_ambient.recon.show.page_volumes import FINE, GREY, Carried, carry, nifti_gz, white_of
from mri_ambient.recon.show.panel import GAIN, NOTICE
from mri_ambient.recon.show.summary import NO_SPREAD, explained
from mri_ambient.store import Json

LIMIT = 60_000_000  # bytes of a page; browsers and mail take no more gladly
NIIVUE = "_assets/js/niivue.umd.js"  # below nilearn
PAGE = Path(__file__).parent / "template"
PRIOR_KINDS = {
    "image": "image (knows whole images; its samples differ where the data leave doubt)",
    "masked": "masked (gives one best image; its samples hardly differ)",
}

Facts = Mapping[str, str]


def write_report(path: Path, result: ResultData) -> tuple[str, ...]:
    """Write the page of a result; returns what was left out to keep it below LIMIT, in sentences.

    Raises UserError if it can't be shown (:func:`mri_ambient.recon.show.page_volumes.carry`), NiiVue isn't there, or
    ``path`` can't be written.
    """
    script = niivue_script()
    carried = carry(result, LIMIT - len(script.encode()) - 500_000)  # for all that is not an image
    with atomic_write(path) as temporary:
        temporary.write_text(page(carried, script), encoding="utf-8", newline="\n")
    return carried.left_out


def niivue_script() -> str:
    """NiiVue as one script. Raises UserError if nilearn brings none."""
    spec = find_spec("nilearn")
    path = Path(spec.origin if spec and spec.origin else "nilearn").parent / NIIVUE
    try:
        return closed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: NiiVue, which draws a report's images, isn't there; install it with pip install 'nilearn>=0.14.1'"
        ) from error


def page(carried: Carried, niivue: str) -> str:
    result, about = carried.result, carried.result.about
    style = (PAGE / "report.css").read_text(encoding="utf-8")
    program = closed((PAGE / "report.js").read_text(encoding="utf-8"))
    hashes = " ".join(f"'sha256-{sha256(script)}'" for script in (niivue, program))
    blank = nifti_gz(np.zeros((1, *result.mean.shape[-2:]), np.float32), FINE, result.pixel_mm or (1.0, 1.0))
    texts = carried.texts | {"blank": base64.b64encode(blank).decode()}
    shown = {
        "panes": list(panes(result)),
        "slices": list(carried.slices),
        "samples": sample_count(result),
        "grey": GREY,
        "gain": GAIN,
    }
    return Template((PAGE / "report.html").read_text(encoding="utf-8")).substitute(
        policy="default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; connect-src data: blob:; "
        f"script-src {hashes}",
        title=escape(about.name),
        notice=escape(NOTICE),
        kind="simulated scan" if about.simulated else "raw scan",
        summary=escape(f"R = {about.accel:.2f}, {result.title}"),
        left_out="".join(f'<p class="left-out">This page leaves out {escape(text)}.</p>' for text in carried.left_out),
        notes=bullets([*absent(result), *about.notes]),
        window=escape(f"{GREY} is {white_of(result):.3g} in the units of the file"),
        gain=GAIN,
        threshold=f"{first_threshold(result):.2f}",
        residuals=residual_table(result, carried.slices),
        held_out=held_out_section(result),
        facts="".join(
            f"<section><h2>{name}</h2>{definitions(facts)}</section>" for name, facts in described(result).items()
        ),
        version=escape(__version__),
        style=style,
        study=json.dumps(shown).replace("<", "\\u003c"),  # the only way out of a script element
        volumes="\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in texts.items()),
        niivue=niivue,
        program=program,
    )


def first_threshold(result: ResultData) -> float:
    """Of the overlay: a share left to the prior that at least a tenth of the middle slice's pixels is clearly beyond, in steps
    of 0.05."""
    share = result.determined_share[len(result) // 2]
    seen = share[share > 0]
    if not len(seen):
        return 0.5
    return float(np.clip(np.floor(np.quantile(1 - seen, 0.9) / 0.05 - 0.2) * 0.05, 0.05, 0.95))


def closed(script: str) -> str:
    """Nothing in it ends its own element; outside of strings the replaced doesn't occur in JavaScript."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def panes(result: ResultData) -> Iterator[Json]:
    """In the order of the keys 1 to 9. volume: of which texts; misfits: on the measured samples, per slice."""
    about = result.about
    yield pane("magnitude", result.title, "mean", result.residuals[about.method])
    if about.spreads:
        yield pane("std", f"posterior {result.std_title}", "std")
    if sample_count(result):
        yield pane("samples", f"{about.method}, one sample", "samples")
    if result.reference is not None:
        yield pane("error", "|error|", "reference")
        yield pane("magnitude", "reference", "reference")
    for index, name in enumerate(result.others):
        yield pane("magnitude", name, f"method{index}", result.residuals[name])


def pane(kind: str, title: str, volume: str, residuals: Sequence[float] | np.ndarray = ()) -> Json:
    return {"kind": kind, "title": title, "volume": volume, "misfits": [f"{float(value):.2f}" for value in residuals]}


def sample_count(result: ResultData) -> int:
    """0 unless there are several to compare."""
    return result.samples.shape[1] if result.samples is not None and result.several else 0


def absent(result: ResultData) -> Iterator[str]:
    """Why there is no std, no flip-book, no error."""
    if not result.about.spreads:
        why = NO_SPREAD if result.several else f"{result.about.method} gave one image, which can't say how sure it is"
        yield f"No standard deviation is shown: {why}."
    if result.samples is None:
        yield "No flip-book: there are no samples on this page."
    if result.reference is None:
        yield "No error is shown: this scan has no complete reference to compare with."


def described(result: ResultData) -> dict[str, Facts]:
    about = result.about
    rows, columns = result.mean.shape[-2:]
    pixel = "unknown" if result.pixel_mm is None else " x ".join(f"{size:.2f}" for size in result.pixel_mm) + " mm"
    working = " x ".join(map(str, about.working_matrix))
    scan = {
        "Data": "simulated" if about.simulated else "raw, of a scanner",
        "Acceleration": f"R = {about.accel:.2f} (acquired over measured lines)",
        "Calibration (ACS)": f"{about.acs[1]} lines",
        "Image": f"{rows} x {columns}, pixel {pixel}",
    }
    scan |= {
        key.replace("_", " ").capitalize(): written(value)
        for key, value in about.provenance.items()
        if key not in ("simulated", "version") and value is not None
    }
    recon = {
        "Method": about.method,
        "Magnitudes": NAMES[about.magnitude],
        "Samples": str(result.samples.shape[1]) if result.samples is not None else "not on this page",
        "Settings": written(about.settings) or "none",
        "Seed": str(about.seed),
        "Time": f"{about.seconds:.1f} s",
        "Worked at": working if about.working_matrix != (rows, columns) else f"{working}, the scan's own",
        "Software": f"mri-ambient {about.version}",
    }
    if about.spreads:
        recon["Calibration of the std"] = (
            "not checked: no validation scans said whether the std is as large as the errors"
            if about.temperature is None
            else f"it is shown times {about.temperature:.2f}, with which 90 % intervals held the truth in 90 % of pixels "
            f"{about.calibrated_on}"
        )
    prior = {"Prior": "none: this method has learned nothing"}
    if about.prior is not None:
        card, seen = about.prior, about.prior.get("images_seen")
        prior = {
            "Kind": PRIOR_KINDS.get(str(card.get("kind")), written(card.get("kind"))),
            "Trained on": written(card.get("data")) or "not stated",
            "Images seen": f"{seen:,}" if isinstance(seen, int) else "not stated",
            "Trained at": written(card.get("matrix")),
            "Licence": written(card.get("licence")),
            "Hash of the weights": written(card.get("weights_sha256")),
        }
    return {"Scan": scan, "Reconstruction": recon, "Prior": prior}


def written(value: object) -> str:
    """A value of a file's header, for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {written(below)}" for key, below in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(written, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def definitions(facts: Facts) -> str:
    rows = (f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in facts.items())
    return f"<dl>{''.join(rows)}</dl>"


def residual_table(result: ResultData, slices: range) -> str:
    columns = [values.astype(float) for values in result.residuals.values()]
    return method_table(list(result.residuals), columns, slices)


def held_out_section(result: ResultData) -> str:
    """Nothing if no lines were hidden."""
    held = result.held_out
    if held is None:
        return ""
    names = [name for name in result.residuals if name in held.errors]
    columns = [values.double().numpy() for values in (*(held.errors[name] for name in names), held.noise)]
    shown = method_table([*names, "noise alone"], columns, held.slices)
    return (
        f"<section><h2>Error on measured lines that were hidden</h2>"
        f'<div id="held-out" class="scroll" tabindex="0" role="region" aria-label="Error on hidden lines">{shown}</div>'
        f'<p class="small">By the mean: {escape(explained(held))} 1 is what an empty image has.</p></section>'
    )


def method_table(names: Sequence[str], columns: Sequence[np.ndarray], slices: Sequence[int]) -> str:
    """A column a name, of a number for each slice; the first row is the mean over them."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = [("mean", [values.mean().item() for values in columns])]
    body += [(str(number), [values[row].item() for values in columns]) for row, number in enumerate(slices)]
    rows = "".join(
        f'<tr><th scope="row">{label}</th>' + "".join(f"<td>{value:.2f}</td>" for value in values) + "</tr>"
        for label, values in body
    )
    return f'<table><thead><tr><th scope="col">slice</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
