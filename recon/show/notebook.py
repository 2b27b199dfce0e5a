"""What a notebook shows: pictures with sliders where widgets run, else still ones."""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.panel import GAIN, NOTICE, Image, Pane, draw_rows
from mri_ambient.recon.show.series import window_of

STATIC = "MRI_AMBIENT_STATIC"  # set to anything: no widgets
DOUBTFUL = 0.8  # a pixel of which the data determine less is tinted
DPI = 130
TINT = (1.0, 0.25, 0.1)

Colours = Float[np.ndarray, "y x rgb"]


def widgets_run() -> bool:
    return not os.environ.get(STATIC) and find_spec("ipywidgets") is not None


def show(figure: Figure) -> None:
    """The figure below the cell."""
    from IPython.display import Image, display

    stored = io.BytesIO()
    figure.savefig(stored, format="png", dpi=DPI)
    display(Image(stored.getvalue()))


def explore(draw: Callable[..., Figure], **choices: Sequence[object]) -> None:
    """Show ``draw(**chosen)`` with a slider for each of ``choices``, from its middle on; without widgets the middle alone."""
    middle = {name: values[len(values) // 2] for name, values in choices.items()}
    if not widgets_run():
        show(draw(**middle))
        return
    from IPython.display import display
    from ipywidgets import SelectionSlider, VBox, interactive_output

    sliders = {
        name: SelectionSlider(options=list(values), value=middle[name], description=name, continuous_update=False)
        for name, values in choices.items()
    }
    display(VBox([*sliders.values(), interactive_output(lambda **chosen: show(draw(**chosen)), sliders)]))


def methods_beside_each_other(result: ResultData, slice: int, brightness: float = 1.0) -> Figure:
    """Every method in one window, ``brightness`` times as bright as usual; below, if the truth is known, its error."""
    white = window_of(result) / brightness
    images = {name: image[slice] for name, image in result.magnitudes.items()}
    rows: list[list[Pane | None]] = [[Pane(name, image, "gray", white) for name, image in images.items()]]
    if result.reference is not None:
        truth = result.reference[slice]
        errors = [Pane(f"|error| x{GAIN}", np.abs(image - truth), "magma", white / GAIN) for image in images.values()]
        rows = [[Pane("fully sampled", truth, "gray", white), *rows[0]], [None, *errors]]
    return draw_rows(rows, titled(result, slice), 2.6)


def how_sure(result: ResultData, slice: int, least: float = DOUBTFUL) -> Figure:
    """The mean, the std of the samples, and the mean again, tinted where the data determine less than ``least`` of a pixel."""
    white, image = window_of(result), result.magnitudes[result.about.method][slice]
    panes = [
        Pane(f"{result.about.method}, mean", image, "gray", white),
        Pane(f"{result.std_title} x{GAIN}", result.std[slice], "magma", white / GAIN),
        tinted_pane(image, result.determined_share[slice], white, least),
    ]
    return draw_rows([panes], titled(result, slice), 3.2)


def tinted_pane(image: Image, share: Image, white: float, least: float = DOUBTFUL) -> Pane:
    """Tinted where coils see and the data determine less than ``least`` of a pixel."""
    doubtful = (share > 0) & (share < least)
    return Pane(f"tinted: less than {least:.0%} determined", tinted(image, doubtful, white), "gray", white)


def tinted(image: Image, where: Bool[np.ndarray, "y x"], white: float) -> Colours:
    """Grey levels, and TINT over them where asked."""
    grey = np.clip(image / white, 0, 1)[..., None].repeat(3, -1)
    return np.where(where[..., None], 0.65 * grey + 0.35 * np.array(TINT), grey)


def titled(result: ResultData, slice: int) -> str:
    return f"{result.about.name}, slice {slice} of 0 to {len(result) - 1}, R={result.about.accel:.2f}"


def accelerations(results: Mapping[float, ResultData], slice: int) -> Figure:
    """A row an R: truth (if known), every method, std, and the share of each pixel that the data determine."""
    white = max(window_of(result) for result in results.values())
    rows: list[list[Pane | None]] = []
    for accel, result in results.items():
        row = [] if result.reference is None else [Pane("fully sampled", result.reference[slice], "gray", white)]
        row += [Pane(f"{name}, R={accel:g}", image[slice], "gray", white) for name, image in result.magnitudes.items()]
        row.append(Pane(f"{result.std_title} x{GAIN}", result.std[slice], "magma", white / GAIN))
        row.append(Pane("determined, 0 to 1", result.determined_share[slice], "viridis", 1.0))
        rows.append(list(row))
    first = next(iter(results.values()))
    return draw_rows(rows, f"{first.about.name}, slice {slice}", 2.1)


def errors_against_acceleration(results: Mapping[float, ResultData]) -> Figure:
    """NRMSE of each method's magnitude, and what samples that are draws of the posterior would make it for their mean:
    sqrt((1 + 1/K) / 2) ||std|| / ||reference||, see
    :func:`mri_ambient.recon.evaluate.std_calibration.standardised_errors`. All need a reference and samples."""
    found: dict[str, list[float]] = {}
    predicted = []
    for result in results.values():
        assert result.reference is not None
        assert result.samples is not None
        truth, count = result.reference, result.samples.shape[1]
        for name, image in result.magnitudes.items():
            found.setdefault(name, []).append(nrmse(truth, image))
        predicted.append(((1 + 1 / count) / 2) ** 0.5 * float(np.linalg.norm(result.std) / np.linalg.norm(truth)))
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axis = figure.subplots()
    for name, errors in found.items():
        axis.plot(list(results), errors, marker="o", label=name)
    axis.plot(list(results), predicted, ls="--", color="black", label="as the samples' std predicts")
    axis.set(xlabel="R", ylabel="NRMSE", ylim=(0, None), xticks=list(results))
    axis.legend(frameon=False, fontsize=8)
    axis.set_title(NOTICE, fontsize=8)
    return figure


def browse(nifti: Path) -> None:
    """A NIfTI file in NiiVue, slice by slice and in a window to choose; without widgets where it is."""
    if widgets_run() and find_spec("ipyniivue") is not None:
        from ipyniivue import NiiVue
        from IPython.display import display

        viewer = NiiVue()
        viewer.load_volumes([{"path": str(nifti)}])
        display(viewer)
    else:
        print(f"{nifti}: open it with any NIfTI viewer")
