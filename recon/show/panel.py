"""The picture of a reconstruction: methods side by side in one window, their errors, and the std."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from mri_ambient.files import atomic_write

Image = Float[np.ndarray, "y x"]
GAIN = 5  # errors and std are shown this much brighter
NOTICE = "Research use, not for diagnosis"


class Pane(NamedTuple):
    """colours: a colour map, unused if the image is in colour itself. brightest: what is shown white, in that map."""

    title: str
    image: Image | Float[np.ndarray, "y x rgb"]
    colours: str
    brightest: float


def draw_panel(
    path: Path,
    images: Mapping[str, Image],
    std: Image | None,
    share: Image,
    sampling: Image | None,
    reference: Image | None,
    title: str,
) -> None:
    """Write a PNG: magnitudes in one common window; below, |error| x 5 in that window and the std likewise, and the ``share``
    of each pixel that the data determine, from 0 to 1.

    images: method name -> magnitude of one slice. std: None if it would say nothing. sampling: 1 where k-space was measured,
    shown where there is room, if it is known. reference: None if unknown.
    """
    window = common_window(images, reference)
    magnitudes = [Pane(name, image, "gray", window) for name, image in images.items()]
    spread = [] if std is None else [Pane(f"posterior std x{GAIN}", std, "magma", window / GAIN)]
    spread.append(Pane("determined by the data, 0 to 1", share, "viridis", 1.0))
    if reference is None:
        rows = [magnitudes + spread]
    else:
        measured = None if sampling is None else Pane("measured k-space", sampling, "gray", 1.0)
        first = [Pane("reference", reference, "gray", window), measured]
        errors = [
            Pane(f"|error| x{GAIN}: {name}", np.abs(image - reference), "magma", window / GAIN)
            for name, image in images.items()
        ]
        rows = [[*first[: len(spread)], *magnitudes], [*spread, *errors]]  # each error below its image
    with atomic_write(path) as temporary:
        draw_rows(rows, title, 2.6).savefig(temporary, format="png")


def common_window(
    images: Mapping[str, Float[np.ndarray, "*shape"]], reference: Float[np.ndarray, "*shape"] | None
) -> float:
    """Its upper end, 99.5 % of the reference's pixels or else of all images'; its lower end is 0."""
    return float(np.quantile(np.stack(list(images.values())) if reference is None else reference, 0.995))


def draw_rows(rows: Sequence[Sequence[Pane | None]], title: str, inches: float) -> Figure:
    """Panes side by side on black, each ``inches`` wide, under the title and the NOTICE."""
    size = (inches * len(rows[0]), 1.115 * inches * len(rows) + 0.5)
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="black")
    for axes, panes in zip(figure.subplots(len(rows), len(rows[0]), squeeze=False), rows, strict=True):
        for axis, pane in zip(axes, panes, strict=True):
            axis.set_axis_off()
            if pane is not None:
                axis.imshow(pane.image, cmap=pane.colours, vmin=0, vmax=pane.brightest)
                axis.set_title(pane.title, color="white", fontsize=3.5 * inches)
    figure.suptitle(f"{title}\n{NOTICE}", color="white", fontsize=9)
    return figure
