"""How a comparison's lines are written: columns, their numbers, and what a reader must know of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mri_ambient.recon.evaluate.compare_summary import DIFFERENCE, MEAN, ONE, YARDSTICK, Summary
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.evaluate.planning import listed
from mri_ambient.recon.evaluate.rows import ComparedScan
from mri_ambient.recon.reference import NAMES

LEGEND = (
    "Magnitude errors, data range = volume maximum. one: NRMSE of one sample; the others: of the mean of all samples. "
    "Simulated scans are compared with their truth, which has no noise; noisy: NRMSE against the complete scan. CRPS: "
    "of the samples' magnitudes, over the mean magnitude, less is better; of one image it is the absolute error; "
    "complex: of real and imaginary parts; energy: the energy score of whole slices. error, debiased: of the complex "
    "mean, and without what few samples add. [95 % bootstrap interval over subjects], none below 3 subjects. "
    "std/error is 1 if calibrated; *: samples hardly differ by construction, their spread says nothing. 50 %, 90 %: "
    "the share of pixels with tissue that such intervals cover. residual: misfit on measured samples in units of the "
    "noise. calls: network evaluations an image. lesions: the share of inserted contrast that comes back."
)


@dataclass(frozen=True)
class Column:
    """Of a table.

    Attributes:
        title: its heading.
        measure: of :func:`mri_ambient.recon.evaluate.compare_summary.measures`.
        digits: after the point.
        interval: whether that over subjects is written, too.
    """

    title: str
    measure: str
    digits: int
    interval: bool = False


OTHER_COLUMNS = (
    Column("noisy", "NRMSE_noisy", 3),
    Column("CRPS", "crps", 4, interval=True),
    Column("complex", "crps_complex", 4),
    Column("energy", "energy_score", 3),
    Column("error", "complex_error", 3),
    Column("debiased", "debiased_error", 3),
    Column("std/error", "std_ratio", 2),
    Column("50 %", "coverage_50", 2),
    Column("90 %", "coverage_90", 2),
    Column("residual", "residual", 2),
    Column("s/slice", "seconds_per_slice", 2),
    Column("calls", "network_calls", 0),
    Column("lesions", "lesion_recovery", 2),
)


def error_columns() -> tuple[Column, ...]:
    """The leading metric of one sample, of the mean, against YARDSTICK; the other metrics of the mean."""
    leading, *others = METRICS.items()
    digits = leading[1].digits
    return (
        Column("one", ONE, digits),
        Column(leading[1].title, MEAN, digits, interval=True),
        Column(f"minus {YARDSTICK}", DIFFERENCE, digits, interval=True),
        *(Column(metric.title, f"{name}_mean", metric.digits) for name, metric in others),
    )


def shown_columns(summaries: Sequence[Summary], columns: Iterable[Column]) -> list[Column]:
    """Those about which anything is known."""
    return [column for column in columns if any(column.measure in summary.estimates for summary in summaries)]


def cells(summary: Summary, columns: Iterable[Column]) -> list[str]:
    """As text; empty where a method has nothing to say, with a * where its spread says nothing."""
    texts = []
    for column in columns:
        found = summary.estimates.get(column.measure)
        if found is None or (column.measure == DIFFERENCE and summary.label == YARDSTICK):
            texts.append("")
            continue
        text = f"{found.mean:.{column.digits}f}"
        if column.interval and found.low is not None:
            text += f" [{found.low:.{column.digits}f}, {found.high:.{column.digits}f}]"
        texts.append(text + "*" * (column.measure == "std_ratio" and not summary.spreads))
    return texts


def described(rows: Sequence[ComparedScan]) -> str:
    """What a number must say of where it comes from."""
    first, scans, subjects = rows[0], {row.scan for row in rows}, {row.subject for row in rows}
    acs = listed(sorted({row.acs[1] for row in rows}))
    maps = ", ".join(sorted({row.maps for row in rows}))
    counts = listed(sorted({row.slices_done for row in rows}))
    each = f"{counts} slice each" if counts == "1" else f"{counts} slices each"
    return (
        f"{len(scans)} scans of {len(subjects)} subjects, {each}, {first.mask} masks, ACS {acs} lines, coil "
        f"maps from {maps}, K={first.samples}, seed {first.seed}; against "
        f"{NAMES[first.reference.lower()]} of the complete scan"
    )
