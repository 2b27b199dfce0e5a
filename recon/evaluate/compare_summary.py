"""Rows of many scans -> one line a method and R: means over subjects, and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mri_ambient.recon.evaluate.bootstrap import Estimate, over_subjects
from mri_ambient.recon.evaluate.metrics.registry import LEADING, METRICS
from mri_ambient.recon.evaluate.rows import ComparedScan

YARDSTICK = "l1-wavelet"  # what every method is compared with, scan by scan
ONE, MEAN = f"{LEADING}_one", f"{LEADING}_mean"  # the errors that lead: of one sample, and of the mean of all
DIFFERENCE = f"{MEAN}_minus_{YARDSTICK}"
OTHERS = (
    "NRMSE_noisy",
    "crps",
    "crps_complex",
    "energy_score",
    "complex_error",
    "debiased_error",
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
    """A method at one R.

    Attributes:
        label: how the method is called.
        accel: R.
        scans: how many.
        realised: the lowest and the highest realised R.
        spreads: whether the std means something.
        estimates: each of :func:`measures`, its mean over subjects, where there is one.
    """

    label: str
    accel: float
    scans: int
    realised: tuple[float, float]
    spreads: bool
    estimates: Mapping[str, Estimate]


def measures() -> tuple[str, ...]:
    """Every number of a row that is averaged, and the paired difference to YARDSTICK."""
    return *(f"{name}_{of}" for of in ("one", "mean") for name in METRICS), *OTHERS, DIFFERENCE


def summarise(rows: Sequence[ComparedScan], seed: int) -> list[Summary]:
    """One line a method and R.

    Args:
        rows: of one kind, raw or simulated.
        seed: of the bootstrap.

    Returns:
        By R and method, in the order in which they come.
    """
    groups: dict[tuple[float, str], list[ComparedScan]] = {}
    for row in rows:
        groups.setdefault((row.accel, row.label), []).append(row)
    summaries = []
    for (accel, label), those in sorted(groups.items(), key=lambda item: item[0][0]):
        yardstick = {row.scan: row.errors[MEAN] for row in groups.get((accel, YARDSTICK), [])}
        differences = [row.errors[MEAN] - yardstick[row.scan] if row.scan in yardstick else None for row in those]
        estimates = {}
        for measure in measures():
            found = differences if measure == DIFFERENCE else [row.measure(measure) for row in those]
            known = [(value, row.subject) for value, row in zip(found, those, strict=True) if value is not None]
            if known:
                values, subjects = zip(*known, strict=True)
                estimates[measure] = over_subjects(values, subjects, seed)
        realised = [row.realised_accel for row in those]
        spreads = those[0].spreads
        summaries.append(Summary(label, accel, len(those), (min(realised), max(realised)), spreads, estimates))
    return summaries
