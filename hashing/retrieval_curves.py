"""Curves over all queries: precision and recall over retrieved items, and within radii."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .buckets import Floats, Integers, MetricsError, ratio
from .cutoff_metrics import hits_at
from .empty_queries import query_weights
from .histograms import Histograms
from .over_queries import mean_over_queries


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall within growing Hamming radii, pooled over queries or their mean.

    Attributes:
        radius: [p], int64, the radii.
        precision: [p], relevant items retrieved / items retrieved.
        recall: [p], relevant items retrieved / relevant items.
    """

    radius: Integers
    precision: Floats
    recall: Floats


@dataclass(frozen=True, eq=False)
class OverRetrieved:
    """Precision and recall among the first n items, mean over queries, at several n.

    Attributes:
        precision: [p], hits among the first n / n, mean over the orders of the ties.
        recall: [p], the same hits / relevant items.
        precision_ceiling: [p], precision of a perfect ranking.
        recall_ceiling: [p], recall of a perfect ranking.
        precision_chance: [p], precision of a random order.
        recall_chance: [p], recall of a random order.
    """

    precision: Floats
    recall: Floats
    precision_ceiling: Floats
    recall_ceiling: Floats
    precision_chance: Floats
    recall_chance: Floats


def over_retrieved(hist: Histograms, ns: Sequence[int], empty: str = "zero") -> OverRetrieved:
    """Return mean precision and recall among the first n items, for each n of ``ns``.

    With R relevant items among N, a perfect ranking has min(n, R) hits among the first n, and a
    random order n R / N.

    Args:
        hist: histograms [q, buckets].
        ns: numbers of retrieved items.
        empty: a query without a relevant item counts as 0 (``zero``), is left out (``skip``) or
            is refused (``error``).

    Raises:
        MetricsError: an n below 1, an unknown choice, or no query is left.
    """
    weights = query_weights(hist, empty)
    relevant = hist.relevant.sum(axis=1).astype(np.float64)
    items = hist.items.sum(axis=1)
    columns = []
    for n in ns:
        each = hits_at(hist, n), np.minimum(relevant, n), np.minimum(n / items, 1) * relevant
        shares = [share for hits in each for share in (hits / n, ratio(hits, relevant))]
        columns.append(mean_over_queries(np.stack(shares, axis=1) * weights[:, None]))
    precision, recall, *others = np.array(columns, dtype=np.float64).T
    return OverRetrieved(precision, recall, *others)


def precision_recall_curve(hist: Histograms) -> PrecisionRecall:
    """Return precision and recall within each Hamming radius, pooled over queries.

    Pooled (micro): hits and items of all queries are added up before they are divided, so a query
    that retrieves nothing within a radius adds nothing to its precision. A radius within which no
    query retrieves an item has no precision and is left out of the curve.

    Args:
        hist: histograms [q, buckets], bucket d for distance d.

    Raises:
        MetricsError: no query has a relevant item.

    Reference:
        ``calcPreRecRadiusLabel`` of DCMH (github.com/jiangqy/DCMH-CVPR2017).
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


def mean_precision_recall_curve(hist: Histograms, empty: str = "zero") -> PrecisionRecall:
    """Return precision and recall within each Hamming radius, mean over queries (macro).

    Every query has its own precision and recall within a radius, and every query weighs the same. A
    query that retrieves nothing within a radius has precision 0 there, so that the curve starts low
    where few queries find anything, and has a point at every radius from 0 on.

    Args:
        hist: histograms [q, buckets], bucket d for distance d.
        empty: a query without a relevant item counts as 0 (``zero``), is left out (``skip``) or
            is refused (``error``).

    Raises:
        MetricsError: an unknown choice, a query is refused, or no query is left.

    Reference:
        ``get_precision_recall_by_Hamming_Radius_All`` of DeepHash (github.com/thulab/DeepHash).
    """
    weights = query_weights(hist, empty)[:, None]
    hits = np.cumsum(hist.relevant, axis=1)
    precision = ratio(hits, np.cumsum(hist.items, axis=1))
    recall = ratio(hits, hist.relevant.sum(axis=1, keepdims=True))
    return PrecisionRecall(
        radius=np.arange(hits.shape[1]),
        precision=mean_over_queries(precision * weights),
        recall=mean_over_queries(recall * weights),
    )
