"""Means over subjects and how far they would be from those of other subjects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

DRAWS, LEVEL, FEWEST = 10_000, 0.95, 3


@dataclass(frozen=True)
class Estimate:
    """A mean over subjects.

    Attributes:
        mean: of the subjects' means.
        low: where its interval of LEVEL begins; None with fewer than FEWEST subjects, too few to say.
        high: where it ends; None where ``low`` is.
        subjects: how many.
    """

    mean: float
    low: float | None
    high: float | None
    subjects: int


def over_subjects(values: Sequence[float], subjects: Sequence[str], seed: int) -> Estimate:
    """The mean of the subjects' means, and its percentile bootstrap interval of LEVEL (Efron, Ann. Statist. 7:1, 1979).

    Args:
        values: one a scan.
        subjects: whose scan it is; scans of one subject are drawn, or not, together.
        seed: the same subjects and seed give the same draws, so that methods are judged on the same ones.

    Example:
        >>> over_subjects([1.0, 2.0, 3.0], ["a", "b", "b"], seed=0)
        Estimate(mean=1.75, low=None, high=None, subjects=2)
    """
    of_subject: dict[str, list[float]] = {}
    for value, subject in sorted(zip(values, subjects, strict=True), key=lambda pair: pair[1]):
        of_subject.setdefault(subject, []).append(value)
    means = np.array([sum(those) / len(those) for those in of_subject.values()])
    mean, count = float(means.mean()), len(means)
    if count < FEWEST:
        return Estimate(mean, None, None, count)
    rng = np.random.default_rng(seed)
    drawn = bootstrap(
        (means,), np.mean, n_resamples=DRAWS, confidence_level=LEVEL, method="percentile", rng=rng
    ).confidence_interval
    return Estimate(mean, float(drawn.low), float(drawn.high), count)
