"""Rows of many scans -> one line a method and R: means over subjects, paired differences, and how they are written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mri_ambient.recon.evaluate.bootstrap import Estimate, over_subjects
from mri_ambient.recon.evaluate.compare_rows import Row
from mri_ambient.recon.evaluate.metrics import METRICS
from mri_ambient.recon.reference import NAMES

YARDSTICK = "l1-wavelet"  # what every method is compared with, scan by scan
DIFFERENCE = f"NRMSE_mean_minus_{YARDSTICK}"
MEASURES = (
    *(f"{name}_{of}" for of in ("one", "mean") for name in METRICS),
    "std_ratio",
    "coverage_50",
    "coverage_90",
    "residual",
    "seconds_per_slice",
    "network_calls",
    "lesion_recovery",
)


@dataclass(frozen=True)
class Summary:
    """A method at one R: each measure's mean over subjects, and the paired difference to YARDSTICK."""

    label: str
    accel: float
    scans: int
    realised: tuple[float, float]
    spreads: bool
    estimates: Mapping[str, Estimate]


def summarise(rows: Sequence[Row], seed: int) -> list[Summary]:
    """Rows of one kind, raw or simulated, by R and method, in the order in which they come."""
    groups: dict[tuple[float, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["accel"], row["label"]), []).append(row)
    summaries = []
    for (accel, label), those in sorted(groups.items(), key=lambda item: item[0][0]):
        yardstick = {row["scan"]: row["NRMSE_mean"] for row in groups.get((accel, YARDSTICK), [])}
        paired: list[Row] = [
            row | {DIFFERENCE: row["NRMSE_mean"] - yardstick[row["scan"]] if row["scan"] in yardstick else None}
            for row in those
        ]
        estimates = {}
        for measure in (*MEASURES, DIFFERENCE):
            known = [row for row in paired if row.get(measure) is not None]
            if known:
                values = [row[measure] for row in known]
                estimates[measure] = over_subjects(values, [row["subject"] for row in known], seed)
        realised = [row["realised_accel"] for row in those]
        spreads = those[0]["spreads"]
        summaries.append(Summary(label, accel, len(those), (min(realised), max(realised)), spreads, estimates))
    return summaries


def described(rows: Sequence[Row]) -> str:
    """What a number must say of where it comes from."""
    subjects, scans = ({row[key] for row in rows} for key in ("subject", "scan"))
    acs = listed(sorted({row["acs"][1] for row in rows}))
    maps = ", ".join(sorted({row["maps"] for row in rows}))
    counts = listed(sorted({row["slices_done"] for row in rows}))
    each = f"{counts} slice each" if counts == "1" else f"{counts} slices each"
    return (
        f"{len(scans)} scans of {len(subjects)} subjects, {each}, {rows[0]['mask']} masks, ACS {acs} lines, coil "
        f"maps from {maps}, K={rows[0]['samples']}, seed {rows[0]['seed']}; against "
        f"{NAMES[rows[0]['reference'].lower()]} of the complete scan"
    )


Columns = Mapping[str, tuple[str, int]]
ERROR_COLUMNS: Columns = {  # heading -> (measure, digits)
    "one": ("NRMSE_one", 3),
    "NRMSE": ("NRMSE_mean", 3),
    f"minus {YARDSTICK}": (DIFFERENCE, 3),
    "PSNR": ("PSNR_mean", 1),
    "SSIM": ("SSIM_mean", 3),
    "HFEN": ("HFEN_mean", 3),
}
OTHER_COLUMNS: Columns = {
    "std/error": ("std_ratio", 2),
    "50 %": ("coverage_50", 2),
    "90 %": ("coverage_90", 2),
    "residual": ("residual", 2),
    "s/slice": ("seconds_per_slice", 2),
    "calls": ("network_calls", 0),
    "lesions": ("lesion_recovery", 2),
}
WITH_INTERVAL = ("NRMSE", f"minus {YARDSTICK}")
LEGEND = (
    "Magnitude errors, data range = volume maximum. one: NRMSE of one "
    "sample; the others: of the mean of all samples. [95 % bootstrap interval over subjects], none below 3 subjects. std/error "
    "is 1 if calibrated; *: samples hardly differ by construction, their spread says nothing. 50 %, 90 %: the share of pixels "
    "with tissue that such intervals cover. residual: misfit on measured samples in units of the noise. calls: network "
    "evaluations an image. lesions: the share of inserted contrast that comes back."
)


def shown_columns(summaries: Sequence[Summary], columns: Columns) -> Columns:
    """Those about which anything is known."""
    return {title: (m, d) for title, (m, d) in columns.items() if any(m in s.estimates for s in summaries)}


def cells(summary: Summary, columns: Columns) -> list[str]:
    """As text; empty where a method has nothing to say, with a * where its spread says nothing."""
    texts = []
    for title, (measure, digits) in columns.items():
        found = summary.estimates.get(measure)
        if found is None or (measure == DIFFERENCE and summary.label == YARDSTICK):
            texts.append("")
            continue
        text = f"{found.mean:.{digits}f}"
        if title in WITH_INTERVAL and found.low is not None:
            text += f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
        texts.append(text + "*" * (measure == "std_ratio" and not summary.spreads))
    return texts


def listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
