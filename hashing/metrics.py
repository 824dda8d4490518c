"""The table of retrieval metrics, and the scores of queries by every metric of the table.

A metric is one entry of :data:`METRICS`. Evaluation, comparison, the documentation
(docs/reference/metrics.md) and the tests read the table, so a new metric is a new entry and
nothing else.

Conventions:

* A metric is computed from :class:`~ivr.hashing.histograms.Histograms`. The items of one bucket are
  tied; the value is the mean over all orders of the ties, in closed form, unless the name says
  ``lower`` or ``upper``: the least and the greatest value that an order of the ties gives.
  Histograms of one item per bucket (``file_order_histograms``) have no ties: all three agree.
* The function of a metric returns 0 for a query without a relevant item, and a rank behind the last
  item if it returns ranks. :func:`scores` counts such a query so (``zero``), leaves it out
  (``skip``), or refuses it (``error``).
* Chance is the metric of ``chance_histograms``, in which all items are tied; within a radius, that
  of ``spread_histograms``, which keeps the distances.
* Values are fractions from 0 to 1, or ranks from 1; only :meth:`Scores.in_units` returns percent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .average_precision import (
    average_precision,
    average_precision_lower,
    average_precision_upper,
)
from .buckets import Floats, MetricsError
from .cutoff_metrics import (
    f_at,
    hit_at,
    ndcg_at,
    precision_at,
    precision_within,
    recall_at,
    recall_within,
)
from .empty_queries import query_weights
from .found_lists import MEAN_OF_FOUND, found_average_precision
from .histograms import Histograms
from .over_queries import MEAN, MEDIAN, Aggregate, mean_over_queries
from .rank_metrics import (
    MEDIAN_OF_RANKS,
    expected_rank,
    greatest_rank,
    least_rank,
    rank_distribution,
)

CUTOFFS = (1, 5, 10)
RADIUS = 2
MEAN_OF_TIES = "Mean over all orders of the tied items, in closed form."
NEAREST = "nearest partner: rank"
NEAREST_RANK = (
    "Rank of the nearest relevant item, from 1; behind the last item for a query without one."
)
RADIUS_TIES = "Items at equal distance are all inside the radius or all outside."


@dataclass(frozen=True)
class Metric:
    """One retrieval metric.

    Attributes:
        name: the name in results and tables. A metric with cut-offs ends in ``K``, which each
            cut-off replaces: ``P@K`` gives ``P@1``, ``P@5`` and ``P@10``.
        definition: what the value of one query is, one sentence.
        function: returns the values [q] of histograms [q, buckets]. The second argument is one of
            the cut-offs; a metric without cut-offs gets the cut-off of average precision (``None``
            for the full list) and its denominator.
        cutoffs: the values of K, none for a metric without cut-offs.
        ties: how tied items count, one sentence.
        reads: ``order``, the order of the items alone; or ``radius``, Hamming distances, so that a
            ranking by other distances has no value.
        unit: ``%``, for values from 0 to 1 that are shown in percent; or ``rank``, for values from
            1 that are shown as they are.
        aggregate: how the values of the queries become one value.
        more_is_better: the greatest value is the best.
        block: head of the block of the table of ``ivr evaluate`` that shows the metric; ``""``
            for a metric that is only written to results.json.
        relevance: kinds of relevance for which that block is shown.
        at_cutoff: shown only if average precision has a cut-off.
        compared: names that the default table of ``ivr compare`` shows, e.g. ``("P@1", "P@10")``.
    """

    name: str
    definition: str
    function: Callable[..., Floats]
    cutoffs: tuple[int, ...] = ()
    ties: str = MEAN_OF_TIES
    reads: Literal["order", "radius"] = "order"
    unit: Literal["%", "rank"] = "%"
    aggregate: Aggregate = MEAN
    more_is_better: bool = True
    block: str = "percent, continued"
    relevance: tuple[str, ...] = ("class", "pair")
    at_cutoff: bool = False
    compared: tuple[str, ...] = ()

    def names(self, cutoffs: Sequence[int] | None = None) -> tuple[str, ...]:
        """Return the name for each cut-off, by default for those of the table."""
        if not self.cutoffs:
            return (self.name,)
        chosen = self.cutoffs if cutoffs is None else cutoffs
        return tuple(f"{self.name.removesuffix('K')}{k}" for k in chosen)


@dataclass(frozen=True, eq=False)
class Scores:
    """Values of every query by every metric, as fractions or ranks; NaN for one that is left out.

    Attributes:
        at: cut-off of average precision, ``None`` for the full list.
        denominator: denominator of average precision at a cut-off: ``relevant``, ``min`` or
            ``hits``.
        empty: how a query without a relevant item is scored: ``zero``, ``skip`` or ``error``.
        empty_queries: number of queries without a relevant item.
        names: names of the columns of the values, by metric.
        values: values by metric, [q] for a metric without cut-offs, [q, cut-offs] for one that has
            them; or what else the aggregate of the metric takes, queries first.
    """

    at: int | None
    denominator: str
    empty: str
    empty_queries: int
    names: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Floats]

    @property
    def average_precision(self) -> Floats:
        """Average precision of each query [q], mean over the orders of the ties."""
        return self.values["mAP"]

    @property
    def mAP(self) -> float:
        """Mean average precision, from 0 to 1."""
        return float(mean_over_queries(self.values["mAP"]))

    @property
    def mAP_lower(self) -> float:
        """Least mean average precision over the orders of the ties, from 0 to 1."""
        return float(mean_over_queries(self.values["mAP_lower"]))

    @property
    def mAP_upper(self) -> float:
        """Greatest mean average precision over the orders of the ties, from 0 to 1."""
        return float(mean_over_queries(self.values["mAP_upper"]))

    def of(self, name: str) -> Floats:
        """Return the values [q] under ``name``, for example ``P@1``.

        Of a metric whose aggregate takes several numbers per query, these [q, numbers].

        Raises:
            MetricsError: no such name.
        """
        for metric, names in self.names.items():
            if name in names:
                values = self.values[metric]
                return values[:, names.index(name)] if METRICS[metric].cutoffs else values
        known = ", ".join(name for names in self.names.values() for name in names)
        raise MetricsError(f"no metric {name!r} among the scores; there are {known}")

    def in_units(self) -> dict[str, float]:
        """Return the values over the queries by name, in the order of :data:`METRICS`.

        In the unit of each metric: percent, or a rank.
        """
        found: dict[str, float] = {}
        for name, names in self.names.items():
            metric = METRICS[name]
            values = np.atleast_1d(metric.aggregate.function(self.values[name]))
            whole = 100 if metric.unit == "%" else 1
            found |= {n: whole * float(value) for n, value in zip(names, values, strict=True)}
        return found


def scores(
    hist: Histograms,
    cutoffs: Sequence[int] | None = None,
    at: int | None = None,
    denominator: str = "relevant",
    empty: str = "zero",
    *,
    hamming: Histograms | None = None,
    radius: int | None = None,
    metrics: Sequence[str] | None = None,
) -> Scores:
    """Return the value of every query by every metric.

    Args:
        hist: histograms [q, buckets].
        cutoffs: values of K in place of those of the table, for metrics of the order.
        at: cut-off of average precision, ``None`` for the full list.
        denominator: denominator of average precision at a cut-off: ``relevant``, ``min`` or
            ``hits``.
        empty: a query without a relevant item counts as 0 (``zero``), is left out (``skip``) or
            is refused (``error``).
        hamming: histograms of the same queries with bucket d for Hamming distance d; without them,
            metrics within a Hamming radius are left out.
        radius: Hamming radius in place of that of the table.
        metrics: names of :data:`METRICS`, all by default.

    Raises:
        MetricsError: a cut-off below 1, an unknown choice, or a query is refused.
    """
    weights = query_weights(hist, empty)
    within = None if radius is None else (radius,)
    names, values = {}, {}
    for metric in METRICS.values() if metrics is None else [METRICS[name] for name in metrics]:
        read = hist if metric.reads == "order" else hamming
        if read is None:
            continue
        if not metric.cutoffs:
            names[metric.name] = metric.names()
            values[metric.name] = _weighted(metric.function(read, at, denominator), weights)
            continue
        chosen = cutoffs if metric.reads == "order" else within
        ks = metric.cutoffs if chosen is None else tuple(chosen)
        if ks:
            names[metric.name] = metric.names(ks)
            columns = np.stack([metric.function(read, k) for k in ks], axis=1)
            values[metric.name] = _weighted(columns, weights)
    without = int((hist.relevant.sum(axis=1) == 0).sum())
    return Scores(at, denominator, empty, without, names, values)


def _weighted(values: Floats, weights: Floats) -> Floats:
    """Return ``values`` [q] or [q, columns] times the weight of each query [q]."""
    weighted: Floats = (values.T * weights).T
    return weighted


def join_scores(parts: Sequence[Scores]) -> Scores:
    """Return the scores of the queries of all parts, in order, for queries scored in blocks.

    Raises:
        MetricsError: no part, or parts scored by different rules.
    """
    rules = {
        (part.at, part.denominator, part.empty, tuple(part.names.items())): part for part in parts
    }
    if len(rules) != 1:
        raise MetricsError(f"scores can be joined only if made by one rule, got {len(rules)}")
    (first,) = rules.values()
    return Scores(
        at=first.at,
        denominator=first.denominator,
        empty=first.empty,
        empty_queries=sum(part.empty_queries for part in parts),
        names=first.names,
        values={
            metric: np.concatenate([part.values[metric] for part in parts])
            for metric in first.values
        },
    )


def metric_of(name: str) -> Metric | None:
    """Return the metric that has ``name``, for example ``P@1``; ``None`` if there is none."""
    return next((metric for metric in METRICS.values() if name in metric.names()), None)


def matching_accuracy(matching: Floats, others: Floats) -> float:
    """Return the share of pairs, from 0 to 1, that are classified correctly (DVAN's Table II).

    Args:
        matching: log-odds [a] of a match, for pairs that match; correct above 0.
        others: log-odds [b] for pairs that do not match; correct at 0 or below.

    Raises:
        MetricsError: no pair.
    """
    if not len(matching) + len(others):
        raise MetricsError("matching accuracy needs at least one pair")
    right = int(np.count_nonzero(matching > 0)) + int(np.count_nonzero(others <= 0))
    return right / (len(matching) + len(others))


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "mAP",
            "Average precision: the mean over the relevant items of the precision at the place of "
            "each, over the full list or up to the cut-off of the protocol.",
            average_precision,
            block="percent",
            compared=("mAP",),
        ),
        Metric(
            "mAP_lower",
            "The least average precision that an order of the tied items gives.",
            average_precision_lower,
            ties="The worst order of the tied items.",
            block="",
        ),
        Metric(
            "mAP_upper",
            "The greatest average precision that an order of the tied items gives.",
            average_precision_upper,
            ties="The best order of the tied items.",
            block="",
        ),
        Metric(
            "P@K",
            "Precision: relevant items among the first K, divided by K, also if the gallery has "
            "fewer than K items.",
            precision_at,
            CUTOFFS,
            block="percent",
            compared=("P@1", "P@10"),
        ),
        Metric(
            "R@K",
            "Recall: relevant items among the first K, divided by all relevant items.",
            recall_at,
            CUTOFFS,
            block="percent",
        ),
        Metric(
            "F@K",
            "F measure, the harmonic mean of P@K and R@K: twice the relevant items among the first "
            "K, divided by K plus all relevant items.",
            f_at,
            CUTOFFS,
            block="percent",
        ),
        Metric(
            "H@K",
            "Hit: 1 if a relevant item is among the first K, else 0; work on image-text retrieval "
            "calls it R@K.",
            hit_at,
            CUTOFFS,
            block="any partner found",
            relevance=("pair",),
        ),
        Metric(
            "NDCG@K",
            "Normalised discounted cumulative gain, binary relevance: the sum of 1 / log2(place + "
            "1) over the relevant items among the first K, divided by the sum of the best order.",
            ndcg_at,
            CUTOFFS,
        ),
        Metric(
            "mAP_found",
            "mAP of the queries with a relevant item among the first places; the others do not "
            "count, whatever --empty says. DeepHash's mAP, with --denominator hits.",
            found_average_precision,
            ties="Every order in which a query finds something counts the same.",
            aggregate=MEAN_OF_FOUND,
            at_cutoff=True,
        ),
        Metric(
            "mean rank",
            NEAREST_RANK,
            expected_rank,
            unit="rank",
            more_is_better=False,
            block=NEAREST,
            relevance=("pair",),
        ),
        Metric(
            "mean rank_lower",
            "The least such rank that an order of the tied items gives.",
            least_rank,
            ties="The best order of the tied items.",
            unit="rank",
            more_is_better=False,
            block="",
        ),
        Metric(
            "mean rank_upper",
            "The greatest such rank that an order of the tied items gives.",
            greatest_rank,
            ties="The worst order of the tied items.",
            unit="rank",
            more_is_better=False,
            block="",
        ),
        Metric(
            "median rank",
            NEAREST_RANK,
            rank_distribution,
            ties="All orders of the tied items of all queries, each query with the same weight.",
            unit="rank",
            aggregate=MEDIAN_OF_RANKS,
            more_is_better=False,
            block=NEAREST,
            relevance=("pair",),
        ),
        Metric(
            "median rank_lower",
            "The least such rank that an order of the tied items gives.",
            least_rank,
            ties="The best order of the tied items.",
            unit="rank",
            aggregate=MEDIAN,
            more_is_better=False,
            block="",
        ),
        Metric(
            "median rank_upper",
            "The greatest such rank that an order of the tied items gives.",
            greatest_rank,
            ties="The worst order of the tied items.",
            unit="rank",
            aggregate=MEDIAN,
            more_is_better=False,
            block="",
        ),
        Metric(
            "P@r<=K",
            "Precision within Hamming radius K: relevant items at distance K or less, divided by "
            "all items there; 0 for a query that has no item there.",
            precision_within,
            (RADIUS,),
            ties=RADIUS_TIES,
            reads="radius",
        ),
        Metric(
            "R@r<=K",
            "Recall within Hamming radius K: relevant items at distance K or less, divided by all "
            "relevant items.",
            recall_within,
            (RADIUS,),
            ties=RADIUS_TIES,
            reads="radius",
        ),
    )
}
"""Every metric by its name, in the order of results and tables."""
