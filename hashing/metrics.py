"""What a ranked list is worth: average precision, precision, recall and F at cut-offs.

Conventions:

* Everything is computed from :class:`~ivr.hashing.ranking.Histograms`. Items of one bucket are
  tied; a figure is its mean over all orders of the ties, in closed form, unless its name says
  ``lower`` or ``upper``: these are the least and the greatest value that any order of the ties
  gives. Histograms of one item a bucket (``file_order_histograms``) have no ties: all three agree.
* Average precision is taken over the full list, or at a cut-off k over its first k places; then the
  sum of the precisions at the relevant items among them is divided by all relevant items
  (``relevant``), by min(k, all relevant items) (``min``), or by the relevant items among the
  first k, a random number under ties (``hits``; 0 where there is none).
* P@K is hits / K also where the gallery has fewer than K items; R@K is hits / relevant items;
  F@K is 2 hits / (K + relevant items), the harmonic mean of the two.
* The functions of one figure give 0 for a query with nothing relevant. :func:`scores` and
  :func:`precision_over_retrieved` count it as 0 (``zero``), leave it out of every mean (``skip``),
  or refuse it (``error``).
* Chance is the same figure of ``chance_histograms``.
* Figures are fractions from 0 to 1; only :meth:`Scores.to_percent` gives percent.

In formulas: a bucket has n items, r of them relevant; N items, R of them relevant, lie before it;
m of its items are among the first k; T items are relevant in all; H is the harmonic number.

Reference:
    McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently in the
    Presence of Tied Scores", ECIR 2008, for the expectation over orders of the ties. The bounds and
    the mean for the denominator ``hits`` are ours, checked against all orders in the tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ivr.errors import IvrError

from .ranking import Histograms

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# Cells of a [q, buckets] or [q, hits] table worked on at once: 8 MiB a temporary array.
CELLS = 1 << 20


class MetricsError(IvrError):
    """A figure that cannot be computed as asked, in one line that says why."""


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall within growing Hamming radii, pooled over queries.

    Attributes:
        radius: [p], int64, radii within which anything at all is retrieved.
        precision: [p], relevant items retrieved by all queries / items retrieved by all queries.
        recall: [p], relevant items retrieved by all queries / relevant items of all queries.
    """

    radius: Integers
    precision: Floats
    recall: Floats


@dataclass(frozen=True, eq=False)
class Scores:
    """Figures of every query, as fractions; NaN for a query that is left out (``skip``).

    Attributes:
        cutoffs: the c values of K.
        at: cut-off of average precision, ``None`` for the full list.
        denominator: of average precision at a cut-off: ``relevant``, ``min`` or ``hits``.
        empty: what became of queries with nothing relevant: ``zero``, ``skip`` or ``error``.
        empty_queries: how many of them there are.
        average_precision: [q], mean over the orders of the ties.
        average_precision_lower: [q], least over the orders of the ties.
        average_precision_upper: [q], greatest over the orders of the ties.
        precision: [q, c], P@K.
        recall: [q, c], R@K.
        f: [q, c], F@K.
        hit: [q, c], H@K.
    """

    cutoffs: tuple[int, ...]
    at: int | None
    denominator: str
    empty: str
    empty_queries: int
    average_precision: Floats
    average_precision_lower: Floats
    average_precision_upper: Floats
    precision: Floats
    recall: Floats
    f: Floats
    hit: Floats

    @property
    def mAP(self) -> float:
        """Mean average precision, from 0 to 1."""
        return float(_mean(self.average_precision))

    @property
    def mAP_lower(self) -> float:
        """Least mean average precision over the orders of the ties, from 0 to 1."""
        return float(_mean(self.average_precision_lower))

    @property
    def mAP_upper(self) -> float:
        """Greatest mean average precision over the orders of the ties, from 0 to 1."""
        return float(_mean(self.average_precision_upper))

    def to_percent(self) -> dict[str, float]:
        """Return the means over queries in percent: mAP, its bounds, P@K, R@K, F@K and H@K."""
        means = {"mAP": self.mAP, "mAP_lower": self.mAP_lower, "mAP_upper": self.mAP_upper}
        tables = {"P": self.precision, "R": self.recall, "F": self.f, "H": self.hit}
        for letter, table in tables.items():
            for k, value in zip(self.cutoffs, _mean(table), strict=True):
                means[f"{letter}@{k}"] = float(value)
        return {name: 100 * value for name, value in means.items()}


def scores(
    hist: Histograms,
    cutoffs: Sequence[int] = (1, 5, 10),
    at: int | None = None,
    denominator: str = "relevant",
    empty: str = "zero",
) -> Scores:
    """Return every figure of every query.

    Args:
        hist: histograms [q, buckets].
        cutoffs: values of K for P@K, R@K, F@K and H@K.
        at: cut-off of average precision, ``None`` for the full list.
        denominator: of average precision at a cut-off: ``relevant``, ``min`` or ``hits``.
        empty: a query with nothing relevant counts as 0 (``zero``), is left out (``skip``) or is
            refused (``error``).

    Raises:
        MetricsError: a cut-off below 1, an unknown choice, or a query refused.
    """
    counted = _counted(hist, empty)
    tables = [
        np.stack([figure(hist, k) for k in cutoffs], axis=1) * counted[:, None]
        if cutoffs
        else np.empty((len(counted), 0))
        for figure in (precision_at, recall_at, f_at, hit_at)
    ]
    return Scores(
        cutoffs=tuple(cutoffs),
        at=at,
        denominator=denominator,
        empty=empty,
        empty_queries=int((hist.relevant.sum(axis=1) == 0).sum()),
        average_precision=average_precision(hist, at, denominator) * counted,
        average_precision_lower=average_precision_lower(hist, at, denominator) * counted,
        average_precision_upper=average_precision_upper(hist, at, denominator) * counted,
        precision=tables[0],
        recall=tables[1],
        f=tables[2],
        hit=tables[3],
    )


def join_scores(parts: Sequence[Scores]) -> Scores:
    """Return the figures of the queries of all parts, in order, for queries scored in blocks.

    Raises:
        MetricsError: no part, or parts scored by different rules.
    """
    rules = {(part.cutoffs, part.at, part.denominator, part.empty) for part in parts}
    if len(rules) != 1:
        raise MetricsError(f"scores can be joined only if made by one rule, got {len(rules)}")
    cutoffs, at, denominator, empty = rules.pop()
    return Scores(
        cutoffs=cutoffs,
        at=at,
        denominator=denominator,
        empty=empty,
        empty_queries=sum(part.empty_queries for part in parts),
        average_precision=np.concatenate([part.average_precision for part in parts]),
        average_precision_lower=np.concatenate([part.average_precision_lower for part in parts]),
        average_precision_upper=np.concatenate([part.average_precision_upper for part in parts]),
        precision=np.concatenate([part.precision for part in parts]),
        recall=np.concatenate([part.recall for part in parts]),
        f=np.concatenate([part.f for part in parts]),
        hit=np.concatenate([part.hit for part in parts]),
    )


def average_precision(
    hist: Histograms, at: int | None = None, denominator: str = "relevant"
) -> Floats:
    r"""Return the average precision of each query, the mean over all orders of the ties.

    A bucket adds :math:`\frac rn \sum_{t=1}^{m} \frac{R + 1 + (t-1)c}{N + t}` to the sum of
    precisions, :math:`c = (r-1)/(n-1)`, 0 where n = 1; in closed form
    :math:`\frac rn (mc + (R + 1 - c(N+1)) (H_{N+m} - H_N))`.

    For ``hits`` the sum is divided by R + j, where the j hits among the m items kept of the
    bucket that k cuts are hypergeometric; given j, they are any j of its m places.

    Args:
        hist: histograms [q, buckets].
        at: cut-off k, ``None`` for the full list.
        denominator: ``relevant``, ``min`` or ``hits``.

    Returns:
        Average precision [q], from 0 to 1; 0 for a query with nothing relevant.

    Raises:
        MetricsError: a cut-off below 1 or an unknown denominator.
    """
    return _average_precision(hist, at, denominator, EXPECTED)


def average_precision_lower(
    hist: Histograms, at: int | None = None, denominator: str = "relevant"
) -> Floats:
    r"""Return the least average precision of each query that an order of its ties gives.

    The j hits kept of a bucket stand last among its m items kept, which adds
    :math:`j - (N + m - j - R)(H_{N+m} - H_{N+m-j})`; j is as small as can be, except for ``hits``,
    where a further hit may lower the mean, and every j is tried.

    Args:
        hist: histograms [q, buckets].
        at: cut-off k, ``None`` for the full list.
        denominator: ``relevant``, ``min`` or ``hits``.

    Returns:
        Average precision [q], from 0 to 1; 0 for a query with nothing relevant.

    Raises:
        MetricsError: a cut-off below 1 or an unknown denominator.
    """
    return _average_precision(hist, at, denominator, LOWER)


def average_precision_upper(
    hist: Histograms, at: int | None = None, denominator: str = "relevant"
) -> Floats:
    r"""Return the greatest average precision of each query that an order of its ties gives.

    The j hits kept of a bucket stand first, which adds :math:`j - (N - R)(H_{N+j} - H_N)`; j is as
    great as can be, except for ``hits``, where every j is tried.

    Args:
        hist: histograms [q, buckets].
        at: cut-off k, ``None`` for the full list.
        denominator: ``relevant``, ``min`` or ``hits``.

    Returns:
        Average precision [q], from 0 to 1; 0 for a query with nothing relevant.

    Raises:
        MetricsError: a cut-off below 1 or an unknown denominator.
    """
    return _average_precision(hist, at, denominator, UPPER)


def matching_accuracy(matching: Floats, others: Floats) -> float:
    """Return the share of pairs, from 0 to 1, that are told apart rightly (DVAN's Table II).

    Args:
        matching: log-odds [a] of a match, of pairs that do match; right above 0.
        others: log-odds [b] of pairs that do not match; right at 0 or below.

    Raises:
        MetricsError: no pair.
    """
    if not len(matching) + len(others):
        raise MetricsError("no pairs to tell apart")
    right = int(np.count_nonzero(matching > 0)) + int(np.count_nonzero(others <= 0))
    return right / (len(matching) + len(others))


def hits_at(hist: Histograms, k: int) -> Floats:
    """Return the relevant items among the first k of each query [q], mean over orders of the ties.

    Raises:
        MetricsError: k below 1.
    """
    _check_cutoff(k)
    buckets = _buckets(hist, k)
    hits: Floats = (buckets.relevant * _ratio(buckets.kept, buckets.size)).sum(axis=1)
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
    return _ratio(hits_at(hist, k), hist.relevant.sum(axis=1))


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
    _check_cutoff(k)
    cut = _bucket_cut(_buckets(hist, k))
    none_before = (cut.hits == 0) & (_fewest_hits(cut) == 0)
    cases = int(_most_hits(cut).max(initial=0)) + 1
    missed = np.where(none_before, _hits_probability(cut, cases)[:, :1], 0.0)
    hit: Floats = 1 - missed[:, 0]
    return hit


def precision_over_retrieved(hist: Histograms, ns: Sequence[int], empty: str = "zero") -> Floats:
    """Return the mean over queries of P@n for each n of ``ns``.

    Args:
        hist: histograms [q, buckets].
        ns: numbers of items retrieved.
        empty: a query with nothing relevant counts as 0 (``zero``), is left out (``skip``) or is
            refused (``error``).

    Returns:
        Precision [len(ns)], from 0 to 1.

    Raises:
        MetricsError: an n below 1, an unknown choice, or no query left.
    """
    counted = _counted(hist, empty)
    return np.array([_mean(precision_at(hist, n) * counted) for n in ns], dtype=np.float64)


def precision_recall_curve(hist: Histograms) -> PrecisionRecall:
    """Return precision and recall within each Hamming radius, pooled over queries.

    Pooled (micro): hits and items of all queries are added up before they are divided, so a query
    that retrieves nothing within a radius adds nothing to its precision. A radius within which no
    query retrieves anything has no precision and is left out of the curve.

    Args:
        hist: histograms [q, buckets], bucket d for distance d.

    Raises:
        MetricsError: no query has anything relevant.
    """
    retrieved = np.cumsum(hist.items.sum(axis=0))
    hits = np.cumsum(hist.relevant.sum(axis=0))
    if hits[-1] == 0:
        raise MetricsError("no query has anything relevant, so recall has no value")
    radius = np.flatnonzero(retrieved)
    return PrecisionRecall(
        radius=radius,
        precision=hits[radius] / retrieved[radius],
        recall=hits[radius] / hits[-1],
    )


def class_average_precision(average_precision: Floats, labels: Integers) -> dict[int, float]:
    """Return the mean average precision of the queries of each class.

    Args:
        average_precision: [q], NaN for queries left out.
        labels: class of each query [q], integers.

    Returns:
        Class to mean, ascending; a class whose queries are all left out is not in it.

    Raises:
        MetricsError: not one label a query.
    """
    labels = np.asarray(labels)
    if labels.shape != average_precision.shape:
        raise MetricsError(
            f"{average_precision.size} queries, but labels of shape {list(labels.shape)}"
        )
    counted = ~np.isnan(average_precision)
    return {
        int(label): float(average_precision[counted & (labels == label)].mean())
        for label in np.unique(labels[counted])
    }


@dataclass(frozen=True)
class _Buckets:
    """Buckets of ranked lists, cut at k; arrays of one shape, which broadcast.

    Attributes:
        size: n, items.
        relevant: r, relevant items.
        before: N, items before the bucket.
        hits: R, relevant items before the bucket.
        kept: m, items among the first k.
    """

    size: Integers
    relevant: Integers
    before: Integers
    hits: Integers
    kept: Integers


@dataclass(frozen=True)
class _Cut:
    """Some ranked lists cut at k.

    Attributes:
        buckets: of the lists [q, buckets].
        k: the cut-off; the longest list for the full lists.
        total: T, relevant items [q].
        harmonic: table of harmonic numbers from that of 0.
    """

    buckets: _Buckets
    k: int
    total: Integers
    harmonic: Floats


@dataclass(frozen=True)
class _TieRule:
    """Which of all orders of the ties counts.

    Attributes:
        precisions: the sums of precisions that buckets add, from buckets and harmonic numbers.
        given: the same for buckets of which j items kept are relevant, from j as the second.
        pick: the value [q], from the values [q, j] of every possible j and the buckets cut.
    """

    precisions: Callable[[_Buckets, Floats], Floats]
    given: Callable[[_Buckets, Integers, Floats], Floats]
    pick: Callable[[Floats, _Buckets], Floats]


def _average_precision(
    hist: Histograms, at: int | None, denominator: str, rule: _TieRule
) -> Floats:
    if denominator not in DENOMINATORS:
        raise MetricsError(
            f"denominator must be one of {', '.join(DENOMINATORS)}, got {denominator!r}"
        )
    if at is not None:
        _check_cutoff(at)
    queries, buckets = hist.items.shape
    longest = int(hist.items.sum(axis=1).max())
    harmonic = _harmonic(longest)
    step = max(1, CELLS // buckets)
    return np.concatenate(
        [
            DENOMINATORS[denominator](
                _cut(hist, slice(start, start + step), at or longest, harmonic), rule
            )
            for start in range(0, queries, step)
        ]
    )


def _cut(hist: Histograms, rows: slice, k: int, harmonic: Floats) -> _Cut:
    buckets = _buckets(Histograms(hist.items[rows], hist.relevant[rows]), k)
    return _Cut(buckets=buckets, k=k, total=buckets.relevant.sum(axis=1), harmonic=harmonic)


def _buckets(hist: Histograms, k: int) -> _Buckets:
    before = np.cumsum(hist.items, axis=1) - hist.items
    return _Buckets(
        size=hist.items,
        relevant=hist.relevant,
        before=before,
        hits=np.cumsum(hist.relevant, axis=1) - hist.relevant,
        kept=np.clip(k - before, 0, hist.items),
    )


def _over_relevant(cut: _Cut, rule: _TieRule) -> Floats:
    return _ratio(rule.precisions(cut.buckets, cut.harmonic).sum(axis=1), cut.total)


def _over_reachable(cut: _Cut, rule: _TieRule) -> Floats:
    reachable = np.minimum(cut.k, cut.total)
    return _ratio(rule.precisions(cut.buckets, cut.harmonic).sum(axis=1), reachable)


def _over_hits(cut: _Cut, rule: _TieRule) -> Floats:
    """Divide by the hits: known in whole buckets, one case a number of them in the bucket cut."""
    whole = np.where(_is_cut(cut.buckets), 0, rule.precisions(cut.buckets, cut.harmonic))
    precisions, bucket = whole.sum(axis=1, keepdims=True), _bucket_cut(cut.buckets)
    fewest, most = _fewest_hits(bucket), _most_hits(bucket)
    cases = np.arange(int((most - fewest).max()) + 1)
    step = max(1, CELLS // len(cases))
    values = []
    for start in range(0, len(precisions), step):
        rows = slice(start, start + step)
        part = _rows(bucket, rows)
        # Rows of fewer cases repeat their last one, which changes no extreme and has no weight.
        hits = np.minimum(fewest[rows] + cases, most[rows])
        total = precisions[rows] + rule.given(part, hits, cut.harmonic)
        values.append(rule.pick(_ratio(total, part.hits + hits), part))
    return np.concatenate(values)


def _is_cut(buckets: _Buckets) -> Booleans:
    return (buckets.kept > 0) & (buckets.kept < buckets.size)


def _bucket_cut(buckets: _Buckets) -> _Buckets:
    """Return the bucket of each list that k cuts [q, 1]; an empty one where k cuts none."""
    is_cut = _is_cut(buckets)
    whole = buckets.kept == buckets.size
    return _Buckets(
        size=(buckets.size * is_cut).sum(axis=1, keepdims=True),
        relevant=(buckets.relevant * is_cut).sum(axis=1, keepdims=True),
        before=(buckets.before * is_cut).sum(axis=1, keepdims=True),
        hits=(buckets.relevant * whole).sum(axis=1, keepdims=True),
        kept=(buckets.kept * is_cut).sum(axis=1, keepdims=True),
    )


def _rows(buckets: _Buckets, rows: slice) -> _Buckets:
    return _Buckets(
        size=buckets.size[rows],
        relevant=buckets.relevant[rows],
        before=buckets.before[rows],
        hits=buckets.hits[rows],
        kept=buckets.kept[rows],
    )


def _fewest_hits(buckets: _Buckets) -> Integers:
    return np.maximum(0, buckets.kept - (buckets.size - buckets.relevant))


def _most_hits(buckets: _Buckets) -> Integers:
    return np.minimum(buckets.relevant, buckets.kept)


def _expected_precisions(buckets: _Buckets, harmonic: Floats) -> Floats:
    """Return the expected sums of precisions; :func:`average_precision` gives the formula."""
    slope = _ratio(buckets.relevant - 1, buckets.size - 1)
    spread = harmonic[buckets.before + buckets.kept] - harmonic[buckets.before]
    constant = buckets.hits + 1 - slope * (buckets.before + 1)
    share = _ratio(buckets.relevant, buckets.size)
    precisions: Floats = share * (buckets.kept * slope + constant * spread)
    return precisions


def _expected_precisions_given(buckets: _Buckets, hits: Integers, harmonic: Floats) -> Floats:
    """Return the expected sums where ``hits`` of the items kept are relevant, at any places."""
    kept = _Buckets(buckets.kept, hits, buckets.before, buckets.hits, buckets.kept)
    return _expected_precisions(kept, harmonic)


def _least_precisions(buckets: _Buckets, harmonic: Floats) -> Floats:
    return _least_precisions_given(buckets, _fewest_hits(buckets), harmonic)


def _least_precisions_given(buckets: _Buckets, hits: Integers, harmonic: Floats) -> Floats:
    stop = buckets.before + buckets.kept
    start = stop - hits
    precisions: Floats = hits - (start - buckets.hits) * (harmonic[stop] - harmonic[start])
    return precisions


def _greatest_precisions(buckets: _Buckets, harmonic: Floats) -> Floats:
    return _greatest_precisions_given(buckets, _most_hits(buckets), harmonic)


def _greatest_precisions_given(buckets: _Buckets, hits: Integers, harmonic: Floats) -> Floats:
    spread = harmonic[buckets.before + hits] - harmonic[buckets.before]
    precisions: Floats = hits - (buckets.before - buckets.hits) * spread
    return precisions


def _pick_mean(values: Floats, bucket: _Buckets) -> Floats:
    mean: Floats = (values * _hits_probability(bucket, values.shape[1])).sum(axis=1)
    return mean


def _pick_least(values: Floats, bucket: _Buckets) -> Floats:
    least: Floats = values.min(axis=1)
    return least


def _pick_greatest(values: Floats, bucket: _Buckets) -> Floats:
    greatest: Floats = values.max(axis=1)
    return greatest


def _hits_probability(bucket: _Buckets, cases: int) -> Floats:
    """Return the hypergeometric probability of the fewest hits among the items kept, and so on.

    From the quotients of neighbouring probabilities, so that no factorial is ever formed.

    Args:
        bucket: the bucket cut [q, 1].
        cases: numbers of hits to give, from the fewest.

    Returns:
        Probabilities [q, cases], 0 past the greatest number of hits.
    """
    hits = _fewest_hits(bucket) + np.arange(cases - 1)
    more = (bucket.relevant - hits) * (bucket.kept - hits)
    fewer = (hits + 1) * (bucket.size - bucket.relevant - bucket.kept + hits + 1)
    steps = np.full(hits.shape, -np.inf)
    np.log(_ratio(more, fewer), out=steps, where=hits < _most_hits(bucket))
    log = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    probability: Floats = weight / weight.sum(axis=1, keepdims=True)
    return probability


@lru_cache(maxsize=4)
def _harmonic(count: int) -> Floats:
    """Return the harmonic numbers of 0 to ``count``, read-only, since the table is kept."""
    # Summed with more digits where the machine has them: differences of neighbours are used.
    numbers = np.zeros(count + 1, dtype=np.longdouble)
    np.cumsum(1 / np.arange(1, count + 1, dtype=np.longdouble), out=numbers[1:])
    table = numbers.astype(np.float64)
    table.flags.writeable = False
    return table


def _ratio(numerator: Floats | Integers, denominator: Integers) -> Floats:
    """Return the quotient, 0 where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator != 0)


def _mean(values: Floats) -> Floats:
    """Return the mean over the queries (first axis) that are not left out."""
    counted = ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
    if not counted.any():
        raise MetricsError("no query is left: none has anything relevant in the gallery")
    mean: Floats = values[counted].mean(axis=0)
    return mean


def _counted(hist: Histograms, empty: str) -> Floats:
    """Return what a figure of each query is multiplied with [q]: 1, or NaN to leave it out."""
    if empty not in EMPTY:
        raise MetricsError(f"empty must be one of {', '.join(EMPTY)}, got {empty!r}")
    return EMPTY[empty](hist.relevant.sum(axis=1) == 0)


def _count_as_zero(nothing: Booleans) -> Floats:
    return np.ones(nothing.shape)


def _leave_out(nothing: Booleans) -> Floats:
    return np.where(nothing, np.nan, 1.0)


def _refuse(nothing: Booleans) -> Floats:
    if nothing.any():
        raise MetricsError(
            f"{int(nothing.sum())} of {len(nothing)} queries have nothing relevant in the gallery; "
            "count them as 0 (zero) or leave them out (skip)"
        )
    return np.ones(nothing.shape)


def _check_cutoff(k: int) -> None:
    if k < 1:
        raise MetricsError(f"a cut-off must be 1 or more, got {k}")


EXPECTED = _TieRule(_expected_precisions, _expected_precisions_given, _pick_mean)
LOWER = _TieRule(_least_precisions, _least_precisions_given, _pick_least)
UPPER = _TieRule(_greatest_precisions, _greatest_precisions_given, _pick_greatest)

DENOMINATORS = {"relevant": _over_relevant, "min": _over_reachable, "hits": _over_hits}
EMPTY = {"zero": _count_as_zero, "skip": _leave_out, "error": _refuse}
