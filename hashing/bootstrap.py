"""Confidence of a difference between two methods: a paired bootstrap over the queries.

Reference:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, the percentile interval; for
    retrieval, Sakai, "Evaluating Evaluation Metrics based on the Bootstrap", SIGIR 2006.
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SHARE = 0.95
# Entries of a table [resamples, units] held at once: 32 MiB of int64.
CELLS = 1 << 22


@dataclass(frozen=True)
class Difference:
    """A mean difference with its confidence interval.

    Attributes:
        mean: mean difference.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p: two-sided p-value: twice the smaller share of resampled means on one side of 0, at most
            1; never 0, because the number of resamples is finite.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    differences: np.ndarray,
    units: np.ndarray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Difference]:
    """Return the mean of every column with its interval; all columns use the same resamples.

    A resample draws as many units as exist, with replacement. A unit brings all of its rows, so
    rows that depend on each other do not count as independent. The mean is over the rows drawn.

    Args:
        differences: [n, comparisons], one row per query: one method's value minus the other's.
        units: [n] number of the unit that each row belongs to, integers from 0 without gaps.
        rng: source of the resamples.
        resamples: number of resamples.

    Raises:
        ValueError: no rows, or units that do not fit them.
    """
    counts = np.bincount(units)
    if len(differences) != len(units) or not len(units) or (counts == 0).any():
        raise ValueError(f"{len(units)} units without gaps needed for {len(differences)} rows")
    sums = np.stack([np.bincount(units, column) for column in differences.T], axis=1)
    step = max(1, CELLS // len(counts))
    means = np.concatenate(
        [
            _resampled_means(sums, counts, rng, min(step, resamples - start))
            for start in range(0, resamples, step)
        ]
    )
    ends = np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2], axis=0)
    return [
        Difference(float(mean), float(low), float(high), _two_sided(column))
        for mean, low, high, column in zip(differences.mean(0), *ends, means.T, strict=True)
    ]


def _resampled_means(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int
) -> np.ndarray:
    """Return means [resamples, comparisons] of units with ``sums`` [units, comparisons]."""
    total = len(counts)
    drawn = rng.integers(total, size=(resamples, total))
    places = (drawn + total * np.arange(resamples)[:, None]).ravel()
    times = np.bincount(places, minlength=resamples * total).reshape(resamples, total)
    means: np.ndarray = (times @ sums) / (times @ counts)[:, None]
    return means


def _two_sided(means: np.ndarray) -> float:
    sides = np.count_nonzero(means <= 0), np.count_nonzero(means >= 0)
    return float(min(1.0, 2 * (1 + min(sides)) / (1 + len(means))))
