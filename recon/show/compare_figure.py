"""The figures of a comparison: errors against R, and one slice by every method; each as PNG, SVG and PDF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mri_ambient.recon.evaluate.bootstrap import FEWEST
from mri_ambient.recon.evaluate.compare_summary import MEAN, Summary
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.evaluate.rows import ComparedScan
from mri_ambient.recon.show.figure import METADATA, Block, print_figure, save
from mri_ambient.recon.show.panel import NOTICE

Axes = dict[str, tuple[str, str | None, float | None]]
OTHER_AXES: Axes = {  # measure of the mean -> (title, measure of one sample, the value of a perfect method)
    "coverage_90": ("coverage of 90 % intervals", None, 0.9),
    "lesion_recovery": ("lesion contrast recovered", None, 1.0),
}


def draw_errors(stem: Path, summaries: Sequence[Summary], title: str) -> None:
    """Write ``stem``.png, .svg and .pdf: filled, joined points are means of all samples with their 95 % intervals over
    subjects, open ones a single sample."""
    axes: Axes = {f"{k}_mean": (metric.title, f"{k}_one", None) for k, metric in METRICS.items() if metric.plotted}
    axes |= OTHER_AXES
    known = {m: text for m, text in axes.items() if any(m in summary.estimates for summary in summaries)}
    labels = list(dict.fromkeys(summary.label for summary in summaries))
    accels = sorted({summary.accel for summary in summaries})
    figure = Figure(figsize=(4.2 * len(known), 4.6), layout="constrained")
    for axis, (measure, (name, single, ideal)) in zip(
        figure.subplots(1, len(known), squeeze=False)[0], known.items(), strict=True
    ):
        for index, label in enumerate(labels):
            those = [s for s in summaries if s.label == label and measure in s.estimates]
            found = [s.estimates[measure] for s in those]
            # side by side, or intervals hide each other
            places = [accels.index(s.accel) + 0.5 * ((index + 0.5) / len(labels) - 0.5) for s in those]
            means = [e.mean for e in found]
            bars = [
                [0 if end is None else abs(e.mean - end) for e in found for end in (e.low if low else e.high,)]
                for low in (True, False)
            ]
            colour = f"C{index}"
            axis.errorbar(places, means, bars, color=colour, marker="o", markersize=4, capsize=3, lw=1, label=label)
            ones = [s.estimates[single].mean for s in those] if single else []
            if any(one != mean for one, mean in zip(ones, means, strict=False)):
                axis.plot(places, ones, color=colour, marker="o", markersize=5, mfc="none", ls=":", lw=1)
        if ideal is not None:
            axis.axhline(ideal, color="gray", lw=0.8, ls="--")
        axis.set_xticks(range(len(accels)), [f"{accel:g}" for accel in accels])
        axis.set_xlim(-0.4, len(accels) - 0.6)
        axis.set_xlabel("R")
        axis.set_title(name, fontsize=10)
        axis.grid(axis="y", alpha=0.3)
    figure.axes[0].plot([], [], color="black", marker="o", markersize=4, lw=1, label="mean of all samples")
    figure.axes[0].plot([], [], color="black", marker="o", markersize=5, mfc="none", ls=":", lw=1, label="one sample")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    subjects = min(s.estimates[MEAN].subjects for s in summaries)
    bars_are = (
        "bars: 95 % bootstrap interval over subjects" if subjects >= FEWEST else f"n = {subjects} subjects: no interval"
    )
    figure.suptitle(f"{title}\n{bars_are}. {NOTICE}", fontsize=8)
    save_all(figure, stem)


def draw_pictures(stem: Path, rows: Sequence[ComparedScan], folder: Path) -> bool:
    """Write ``stem``.png, .svg and .pdf: the middle slice of one scan at each R by all methods that did not fail at one, see
    :func:`mri_ambient.recon.show.figure.print_figure`. Writes nothing and returns False if each did."""
    accels, labels = sorted({row.accel for row in rows}), [row.label for row in rows]
    everywhere = {label for label in labels if labels.count(label) == len(accels)}  # one may have failed at an R
    if not everywhere:
        return False
    blocks = []
    for accel in accels:
        images, truth = {}, None
        for row in rows:
            if row.accel == accel and row.label in everywhere and row.picture:
                with np.load(folder / row.picture) as arrays:
                    images[row.label], truth = arrays["image"], arrays["reference"]
        blocks.append(Block(f"R = {accel:g}", images, truth))
    realised = sorted({row.realised_accel for row in rows})
    caption = (
        f"{rows[0].scan} ({rows[0].kind}), middle slice, mean of all samples, {rows[0].reference}, realised R = "
        f"{', '.join(f'{accel:.2f}' for accel in realised)}."
    )
    save_all(print_figure(blocks, caption), stem)
    return True


def save_all(figure: Figure, stem: Path) -> None:
    for kind in METADATA:
        save(figure, stem.with_name(f"{stem.name}.{kind}"))
