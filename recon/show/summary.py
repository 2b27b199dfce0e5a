"""What a reconstruction says of itself: the table in the terminal and the panel."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jaxtyping import Complex
from rich.box import SIMPLE
from rich.table import Table
from torch import Tensor

from mri_ambient.measurement import magnitude
from mri_ambient.priors.card import Prior
from mri_ambient.priors.runs import place, unfinished_prior
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.evaluate.std_calibration import spread_over_error
from mri_ambient.recon.reconstruct import Reconstruction
from mri_ambient.recon.reference import MVUE, NAMES
from mri_ambient.recon.show.panel import draw_panel
from mri_ambient.recon.show.recon_file import Outcome
from mri_ambient.store import PreparedVolume

FEW = 5_000  # images seen in training
FINER = 1.2  # times, from which on pixels are told to be finer than those of the training
NO_SPREAD = "samples of a masked prior that is shown the scan's own lines hardly differ, right or wrong"


def table(
    volume: PreparedVolume,
    results: Mapping[str, Reconstruction],
    reference: Complex[Tensor, "slice v x"] | None,
    held: HeldOut | None = None,
    against: str = MVUE,
) -> Table:
    """Seconds, measured-line residual and error on hidden lines of each method; with a reference, errors of one sample and of
    the mean."""
    kind = "simulated" if volume.provenance["simulated"] else "raw"
    title = f"{volume.name} ({kind}), R={volume.accel:.2f}, ACS {volume.acs[1]} lines"
    caption = "residual: misfit on the measured samples over the noise level."
    rows = volume.kspace.shape[-2]
    if reference is not None:
        truth = magnitude(reference, rows).numpy()
        caption += (
            f" Errors: magnitude against {NAMES[against]} of the complete scan, data range = volume maximum."
            " std/error: root mean square of the std over that of the (complex) error of the mean; 1 is calibrated."
        )
    if held is not None:
        caption += f" held-out: {explained(held)}"
    show = Table(title=title, caption=caption, caption_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    show.add_column("method")
    for name in (*((*METRICS, "std/\nerror") if reference is not None else ()), "residual", "held-\nout", "s/\nslice"):
        show.add_column(name, justify="right")
    for name, found in results.items():
        for label, images in _versions(name, found).items():
            row = []
            if reference is not None:
                row = [f"{metric(truth, images):.3f}" for metric in METRICS.values()]
                of_mean = label != name and label == found.title
                spread = f"{spread_over_error(found, reference[:, :rows]):.2f}" if found.spreads else "no spread"
                row.append(spread if of_mean else "")
            hidden = "" if held is None else f"{(held.errors if label == found.title else held.one)[name].mean():.2f}"
            seconds = f"{found.seconds / len(found.samples):.2f}"
            show.add_row(label, *row, f"{found.measured_residual.mean():.2f}", hidden, seconds)
    return show


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
        yield f"{name}: prior {place(prior.path)} ({prior.card.kind}; {prior.card.images_seen:,} images of {prior.card.data})"
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
        if prior.card.images_seen < FEW:
            yield f"warning: {name}: this prior has seen only {prior.card.images_seen:,} images in training: expect little"
        if "simulated" in prior.card.data and not volume.provenance["simulated"]:
            yield f"warning: {name}: this prior has seen simulated scans alone, and this one is of a scanner"
        if stopped := unfinished_prior(prior.path):
            yield f"warning: {name}: {stopped}"
        if found.samples.shape[1] > 1 and not found.spreads:
            yield f"{name}: {NO_SPREAD}; how sure it is can't be read from them"


def draw(path: Path, outcome: Outcome) -> None:
    """The panel of the middle slice."""
    volume, results, kept, reference = outcome.volume, outcome.results, outcome.kept, outcome.reference
    middle = len(volume.kspace) // 2
    names = [name for name in results if name in ("zero-filled", "l1-wavelet", kept)]
    images = {results[name].title: results[name].mean[middle].abs().numpy() for name in names}
    found = results[kept]
    std = found.std[middle].numpy() if found.spreads else None
    title = f"{volume.name}, slice {middle}, R={volume.accel:.2f}"
    if found.prior and found.matrix != volume.kspace.shape[-2:]:
        title += f"; the prior worked at {found.matrix[0]}x{found.matrix[1]}"
    if found.samples.shape[1] > 1 and not found.spreads:
        title += f"; no std: {NO_SPREAD}"
    truth = None if reference is None else reference[middle, : volume.kspace.shape[-2]].abs().numpy()
    sampling = volume.mask[middle].expand(volume.kspace.shape[-2:]).float().numpy()
    draw_panel(path, images, std, outcome.share[middle].numpy(), sampling, truth, title)


def _versions(name: str, found: Reconstruction) -> dict:
    """What is judged: the one image; or one sample and the mean of all."""
    one, mean = (image.numpy() for image in found.magnitudes)
    return {name: one} if found.samples.shape[1] == 1 else {f"{name}, one sample": one, found.title: mean}
