"""The figures of a comparison: errors against R, and one slice by every method; each as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mri_ambient.files import atomic_write
from recon.compare_rows import Row
from recon.compare_summary import Summary
from recon.panel import GAIN, NOTICE, Pane, draw_rows

DPI = 300
AXES = {  # measure of the mean -> (title, measure of one sample, the value of a perfect method)
    "NRMSE_mean": ("NRMSE", "NRMSE_one", None),
    "SSIM_mean": ("SSIM", "SSIM_one", None),
    "coverage_90": ("coverage of 90 % intervals", None, 0.9),
    "lesion_recovery": ("lesion contrast recovered", None, 1.0),
}


def draw_errors(stem: Path, summaries: Sequence[Summary], title: str) -> None:
    """Write ``stem``.png and .svg: filled, joined points are means of all samples with their 95 % intervals over subjects, open
    ones a single sample."""
    known = {m: text for m, text in AXES.items() if any(m in summary.estimates for summary in summaries)}
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
    subjects = min(s.estimates["NRMSE_mean"].subjects for s in summaries)
    bars_are = (
        "bars: 95 % bootstrap interval over subjects" if subjects >= 3 else f"n = {subjects} subjects: no interval"
    )
    figure.suptitle(f"{title}\n{bars_are}. {NOTICE}", fontsize=8)
    save(figure, stem)


def draw_pictures(stem: Path, rows: Sequence[Row], folder: Path) -> None:
    """Write ``stem``.png and .svg: the middle slice of one scan, all methods in one window; below each its error x GAIN."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    panes: list[list[Pane | None]] = []
    for accel in sorted({row["accel"] for row in rows}):
        images = {}
        for row in rows:
            if row["accel"] == accel:
                with np.load(folder / row["picture"]) as arrays:
                    images[row["label"]] = arrays["image"], arrays["reference"]
        reference = next(iter(images.values()))[1]
        window = float(np.quantile(reference, 0.995))
        upper: list[Pane | None] = [Pane("reference", reference, "gray", window)]
        lower: list[Pane | None] = [None]
        for label in labels:
            image, truth = images[label]
            upper.append(Pane(f"{label}, R={accel:g}", image, "gray", window))
            lower.append(Pane(f"|error| x{GAIN}", np.abs(image - truth), "magma", window / GAIN))
        panes += [upper, lower]
    title = (
        f"{rows[0]['scan']} ({rows[0]['kind']}), middle slice, mean of all samples, one window; errors x{GAIN} in it"
    )
    save(draw_rows(panes, title, 1.7), stem)


def save(figure: Figure, stem: Path) -> None:
    with rc_context({"svg.hashsalt": stem.name}):  # the same figure gives the same bytes
        for kind, metadata in {"png": {}, "svg": {"Date": None}}.items():
            with atomic_write(stem.with_suffix(f".{kind}")) as temporary:
                figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
