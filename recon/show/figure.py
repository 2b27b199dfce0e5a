"""The figure for print: methods side by side in one window, one place enlarged, errors on a stated scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view

from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.panel import GAIN, NOTICE, Image, common_window
from mri_ambient.recon.show.series import Series, chosen_series, every_method

METADATA = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}  # the same figure gives the same bytes
DPI = 300
WIDTH, NARROWEST = 7.2, 1.2  # inches: of a journal's page; of an image
SMALLEST_BOX, BOX = 16, 4  # pixels; a box is an image's shorter side over BOX
BOX_COLOUR, FONT = "#ff9d2e", 6


@dataclass(frozen=True)
class Block:
    """One slice by several methods: rows of the figure. label: at the left. images: title -> magnitude. reference: None if
    unknown. std: None if it would say nothing."""

    label: str
    images: Mapping[str, Image]
    reference: Image | None
    std: Image | None = None

    @property
    def shape(self) -> tuple[int, int]:
        image = next(iter(self.images.values()))
        return image.shape[0], image.shape[1]


@dataclass(frozen=True)
class Box:
    top: int
    left: int
    side: int

    def of(self, image: Image) -> Float[np.ndarray, "side side"]:
        return image[self.top : self.top + self.side, self.left : self.left + self.side]


def draw_figure(path: Path, result: ResultData, index: int | None = None, series: Sequence[Series] = ()) -> None:
    """Write the figure of one slice (default: the middle one) as pdf, svg or png, whichever ``path`` ends in.

    series: magnitudes, and the std, to show; by default every method's and the std. The reference is always there, if known.
    Raises UserError if there is no such slice or no magnitude among the series.
    """
    count = len(result)
    index = count // 2 if index is None else index
    if not 0 <= index < count:
        raise UserError(f"{result.label}: has no slice {index}; choose one of 0 to {count - 1} with --slice")
    chosen = series or chosen_series(result, by_default=every_method)
    block = block_of(result, index, [volume for one in chosen for volume in one.split()])
    about = result.about
    kind = "simulated, " if about.simulated else ""
    of = f" of 0 to {count - 1}" if count > 1 else ""
    caption = f"{about.name} ({kind}slice {index}{of}), R = {about.accel:.2f}, ACS {about.acs[1]} lines."
    save(print_figure([block], caption), path)


def block_of(result: ResultData, index: int, series: Sequence[Series]) -> Block:
    """One slice of them."""
    shown = {one.name: (one.title, one.images[0, index]) for one in series}
    if "determined" in shown:
        raise UserError("--series determined: is no magnitude; a figure shows magnitudes and the std")
    _, std = shown.pop("std", ("", None))
    shown.pop("reference", None)
    if not shown:
        raise UserError("--series: names no magnitude; choose at least one, such as mean")
    reference = None if result.reference is None else result.reference[index]
    return Block("", dict(shown.values()), reference, std)


def print_figure(blocks: Sequence[Block], caption: str) -> Figure:
    """Blocks below each other, all in the first one's window and with the same box, which the row below the images enlarges.
    Where there is a reference, a third row has |error| (and the std) from 0 to 1/GAIN of the window, in percent of it.

    All blocks have images of one size and the same titles, and either all have a reference or none has.
    """
    images = {f"{block.label} {title}": image for block in blocks for title, image in block.images.items()}
    white, box = common_window(images, blocks[0].reference), interesting_box(blocks)
    rows = [row for block in blocks for row in rows_of(block, box)]
    columns, (height, width) = len(rows[0]), blocks[0].shape
    inches = max(WIDTH / columns, NARROWEST)
    heights = [inches * (1 if row[-1] and row[-1].enlarged else height / width) for row in rows]
    titled = sum(any(cell and cell.title for cell in row) for row in rows)
    size = (inches * columns + 0.5, sum(heights) + 0.13 * titled + 0.03 * len(rows) + 0.3)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01))
    grid = figure.add_gridspec(len(rows), columns + 1, width_ratios=[1] * columns + [0.05], height_ratios=heights)
    scale = ""
    for y, row in enumerate(rows):
        shown = {
            cell: draw_cell(figure.add_subplot(grid[y, x]), cell, white, box) for x, cell in enumerate(row) if cell
        }
        coloured = [image for cell, image in shown.items() if cell.coloured and not cell.enlarged]
        if coloured:
            bar = figure.colorbar(coloured[0], cax=figure.add_subplot(grid[y, columns]))
            bar.set_ticks([0, white / GAIN / 2, white / GAIN], labels=["0", f"{50 / GAIN:g} %", f"{100 / GAIN:g} %"])
            bar.ax.tick_params(labelsize=FONT, length=2, pad=1)
            scale = f" Colours: 0 to {100 / GAIN:g} % of it."
    text = f"{caption} Magnitudes in one window, 0 to {white:.3g}.{scale} Box: enlarged below. {NOTICE}."
    figure.supxlabel("\n".join(wrap(text, int(18 * size[0]))), fontsize=FONT)
    return figure


@dataclass(frozen=True, eq=False)
class Cell:
    """coloured: an error or a std, shown from 0 to 1/GAIN of the window; else a magnitude. enlarged: the inside of the box."""

    title: str
    image: Float[np.ndarray, "y x"]
    coloured: bool = False
    enlarged: bool = False
    label: str = ""


def rows_of(block: Block, box: Box) -> list[list[Cell | None]]:
    """Images, what is in the box, errors; the std stands below the reference, or last where there is none."""
    std = [] if block.std is None else [Cell("std of samples", block.std, coloured=True)]
    methods = [Cell(title, image) for title, image in block.images.items()]
    reference = block.reference
    images = [*methods, *std] if reference is None else [Cell("reference", reference), *methods]
    images[0] = replace(images[0], label=block.label)
    enlarged = [replace(cell, title="", image=box.of(cell.image), enlarged=True, label="") for cell in images]
    if reference is None:
        return [list(images), list(enlarged)]
    errors = [Cell("|error|", np.abs(cell.image - reference), coloured=True) for cell in methods]
    return [list(images), list(enlarged), [*(std or [None]), *errors]]


def draw_cell(axis: Axes, cell: Cell, white: float, box: Box) -> AxesImage:
    colours, brightest = ("magma", white / GAIN) if cell.coloured else ("gray", white)
    shown = axis.imshow(cell.image, cmap=colours, vmin=0, vmax=brightest)
    axis.set(xticks=[], yticks=[])
    axis.set_title(cell.title, fontsize=FONT, pad=2)
    axis.set_ylabel(cell.label, fontsize=FONT)
    if cell.enlarged:
        axis.spines[:].set(color=BOX_COLOUR, linewidth=1)
    else:
        axis.spines[:].set_visible(False)
        axis.add_patch(
            Rectangle((box.left - 0.5, box.top - 0.5), box.side, box.side, fill=False, ec=BOX_COLOUR, lw=0.7)
        )
    return shown


def interesting_box(blocks: Sequence[Block]) -> Box:
    """Where the methods' mean |error| is largest, on average over the box; without a reference where the std is, and without
    one where the methods differ most among themselves."""
    interest = np.zeros(blocks[0].shape)
    for block in blocks:
        images = np.stack(list(block.images.values()))
        if block.reference is not None:
            interest += np.abs(images - block.reference).mean(0)
        else:
            interest += np.ptp(images, 0) if block.std is None else block.std
    side = min(max(SMALLEST_BOX, min(interest.shape) // BOX), *interest.shape)
    inside = sliding_window_view(interest, (side, side)).sum((-2, -1))  # by the box's upper left corner
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return Box(int(top), int(left), side)


def save(figure: Figure, path: Path) -> None:
    """As pdf, svg or png, whichever ``path`` ends in."""
    kind = path.suffix[1:]
    with rc_context({"svg.hashsalt": path.stem, "pdf.fonttype": 42}), atomic_write(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=DPI, metadata=METADATA[kind])
