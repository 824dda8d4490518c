"""Retrieval metrics on NumPy arrays, for a notebook: ``ivr.metrics``.

Every function takes either distances and relevance, or codes and labels::

    mean_average_precision(distance, relevant)               # [q, g] and booleans [q, g]
    mean_average_precision((queries, gallery), (labels, gallery_labels))

Distances are real or integer, smaller is nearer. Codes have entries -1 and +1, [n, bits], or are
packed, [n, bits / 8] of uint8 (:func:`ivr.hashing.codes.pack`); they are compared by Hamming
distance. An item is relevant to a query if both have the same label.

Items at equal distance are tied. ``ties`` says how they count: ``expectation``, the mean over all
their orders, in closed form; ``lower`` and ``upper``, the least and the greatest value that an
order gives; ``gallery-order``, in which tied items keep the order of the gallery.

Every function returns the mean over the queries, from 0 to 1, except the two of ranks. ``empty``
says how a query without a relevant item counts: ``zero``, as 0, and among ranks as the one behind
the last item; ``skip``, it is left out; ``error``, it is refused.
"""

from collections.abc import Callable
from typing import Literal

from .array_inputs import Items, Relevance, hamming_histograms, item_histograms
from .average_precision import average_precision, average_precision_lower, average_precision_upper
from .buckets import Floats, MetricsError
from .cutoff_metrics import hit_at as _hit_at
from .cutoff_metrics import ndcg_at as _ndcg_at
from .cutoff_metrics import precision_at as _precision_at
from .cutoff_metrics import precision_within, recall_within
from .cutoff_metrics import recall_at as _recall_at
from .empty_queries import query_weights
from .histograms import Histograms, best_order, worst_order
from .over_queries import mean_over_queries, median_over_queries
from .rank_metrics import (
    expected_rank,
    greatest_rank,
    least_rank,
    median_of_ranks,
    rank_distribution,
)
from .retrieval_curves import PrecisionRecall, mean_precision_recall_curve
from .retrieval_curves import precision_recall_curve as _precision_recall_curve

Ties = Literal["expectation", "lower", "upper", "gallery-order"]
Empty = Literal["zero", "skip", "error"]
Denominator = Literal["relevant", "min", "hits"]
Average = Literal["pooled", "queries"]

__all__ = [
    "MetricsError",
    "PrecisionRecall",
    "hit_at",
    "mean_average_precision",
    "mean_rank",
    "median_rank",
    "ndcg_at",
    "precision_at",
    "precision_recall_curve",
    "precision_within_radius",
    "recall_at",
    "recall_within_radius",
]


def mean_average_precision(
    items: Items,
    relevance: Relevance,
    *,
    ties: Ties = "expectation",
    cutoff: int | None = None,
    denominator: Denominator = "relevant",
    empty: Empty = "zero",
) -> float:
    """Return the mean average precision, from 0 to 1.

    Args:
        items: distances [q, g]; or a pair of codes, those of the queries [q, bits] and those of the
            gallery [g, bits].
        relevance: booleans [q, g]; or a pair of labels, those of the queries [q] and those of the
            gallery [g].
        ties: how items at equal distance count.
        cutoff: average precision over the first places up to this one, None for the full list.
        denominator: what the sum of precisions is divided by at a cut-off: all relevant items
            (``relevant``), min(cutoff, relevant items) (``min``), or the relevant items among the
            first ``cutoff`` (``hits``).
        empty: how a query without a relevant item counts.

    Raises:
        MetricsError: an unknown choice, or a query is refused.
        RankingError, CodesError: arrays that do not fit each other.
    """
    of_ties = {"lower": average_precision_lower, "upper": average_precision_upper}
    function = of_ties.get(ties, average_precision)
    hist = item_histograms(items, relevance, _gallery_order(ties))
    return _mean(function(hist, cutoff, denominator), hist, empty)


def precision_at(
    items: Items,
    relevance: Relevance,
    k: int,
    *,
    ties: Ties = "expectation",
    empty: Empty = "zero",
) -> float:
    """Return the mean P@K: relevant items among the first ``k``, divided by ``k``.

    The arguments are those of :func:`mean_average_precision`.
    """
    return _cutoff_metric(_precision_at, items, relevance, k, ties, empty)


def recall_at(
    items: Items,
    relevance: Relevance,
    k: int,
    *,
    ties: Ties = "expectation",
    empty: Empty = "zero",
) -> float:
    """Return the mean R@K: relevant items among the first ``k``, divided by all relevant items.

    The arguments are those of :func:`mean_average_precision`.
    """
    return _cutoff_metric(_recall_at, items, relevance, k, ties, empty)


def hit_at(
    items: Items,
    relevance: Relevance,
    k: int,
    *,
    ties: Ties = "expectation",
    empty: Empty = "zero",
) -> float:
    """Return the mean H@K: 1 for a query with a relevant item among the first ``k``, else 0.

    Work on image-text retrieval calls this R@K. The arguments are those of
    :func:`mean_average_precision`.
    """
    return _cutoff_metric(_hit_at, items, relevance, k, ties, empty)


def ndcg_at(
    items: Items,
    relevance: Relevance,
    k: int,
    *,
    ties: Ties = "expectation",
    empty: Empty = "zero",
) -> float:
    """Return the mean NDCG@K with binary relevance and the discount 1 / log2(place + 1).

    The arguments are those of :func:`mean_average_precision`.
    """
    return _cutoff_metric(_ndcg_at, items, relevance, k, ties, empty)


def mean_rank(
    items: Items, relevance: Relevance, *, ties: Ties = "expectation", empty: Empty = "zero"
) -> float:
    """Return the mean rank of the nearest relevant item; 1 if no query has a nearer item.

    The arguments are those of :func:`mean_average_precision`; ``lower`` is the best value that an
    order of the ties gives.
    """
    hist = item_histograms(items, relevance, _gallery_order(ties))
    function = {"lower": least_rank, "upper": greatest_rank}.get(ties, expected_rank)
    return _mean(function(hist), hist, empty)


def median_rank(
    items: Items, relevance: Relevance, *, ties: Ties = "expectation", empty: Empty = "zero"
) -> float:
    """Return the median over the queries of the rank of the nearest relevant item.

    With ``expectation`` it is the median of the ranks of all queries in all orders of their ties,
    in which every query counts the same. The arguments are those of :func:`mean_rank`.
    """
    hist = item_histograms(items, relevance, _gallery_order(ties))
    weights = query_weights(hist, empty)
    if ties in ("lower", "upper"):
        function = {"lower": least_rank, "upper": greatest_rank}[ties]
        return float(median_over_queries(function(hist) * weights))
    return float(median_of_ranks(rank_distribution(hist) * weights[:, None]))


def precision_recall_curve(
    items: Items,
    relevance: Relevance,
    *,
    average: Average = "pooled",
    empty: Empty = "zero",
) -> PrecisionRecall:
    """Return precision and recall within each Hamming radius.

    Args:
        items: Hamming distances [q, g], integers; or a pair of codes, as in
            :func:`mean_average_precision`.
        relevance: booleans [q, g]; or a pair of labels.
        average: ``pooled`` (micro) adds up the items of all queries before it divides, as DCMH's
            code does; ``queries`` (macro) is the mean over the queries, as in DeepHash's code: a
            query that retrieves nothing within a radius has precision 0 there.
        empty: how a query without a relevant item counts in the mean over the queries; pooled,
            its items always count.

    Returns:
        ``radius`` [p], ``precision`` [p] and ``recall`` [p]: relevant items retrieved, divided by
        the items retrieved, and by all relevant items. Pooled, a radius within which no query
        retrieves an item is left out.

    Raises:
        MetricsError: no query has a relevant item, an unknown choice, a query is refused, or
            distances are not integers.
    """
    hist = hamming_histograms(items, relevance)
    if average == "pooled":
        return _precision_recall_curve(hist)
    if average == "queries":
        return mean_precision_recall_curve(hist, empty)
    raise MetricsError(f"average must be one of pooled, queries, got {average!r}")


def precision_within_radius(
    items: Items, relevance: Relevance, radius: int = 2, *, empty: Empty = "zero"
) -> float:
    """Return the mean precision within a Hamming radius; 0 for a query that retrieves no item.

    Args:
        items: Hamming distances [q, g], integers; or a pair of codes, as in
            :func:`mean_average_precision`.
        relevance: booleans [q, g]; or a pair of labels.
        radius: items at this distance or nearer are retrieved.
        empty: how a query without a relevant item counts.

    Raises:
        MetricsError: a negative radius, distances that are not integers, or a query is refused.
    """
    hist = hamming_histograms(items, relevance)
    return _mean(precision_within(hist, radius), hist, empty)


def recall_within_radius(
    items: Items, relevance: Relevance, radius: int = 2, *, empty: Empty = "zero"
) -> float:
    """Return the mean recall within a Hamming radius: relevant items there, of all relevant ones.

    The arguments and errors are those of :func:`precision_within_radius`.
    """
    hist = hamming_histograms(items, relevance)
    return _mean(recall_within(hist, radius), hist, empty)


def _cutoff_metric(
    function: Callable[[Histograms, int], Floats],
    items: Items,
    relevance: Relevance,
    k: int,
    ties: Ties,
    empty: Empty,
) -> float:
    """Return the mean of a metric that never falls if a relevant item moves forward."""
    hist = item_histograms(items, relevance, _gallery_order(ties))
    orders = {"lower": worst_order, "upper": best_order}
    ranked = orders[ties](hist) if ties in orders else hist
    return _mean(function(ranked, k), hist, empty)


def _gallery_order(ties: str) -> bool:
    known = ("expectation", "lower", "upper", "gallery-order")
    if ties not in known:
        raise MetricsError(f"ties must be one of {', '.join(known)}, got {ties!r}")
    return ties == "gallery-order"


def _mean(values: Floats, hist: Histograms, empty: str) -> float:
    return float(mean_over_queries(values * query_weights(hist, empty)))
