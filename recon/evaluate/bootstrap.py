"""Means over subjects and how far they would be from those of other subjects."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator

DRAWS, LEVEL, FEWEST = 10_000, 0.95, 3


@dataclass(frozen=True)
class Estimate:
    """low, high: None with fewer than FEWEST subjects, too few to say."""

    mean: float
    low: float | None
    high: float | None
    subjects: int


def over_subjects(values: Sequence[float], subjects: Sequence[str], seed: int) -> Estimate:
    """The mean of the subjects' means, and its percentile bootstrap interval of LEVEL (Efron, Ann. Statist. 7:1, 1979).

    values: one a scan. subjects: whose scan it is; scans of one subject are drawn, or not, together. The same subjects and seed
    give the same draws, so that methods are judged on the same ones.
    """
    of_subject: dict[str, list[float]] = {}
    for value, subject in sorted(zip(values, subjects, strict=True), key=lambda pair: pair[1]):
        of_subject.setdefault(subject, []).append(value)
    means = torch.tensor([sum(those) / len(those) for those in of_subject.values()], dtype=torch.float64)
    count = len(means)
    if count < FEWEST:
        return Estimate(means.mean().item(), None, None, count)
    drawn = torch.randint(count, (DRAWS, count), generator=Generator().manual_seed(seed))
    levels = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    low, high = means[drawn].mean(1).quantile(levels).tolist()
    return Estimate(means.mean().item(), low, high, count)
