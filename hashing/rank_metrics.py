"""Rank of the nearest relevant item of a query: 1 if no other item is nearer.

In the formulas the nearest bucket with a relevant item has n items, r of them relevant, and N items
lie before it. All orders of these n items are equally likely, so that the rank exceeds N + j with
probability C(n - j, r) / C(n, r). A query without a relevant item has the rank behind the last item
of the gallery: it finds nothing, however far one looks.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .buckets import Floats, Integers
from .histograms import Histograms
from .over_queries import Aggregate, counted_queries

# Shares of ranks this close to one half are one half: they are sums of quotients in floats.
SAME_SHARE = 1e-9


def expected_rank(hist: Histograms, at: int | None = None, denominator: str = "") -> Floats:
    """Return the rank [q] of the nearest relevant item, mean over the orders of the ties.

    It is N + (n + 1) / (r + 1). The cut-off and the denominator of average precision change
    nothing.
    """
    del at, denominator
    before, size, relevant = _nearest_relevant(hist).T
    rank: Floats = before + (size + 1) / (relevant + 1)
    return rank


def least_rank(hist: Histograms, at: int | None = None, denominator: str = "") -> Floats:
    """Return the least rank [q] of the nearest relevant item that an order of the ties gives."""
    del at, denominator
    return (_nearest_relevant(hist)[:, 0] + 1).astype(np.float64)


def greatest_rank(hist: Histograms, at: int | None = None, denominator: str = "") -> Floats:
    """Return the greatest rank [q] of the nearest relevant item that an order of the ties gives."""
    del at, denominator
    before, size, relevant = _nearest_relevant(hist).T
    rank: Floats = before + size - relevant + 1.0
    return rank


def rank_distribution(hist: Histograms, at: int | None = None, denominator: str = "") -> Floats:
    """Return what the distribution of the rank over the orders of the ties depends on.

    Returns:
        [q, 3]: N, n and r of each query, as :func:`median_of_ranks` takes them.
    """
    del at, denominator
    return _nearest_relevant(hist).astype(np.float64)


def found_among(distributions: Integers, places: int) -> Floats:
    """Return the probability of a relevant item among the first places, over orders of the ties.

    Args:
        distributions: N, n and r [c, 3], as :func:`rank_distribution` returns them.
        places: number of first places.

    Returns:
        Probabilities [c]; 0 for a query without a relevant item unless the gallery is shorter than
        ``places``.
    """
    before, size, relevant = distributions.T
    log_factorial = _log_factorials(int(size.max()))
    left = size - np.clip(places - before, 0, size - relevant)
    missed = np.exp(
        log_factorial[left]
        - log_factorial[left - relevant]
        - log_factorial[size]
        + log_factorial[size - relevant]
    )
    found: Floats = np.where(places > before + size - relevant, 1.0, 1.0 - missed)
    return found.astype(np.float64)


def median_of_ranks(distributions: Floats) -> Floats:
    """Return the median of the ranks of all queries in all orders of their ties.

    Every query counts the same, and of a query every order of its ties. Without ties this is the
    median of the ranks; where the middle falls between two ranks, it is their mean. The median of
    the expected ranks would be another value: with several relevant items the ranks of a query are
    skewed, and of a random order the expectation is above the median.

    Args:
        distributions: [q, 3], as :func:`rank_distribution` returns them; NaN for a query that is
            left out.

    Raises:
        MetricsError: no query is left.
    """
    counted = counted_queries(distributions).astype(np.int64)
    cases, queries = np.unique(counted, axis=0, return_counts=True)
    before, size, relevant = cases.T
    least, greatest = int(before.min()) + 1, int((before + size - relevant).max()) + 1

    def first(above: float) -> int:
        """Return the first rank up to which the share of the ranks exceeds ``above``."""
        low, high = least, greatest
        while low < high:
            middle = (low + high) // 2
            share = np.average(found_among(cases, middle), weights=queries)
            low, high = (low, middle) if share > above else (middle + 1, high)
        return low

    return np.array((first(0.5 - SAME_SHARE) + first(0.5 + SAME_SHARE)) / 2)


def _nearest_relevant(hist: Histograms) -> Integers:
    """Return N, n and r [q, 3] of the nearest bucket with a relevant item.

    For a query without one, a bucket of one relevant item behind the whole gallery.
    """
    first = np.argmax(hist.relevant > 0, axis=1)[:, None]
    size, relevant = (
        np.take_along_axis(counts, first, axis=1)[:, 0] for counts in (hist.items, hist.relevant)
    )
    before = np.where(np.arange(hist.items.shape[1]) < first, hist.items, 0).sum(axis=1)
    gallery = hist.items.sum(axis=1)
    found = relevant > 0
    return np.stack(
        [np.where(found, before, gallery), np.where(found, size, 1), np.where(found, relevant, 1)],
        axis=1,
    )


@lru_cache(maxsize=4)
def _log_factorials(count: int) -> npt.NDArray[np.longdouble]:
    """Return the logarithms of the factorials of 0 to ``count``, read-only (cached)."""
    table = np.zeros(count + 1, dtype=np.longdouble)
    np.cumsum(np.log(np.arange(1, count + 1, dtype=np.longdouble)), out=table[1:])
    table.flags.writeable = False
    return table


MEDIAN_OF_RANKS = Aggregate("median", median_of_ranks)
