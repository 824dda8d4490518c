"""Curves over all queries: precision over retrieved items, precision and recall within radii."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .buckets import Floats, Integers, MetricsError
from .cutoff_metrics import precision_at
from .empty_queries import mean_over_queries, query_weights
from .histograms import Histograms


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall within growing Hamming radii, pooled over queries.

    Attributes:
        radius: [p], int64, radii within which at least one item is retrieved.
        precision: [p], relevant items retrieved by all queries / items retrieved by all queries.
        recall: [p], relevant items retrieved by all queries / relevant items of all queries.
    """

    radius: Integers
    precision: Floats
    recall: Floats


def precision_over_retrieved(hist: Histograms, ns: Sequence[int], empty: str = "zero") -> Floats:
    """Return the mean over queries of P@n for each n of ``ns``.

    Args:
        hist: histograms [q, buckets].
        ns: numbers of retrieved items.
        empty: a query without a relevant item counts as 0 (``zero``), is left out (``skip``) or
            is refused (``error``).

    Returns:
        Precision [len(ns)], from 0 to 1.

    Raises:
        MetricsError: an n below 1, an unknown choice, or no query is left.
    """
    weights = query_weights(hist, empty)
    return np.array(
        [mean_over_queries(precision_at(hist, n) * weights) for n in ns], dtype=np.float64
    )


def precision_recall_curve(hist: Histograms) -> PrecisionRecall:
    """Return precision and recall within each Hamming radius, pooled over queries.

    Pooled (micro): hits and items of all queries are added up before they are divided, so a query
    that retrieves nothing within a radius adds nothing to its precision. A radius within which no
    query retrieves an item has no precision and is left out of the curve.

    Args:
        hist: histograms [q, buckets], bucket d for distance d.

    Raises:
        MetricsError: no query has a relevant item.
    """
    retrieved = np.cumsum(hist.items.sum(axis=0))
    hits = np.cumsum(hist.relevant.sum(axis=0))
    if hits[-1] == 0:
        raise MetricsError("no query has a relevant item, so recall has no value")
    radius = np.flatnonzero(retrieved)
    return PrecisionRecall(
        radius=radius,
        precision=hits[radius] / retrieved[radius],
        recall=hits[radius] / hits[-1],
    )
