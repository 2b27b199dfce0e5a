"""What a reconstruction says of itself: the table in the terminal and the panel."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from mri_ambient.priors.card import Prior
from mri_ambient.priors.runs import place, unfinished_prior
from mri_ambient.recon.choices import beside_others
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.reconstruct import Reconstruction
from mri_ambient.recon.reference import NAMES
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.scores import Score
from mri_ambient.recon.show.panel import draw_panel
from mri_ambient.store import PreparedVolume

FEW = 5_000  # images seen in training
FINER = 1.2  # times, from which on pixels are told to be finer than those of the training
NO_SPREAD = "samples of a masked prior that is shown the scan's own lines hardly differ, right or wrong"


def table(result: ResultData) -> Table:
    """Seconds, measured-line residual and error on hidden lines of each method; with a reference, errors of one sample and of
    the mean."""
    about, held, scores = result.about, result.held_out, result.scores()
    kind = "simulated" if about.simulated else "raw"
    title = f"{about.name} ({kind}), R={about.accel:.2f}, ACS {about.acs[1]} lines"
    caption = "residual: misfit on the measured samples over the noise level."
    metrics = list(scores[0].errors)
    if metrics:
        caption += (
            f" Errors: magnitude against {NAMES[about.magnitude]} of the complete scan, data range = volume maximum."
            " std/error: root mean square of the std over that of the (complex) error of the mean; 1 is calibrated."
        )
    if held is not None:
        caption += f" held-out: {explained(held)}"
    show = Table(title=title, caption=caption, caption_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    show.add_column("method")
    for name in (*((*metrics, "std/\nerror") if metrics else ()), "residual", "held-\nout", "s/\nslice"):
        show.add_column(name, justify="right")
    for score in scores:
        errors = [f"{score.errors[name]:.3f}" for name in metrics]
        spread = [spread_text(score)] if metrics else []
        rest = (number(score.residual), number(score.held_out), number(score.seconds))
        show.add_row(score.title, *errors, *spread, *rest)
    return show


def spread_text(score: Score) -> str:
    """Nothing where there is one sample, or where it is not known."""
    if score.samples is None or score.samples == 1:
        return ""
    return number(score.std_over_error) if score.spreads else "no spread"


def number(value: float | None, digits: int = 2) -> str:
    """Nothing if it is not known."""
    return "" if value is None else f"{value:.{digits}f}"


def explained(held: HeldOut) -> str:
    """What the errors on hidden lines are, and what they cost."""
    lines, slices = counted(held.lines, "line"), counted(len(held.slices), "slice")
    return (
        f"relative error on {lines} of {slices} that were hidden from each method in a second pass ({held.seconds:.1f} s); "
        f"their noise alone gives about {held.noise.mean():.2f}."
    )


def counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def notes(volume: PreparedVolume, results: Mapping[str, Reconstruction], priors: Mapping[str, Prior]) -> Iterator[str]:
    """What a reader must know of each prior that was used: which, at which resolution, whether the std means anything."""
    matrix = tuple(volume.kspace.shape[-2:])
    if volume.sets == 2:
        yield (
            "the object is larger than the field of view and folds onto itself, so that each pixel has two coil maps: images "
            "are the first set's (the file keeps the second's as `second_set`), errors those of both together"
        )
    for name, prior in priors.items():
        found = results[name]
        if prior.is_own:
            yield f"{name}: the prior is the caller's own ({prior.path}): what it was trained on is not known"
        else:
            seen = f"{prior.card.images_seen:,} images of {prior.card.data}"
            yield f"{name}: prior {place(prior.path)} ({prior.card.kind}; {seen})"
        if found.matrix != matrix:
            yield (
                f"{name}: the scan of {matrix[0]}x{matrix[1]} was brought to {found.matrix[0]}x{found.matrix[1]}, the finer "
                "pixel of the prior's training, and back"
            )
            if not volume.provenance.get("field_of_view_mm"):
                yield f"{name}: the scan doesn't state its field of view and is taken to fill that of the prior's training"
        elif prior.card.pixel_mm and (fov := volume.provenance.get("field_of_view_mm")):
            finer = max(trained * n / f for trained, n, f in zip(prior.card.pixel_mm, matrix, fov, strict=True))
            if finer > FINER:
                yield f"{name}: the scan's pixels are {finer:.1f} times finer than those of the prior's training"
        if prior.card.images_seen < FEW and not prior.is_own:
            yield f"warning: {name}: this prior has seen only {prior.card.images_seen:,} images in training: expect little"
        if "simulated" in prior.card.data and not volume.provenance["simulated"]:
            yield f"warning: {name}: this prior has seen simulated scans alone, and this one is of a scanner"
        if stopped := unfinished_prior(prior.path):
            yield f"warning: {name}: {stopped}"
        if found.samples.shape[1] > 1 and not found.spreads:
            yield f"{name}: {NO_SPREAD}; how sure it is can't be read from them"


def draw_panel_of(path: Path, result: ResultData) -> None:
    """The panel of the middle slice."""
    about, middle = result.about, len(result) // 2
    shape = tuple(result.mean.shape[-2:])
    named = {name: name for name in beside_others(about.method) if name in result.magnitudes} | {
        about.method: result.title
    }
    images = {title: result.magnitudes[name][middle] for name, title in named.items()}
    title = f"{about.name}, slice {middle}, R={about.accel:.2f}"
    if about.prior and about.working_matrix != shape:
        title += f"; the prior worked at {about.working_matrix[0]}x{about.working_matrix[1]}"
    if result.several and not about.spreads:
        title += f"; no std: {NO_SPREAD}"
    draw_panel(
        path,
        images,
        result.std[middle] if about.spreads else None,
        result.determined_share[middle],
        None if result.sampling is None else np.broadcast_to(result.sampling[middle], shape).astype(np.float32),
        None if result.reference is None else result.reference[middle],
        title,
    )
