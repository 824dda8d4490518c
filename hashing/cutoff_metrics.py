"""Metrics of the first k items of ranked lists: precision, recall, F, hit and NDCG; Hamming radius.

Every function returns one value per query, the mean over all orders of the ties in closed form, and
0 for a query without a relevant item.
"""

from functools import lru_cache

import numpy as np

from .buckets import (
    Floats,
    MetricsError,
    bucket_cut,
    check_cutoff,
    cut_buckets,
    fewest_hits,
    hits_probability,
    most_hits,
    ratio,
)
from .histograms import Histograms


def hits_at(hist: Histograms, k: int) -> Floats:
    """Return the relevant items among the first k of each query [q], mean over orders of the ties.

    Raises:
        MetricsError: k below 1.
    """
    check_cutoff(k)
    buckets = cut_buckets(hist, k)
    hits: Floats = (buckets.relevant * ratio(buckets.kept, buckets.size)).sum(axis=1)
    return hits


def precision_at(hist: Histograms, k: int) -> Floats:
    """Return P@K of each query [q]: hits among the first k, divided by k in every case.

    Raises:
        MetricsError: k below 1.
    """
    return hits_at(hist, k) / k


def recall_at(hist: Histograms, k: int) -> Floats:
    """Return R@K of each query [q]: hits among the first k, divided by all relevant items.

    Raises:
        MetricsError: k below 1.
    """
    return ratio(hits_at(hist, k), hist.relevant.sum(axis=1))


def f_at(hist: Histograms, k: int) -> Floats:
    """Return F@K of each query [q]: 2 hits / (k + relevant items).

    Raises:
        MetricsError: k below 1.
    """
    f: Floats = 2 * hits_at(hist, k) / (k + hist.relevant.sum(axis=1))
    return f


def hit_at(hist: Histograms, k: int) -> Floats:
    """Return H@K of each query [q]: the share of orders with a relevant item among the first k.

    What work on image-text retrieval calls R@K. It is missed where no bucket before the one that k
    cuts has a relevant item, and none of that bucket's is among its items kept.

    Raises:
        MetricsError: k below 1.
    """
    check_cutoff(k)
    cut = bucket_cut(cut_buckets(hist, k))
    none_before = (cut.hits == 0) & (fewest_hits(cut) == 0)
    cases = int(most_hits(cut).max(initial=0)) + 1
    missed = np.where(none_before, hits_probability(cut, cases)[:, :1], 0.0)
    hit: Floats = 1 - missed[:, 0]
    return hit


def ndcg_at(hist: Histograms, k: int) -> Floats:
    r"""Return NDCG@K of each query [q] with binary relevance.

    An item at place i gains :math:`1 / \log_2(i + 1)` if it is relevant. A bucket adds
    :math:`\frac rn (D_{N+m} - D_N)` to the expected gain, where :math:`D_i` is the sum of the
    discounts of the first i places; the ideal gain is :math:`D_{\min(k, T)}`. The ideal gain does
    not depend on the order of ties, so the quotient is the mean over the orders.

    Raises:
        MetricsError: k below 1.

    Reference:
        Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002; the
        expectation over ties as McSherry and Najork, ECIR 2008.
    """
    check_cutoff(k)
    buckets = cut_buckets(hist, k)
    discounts = _discount_sums(min(k, int(hist.items.sum(axis=1).max())))
    start = np.minimum(buckets.before, len(discounts) - 1)
    spread = discounts[start + buckets.kept] - discounts[start]
    gain = (ratio(buckets.relevant, buckets.size) * spread).sum(axis=1)
    ideal = discounts[np.minimum(len(discounts) - 1, hist.relevant.sum(axis=1))]
    ndcg: Floats = np.divide(gain, ideal, out=np.zeros(len(gain)), where=ideal > 0)
    return ndcg


def precision_within(hist: Histograms, radius: int) -> Floats:
    """Return the precision within a Hamming radius of each query [q].

    A query that retrieves no item within the radius has precision 0, as the literature on hashing
    counts it (a failed lookup).

    Args:
        hist: histograms [q, buckets], bucket d for Hamming distance d.
        radius: items at this distance or nearer are retrieved.

    Raises:
        MetricsError: a negative radius.
    """
    within = _within(radius)
    return ratio(hist.relevant[:, within].sum(axis=1), hist.items[:, within].sum(axis=1))


def recall_within(hist: Histograms, radius: int) -> Floats:
    """Return the recall within a Hamming radius of each query [q]: relevant items there, of all.

    Args:
        hist: histograms [q, buckets], bucket d for Hamming distance d.
        radius: items at this distance or nearer are retrieved.

    Raises:
        MetricsError: a negative radius.
    """
    return ratio(hist.relevant[:, _within(radius)].sum(axis=1), hist.relevant.sum(axis=1))


def _within(radius: int) -> slice:
    if radius < 0:
        raise MetricsError(f"a Hamming radius must be 0 or more, got {radius}")
    return slice(radius + 1)


@lru_cache(maxsize=4)
def _discount_sums(count: int) -> Floats:
    """Return the sums of the discounts of the first 0 to ``count`` places, read-only (cached)."""
    sums = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, count + 2)))])
    sums.flags.writeable = False
    return sums
