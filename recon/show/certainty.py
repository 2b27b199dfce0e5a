"""Pictures of how far a reconstruction can be trusted: coverage, lesions put into a scan, lesions that aren't there."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Complex, Float
from matplotlib.figure import Figure
from torch import Tensor

from mri_ambient.recon.evaluate.lesions.insert import Lesioned
from mri_ambient.recon.evaluate.lesions.invented import Invented
from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.recon.evaluate.lesions.recover import Recovered
from mri_ambient.recon.evaluate.std_calibration import coverage, standardised_errors, std_scale_of
from mri_ambient.recon.reconstruct import Reconstruction
from mri_ambient.recon.show.figure import Block, print_figure
from mri_ambient.recon.show.notebook import tinted_pane
from mri_ambient.recon.show.panel import NOTICE, Image, Pane, common_window, draw_rows

LEVELS = np.arange(0.1, 0.96, 0.05)
CROP = 24  # pixels
SHOWN = 3  # samples
BRIGHTER = 2.5

Reference = Complex[Tensor, "slice y x"]


def samples_figure(found: Reconstruction, reference: Reference, slice: int) -> Figure:
    """The first samples and the mean, enlarged where they are most wrong."""
    images = {f"sample {k + 1}": found.samples[slice, k].abs().numpy() for k in range(SHOWN)}
    images["mean of all samples"] = found.mean[slice].abs().numpy()
    block = Block("", images, reference[slice].abs().numpy(), found.std[slice].numpy())
    return print_figure([block], f"{found.method}, {found.samples.shape[1]} samples.")


def coverage_figure(found: Reconstruction, reference: Reference, support: Bool[Tensor, "slice y x"]) -> Figure:
    """How much of the truth intervals of each level hold, before and after the std is multiplied by what makes 90 % true (on
    this very scan: to be chosen on others, which is what `tune` does). support: pixels to judge, such as `tissue`."""
    errors, count = standardised_errors(found, reference, support), found.samples.shape[1]
    scale = std_scale_of(errors, count)
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="gray", lw=0.8, ls="--", label="calibrated")
    for std_scale, label in ((1.0, "as it is"), (scale, f"std times {scale:.2f}")):
        held = [coverage(errors, float(level), count, std_scale) for level in LEVELS]
        axis.plot(LEVELS, held, marker="o", markersize=3, label=label)
    axis.set(xlabel="the interval promises", ylabel="it holds the truth", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.legend(frameon=False)
    axis.set_title(f"{found.method}, {count} samples. {NOTICE}", fontsize=8)
    return figure


def lesions_figure(
    lesioned: Lesioned, found: Reconstruction, without: Reconstruction, recovered: Sequence[Recovered]
) -> Figure:
    """Each lesion: in the truth, in the reconstruction, and where it was before; how much of its contrast came back. Each in a
    window of its own, from 0 to BRIGHTER times the tissue there."""
    truth, mean, before = (images.abs() for images in (lesioned.reference, found.mean, without.mean))
    rows: list[list[Pane | None]] = [[], [], []]
    for lesion, row in zip(lesioned.lesions, recovered, strict=True):
        profile = lesion.profile((truth.shape[-2], truth.shape[-1]))
        white = BRIGHTER * float((profile * before[lesion.slice]).sum() / profile.sum())
        interval = "" if row.low is None else f" ({row.low:.0%} to {row.high:.0%})"
        titles = (
            f"truth: {lesion.width:g} pixels, +{lesion.contrast:.0%}",
            f"{row.recovery:.0%} back{interval}",
            "without lesion",
        )
        for panes, title, images in zip(rows, titles, (truth, mean, before), strict=True):
            panes.append(Pane(title, around(lesion, images[lesion.slice].numpy()), "gray", white))
    return draw_rows(rows, f"lesions put into the scan; {found.method}, mean; 90 % intervals", 1.9)


def invented_figure(share: Float[Tensor, "slice y x"], invented: Sequence[Invented]) -> Figure:
    """Each invented lesion: as drawn, what the measured samples leave of it, and how much of a pixel they determine."""
    rows: list[list[Pane | None]] = []
    for one in invented:
        drawn, corrected = one.drawn.abs().numpy(), one.corrected.abs().numpy()
        white = common_window({"drawn": drawn}, None)
        near = BRIGHTER * float(drawn[one.lesion.centre]) / (1 + one.lesion.contrast)
        known = share[one.lesion.slice].numpy()
        before, as_drawn, left = one.misfits
        rows.append(
            [
                Pane("drawn by hand", drawn, "gray", white),
                Pane(f"misfit {before:.2f} -> {as_drawn:.2f}", around(one.lesion, drawn), "gray", near),
                Pane(f"{one.left:.0%} left, misfit {left:.2f}", around(one.lesion, corrected), "gray", near),
                Pane(f"data determine {known[one.lesion.centre]:.0%} here", around(one.lesion, known), "viridis", 1.0),
                tinted_pane(corrected, known, white),
            ]
        )
    return draw_rows(rows, "a lesion that isn't there: as drawn, and what the measured samples leave of it", 2.6)


def around(lesion: Lesion, image: Image) -> Float[np.ndarray, "rows columns"]:
    """CROP x CROP pixels, fewer at the image's edge."""
    top, left = (max(0, centre - CROP // 2) for centre in lesion.centre)
    return image[top : top + CROP, left : left + CROP]
