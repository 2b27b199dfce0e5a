"""An audit on disk: every image's neighbour, the numbers, and a picture of the nearest pairs to judge by eye."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure, SubFigure
from rich.table import Table
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.audit.memorisation import RARE, THRESHOLDS, Audit
from mri_ambient.files import atomic_write
from mri_ambient.store import Json

PAIRS = 6
FEW_SUBJECTS = 5
COLOURS = {"samples": "tab:orange", "held out": "tab:blue"}


def write_neighbours(path: Path, audit: Audit, training: tuple[str, ...], held_out: tuple[str, ...]) -> None:
    """CSV: set, image, similarity, and the training image that is nearest. training, held_out: what the images are called."""
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "image", "similarity", "nearest_training_image"])
        for kind, names, near, neighbours in (
            ("sample", range(len(audit.samples)), audit.samples, audit.sample_neighbours),
            ("held out", held_out, audit.held_out, audit.held_out_neighbours),
        ):
            for name, similarity, index in zip(names, near.tolist(), neighbours.tolist(), strict=True):
                writer.writerow([kind, name, f"{similarity:.6f}", training[index]])


def write_summary(path: Path, audit: Audit, settings: Mapping[str, object]) -> None:
    """JSON: the measures, and what was compared."""
    found: Json = {"nearer": audit.nearer, "further": audit.further}
    for name, near in (("samples", audit.samples), ("held_out", audit.held_out)):
        found[name] = {"images": len(near), "max_similarity": float(near.max())}
    found["measures"] = [asdict(measure) for measure in audit.measures]
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(found | dict(settings) | {"version": __version__}, indent=2) + "\n")


def table(audit: Audit) -> Table:
    """The measures in the terminal."""
    columns = ("", f"{len(audit.samples)} samples", f"{len(audit.held_out)} held out", "excess", "95 % interval")
    shown = Table(*columns, title="S, the similarity to the nearest training image")
    for m in audit.measures:
        low, high = m.interval
        shown.add_row(m.name, f"{m.samples:.3f}", f"{m.held_out:.3f}", f"{m.excess:+.3f}", f"{low:+.3f} to {high:+.3f}")
    shown.add_row("largest S", f"{audit.samples.max():.3f}", f"{audit.held_out.max():.3f}", "", "")
    return shown


def notes(audit: Audit, subjects: int) -> list[str]:
    """What the numbers say, and what to mistrust about them."""
    first = audit.measures[0]
    said = [
        f"{first.samples:.0%} of the samples are nearer to a training image than {RARE:.0%} of the held-out images are: "
        + ("more than chance allows; the pairs show whether they are copies" if audit.nearer else "no sign of copying")
    ]
    if audit.further:
        said.append(
            "the samples are less like the training images than held-out images are: this prior draws no typical images"
        )
    if subjects < FEW_SUBJECTS:
        said.append(f"{subjects} held-out subject{'s' * (subjects > 1)}: the intervals say little about others")
    if audit.measures[-2].held_out > 1 - RARE:
        said.append(
            "held-out images are as near as copies: some may be of the training subjects, or the features can't tell"
        )
    return said


def draw_audit(
    path: Path,
    audit: Audit,
    samples: Float[Tensor, "n y x"],
    training: Float[Tensor, "t y x"],
    held_out: Float[Tensor, "m y x"],
    title: str,
) -> None:
    """A PNG: the histogram of S, and the nearest pairs of both sets: image, nearest training image in its scale, difference."""
    figure = Figure(figsize=(11, 3 + 1.7 * PAIRS), dpi=110, layout="constrained")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.6, 1.7 * PAIRS)).flat
    top.suptitle(title, fontsize=9)
    axis = top.subplots()
    sets = {"samples": audit.samples.numpy(), "held out": audit.held_out.numpy()}
    edges = np.histogram_bin_edges(np.concatenate(list(sets.values())), bins=40)
    for name, near in sets.items():
        weights = np.full(len(near), 1 / len(near))
        axis.hist(near, edges, weights=weights, alpha=0.6, label=f"{name} ({len(near)})", color=COLOURS[name])
    for threshold in THRESHOLDS:
        axis.axvline(threshold, color="gray", linestyle=":")
    axis.set(xlabel="S, the similarity to the nearest training image", ylabel="share", xlim=(min(0, edges[0]), 1.01))
    axis.legend(fontsize=8)
    blocks = bottom.subfigures(1, 2, squeeze=False).flat
    draw_pairs(blocks[0], "nearest samples", samples, training, audit.samples, audit.sample_neighbours)
    draw_pairs(blocks[1], "nearest held-out images", held_out, training, audit.held_out, audit.held_out_neighbours)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_pairs(
    figure: SubFigure,
    title: str,
    images: Float[Tensor, "n y x"],
    training: Float[Tensor, "t y x"],
    near: Float[Tensor, " n"],
    neighbours: Int[Tensor, " n"],
) -> None:
    """The PAIRS with the largest S, the difference in the image's window."""
    figure.suptitle(title, fontsize=9)
    rows = figure.subplots(PAIRS, 3, squeeze=False)
    for row, index in zip(rows, near.argsort(descending=True).tolist(), strict=False):
        image, neighbour = images[index].numpy(), training[neighbours[index]].numpy()
        neighbour = neighbour * (image * neighbour).sum() / max((neighbour**2).sum(), 1e-12)
        window = float(np.quantile(image, 0.995))
        row[0].imshow(image, cmap="gray", vmin=0, vmax=window)
        row[1].imshow(neighbour, cmap="gray", vmin=0, vmax=window)
        row[2].imshow(np.abs(image - neighbour), cmap="magma", vmin=0, vmax=window)
        row[0].set_title(f"S = {near[index]:.3f}", fontsize=8)
    for axis, name in zip(rows[-1], ("image", "nearest training image", "|difference|"), strict=True):
        axis.set_xlabel(name, fontsize=8)
    for axis in rows.flat:
        axis.set(xticks=[], yticks=[])
