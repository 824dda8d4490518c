"""Average precision of ranked lists: mean, least and greatest value over the orders of the ties.

Average precision is taken over the full list, or at a cut-off k over its first k places. At a
cut-off the sum of the precisions at the relevant items among the first k is divided by all relevant
items (``relevant``), by min(k, all relevant items) (``min``), or by the relevant items among the
first k (``hits``; a random number under ties, and the value is 0 if there are none).

In the formulas a bucket has n items, r of them relevant; N items, R of them relevant, lie before
it; m of its items are among the first k; H is the harmonic number.

Reference:
    McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently in the
    Presence of Tied Scores", ECIR 2008, for the expectation over the orders of the ties. The bounds
    and the mean for the denominator ``hits`` are ours; the tests compare them with all orders.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .buckets import (
    Buckets,
    Floats,
    Integers,
    MetricsError,
    bucket_cut,
    check_cutoff,
    cut_buckets,
    fewest_hits,
    hits_probability,
    is_cut,
    most_hits,
    ratio,
)
from .histograms import Histograms

# Cells of a [q, buckets] or [q, hits] table worked on at once: 8 MiB per temporary array.
CELLS = 1 << 20


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
        Average precision [q], from 0 to 1; 0 for a query without a relevant item.

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
        Average precision [q], from 0 to 1; 0 for a query without a relevant item.

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
        Average precision [q], from 0 to 1; 0 for a query without a relevant item.

    Raises:
        MetricsError: a cut-off below 1 or an unknown denominator.
    """
    return _average_precision(hist, at, denominator, UPPER)


def class_average_precision(average_precision: Floats, labels: Integers) -> dict[int, float]:
    """Return the mean average precision of the queries of each class.

    Args:
        average_precision: [q], NaN for queries that are left out.
        labels: class of each query [q], integers.

    Returns:
        Class to mean, ascending; a class whose queries are all left out is absent.

    Raises:
        MetricsError: not one label per query.
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
class _Cut:
    """Some ranked lists cut at k.

    Attributes:
        buckets: their buckets [q, buckets].
        k: the cut-off; the length of the longest list for full lists.
        total: T, number of relevant items [q].
        harmonic: harmonic numbers, from that of 0.
    """

    buckets: Buckets
    k: int
    total: Integers
    harmonic: Floats


@dataclass(frozen=True)
class _TieRule:
    """Which orders of the ties count.

    Attributes:
        precisions: returns the sums of precisions that buckets add, from buckets and harmonic
            numbers.
        given: returns the same if j of the items kept are relevant; j is the second argument.
        pick: returns the value [q], from the values [q, j] for every possible j and the buckets
            that k cuts.
    """

    precisions: Callable[[Buckets, Floats], Floats]
    given: Callable[[Buckets, Integers, Floats], Floats]
    pick: Callable[[Floats, Buckets], Floats]


def _average_precision(
    hist: Histograms, at: int | None, denominator: str, rule: _TieRule
) -> Floats:
    if denominator not in DENOMINATORS:
        raise MetricsError(
            f"denominator must be one of {', '.join(DENOMINATORS)}, got {denominator!r}"
        )
    if at is not None:
        check_cutoff(at)
    queries, buckets = hist.items.shape
    longest = int(hist.items.sum(axis=1).max())
    harmonic = _harmonic(longest)
    step = max(1, CELLS // buckets)
    return np.concatenate(
        [
            DENOMINATORS[denominator](
                _cut_rows(hist, slice(start, start + step), at or longest, harmonic), rule
            )
            for start in range(0, queries, step)
        ]
    )


def _cut_rows(hist: Histograms, rows: slice, k: int, harmonic: Floats) -> _Cut:
    buckets = cut_buckets(Histograms(hist.items[rows], hist.relevant[rows]), k)
    return _Cut(buckets=buckets, k=k, total=buckets.relevant.sum(axis=1), harmonic=harmonic)


def _over_relevant(cut: _Cut, rule: _TieRule) -> Floats:
    return ratio(rule.precisions(cut.buckets, cut.harmonic).sum(axis=1), cut.total)


def _over_reachable(cut: _Cut, rule: _TieRule) -> Floats:
    reachable = np.minimum(cut.k, cut.total)
    return ratio(rule.precisions(cut.buckets, cut.harmonic).sum(axis=1), reachable)


def _over_hits(cut: _Cut, rule: _TieRule) -> Floats:
    """Divide by the hits: known in whole buckets, one case per number of them in the bucket cut."""
    whole = np.where(is_cut(cut.buckets), 0, rule.precisions(cut.buckets, cut.harmonic))
    precisions, bucket = whole.sum(axis=1, keepdims=True), bucket_cut(cut.buckets)
    fewest, most = fewest_hits(bucket), most_hits(bucket)
    cases = np.arange(int((most - fewest).max()) + 1)
    step = max(1, CELLS // len(cases))
    values = []
    for start in range(0, len(precisions), step):
        rows = slice(start, start + step)
        part = _rows(bucket, rows)
        # Rows of fewer cases repeat their last one, which changes no extreme and has no weight.
        hits = np.minimum(fewest[rows] + cases, most[rows])
        total = precisions[rows] + rule.given(part, hits, cut.harmonic)
        values.append(rule.pick(ratio(total, part.hits + hits), part))
    return np.concatenate(values)


def _rows(buckets: Buckets, rows: slice) -> Buckets:
    return Buckets(
        size=buckets.size[rows],
        relevant=buckets.relevant[rows],
        before=buckets.before[rows],
        hits=buckets.hits[rows],
        kept=buckets.kept[rows],
    )


def _expected_precisions(buckets: Buckets, harmonic: Floats) -> Floats:
    """Return the expected sums of precisions; :func:`average_precision` gives the formula."""
    slope = ratio(buckets.relevant - 1, buckets.size - 1)
    spread = harmonic[buckets.before + buckets.kept] - harmonic[buckets.before]
    constant = buckets.hits + 1 - slope * (buckets.before + 1)
    share = ratio(buckets.relevant, buckets.size)
    precisions: Floats = share * (buckets.kept * slope + constant * spread)
    return precisions


def _expected_precisions_given(buckets: Buckets, hits: Integers, harmonic: Floats) -> Floats:
    """Return the expected sums where ``hits`` of the items kept are relevant, at any places."""
    kept = Buckets(buckets.kept, hits, buckets.before, buckets.hits, buckets.kept)
    return _expected_precisions(kept, harmonic)


def _least_precisions(buckets: Buckets, harmonic: Floats) -> Floats:
    return _least_precisions_given(buckets, fewest_hits(buckets), harmonic)


def _least_precisions_given(buckets: Buckets, hits: Integers, harmonic: Floats) -> Floats:
    stop = buckets.before + buckets.kept
    start = stop - hits
    precisions: Floats = hits - (start - buckets.hits) * (harmonic[stop] - harmonic[start])
    return precisions


def _greatest_precisions(buckets: Buckets, harmonic: Floats) -> Floats:
    return _greatest_precisions_given(buckets, most_hits(buckets), harmonic)


def _greatest_precisions_given(buckets: Buckets, hits: Integers, harmonic: Floats) -> Floats:
    spread = harmonic[buckets.before + hits] - harmonic[buckets.before]
    precisions: Floats = hits - (buckets.before - buckets.hits) * spread
    return precisions


def _pick_mean(values: Floats, bucket: Buckets) -> Floats:
    mean: Floats = (values * hits_probability(bucket, values.shape[1])).sum(axis=1)
    return mean


def _pick_least(values: Floats, bucket: Buckets) -> Floats:
    least: Floats = values.min(axis=1)
    return least


def _pick_greatest(values: Floats, bucket: Buckets) -> Floats:
    greatest: Floats = values.max(axis=1)
    return greatest


@lru_cache(maxsize=4)
def _harmonic(count: int) -> Floats:
    """Return the harmonic numbers of 0 to ``count``, read-only (cached)."""
    # Summed with more digits if the machine has them: differences of neighbours are used.
    numbers = np.zeros(count + 1, dtype=np.longdouble)
    np.cumsum(1 / np.arange(1, count + 1, dtype=np.longdouble), out=numbers[1:])
    table = numbers.astype(np.float64)
    table.flags.writeable = False
    return table


EXPECTED = _TieRule(_expected_precisions, _expected_precisions_given, _pick_mean)
LOWER = _TieRule(_least_precisions, _least_precisions_given, _pick_least)
UPPER = _TieRule(_greatest_precisions, _greatest_precisions_given, _pick_greatest)

DENOMINATORS = {"relevant": _over_relevant, "min": _over_reachable, "hits": _over_hits}
