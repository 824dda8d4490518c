"""Average precision of the queries that find a relevant item among the first places, no others.

Reference:
    ``get_mAPs`` in ``DeepHash/evaluation/__init__.py`` of github.com/thulab/DeepHash leaves a query
    out of the mean whose first places hold nothing relevant.
"""

import numpy as np

from .average_precision import average_precision
from .buckets import Floats, Integers
from .histograms import Histograms
from .over_queries import Aggregate, counted_queries
from .rank_metrics import found_among, rank_distribution


def found_average_precision(
    hist: Histograms, at: int | None = None, denominator: str = "relevant"
) -> Floats:
    """Return what the mean over the queries that find something is computed from.

    Args:
        hist: histograms [q, buckets].
        at: cut-off k, ``None`` for the full list.
        denominator: ``relevant``, ``min`` or ``hits``.

    Returns:
        [q, 2]: average precision, mean over the orders of the ties, and the share of these orders
        that have a relevant item among the first k.

    Raises:
        MetricsError: a cut-off below 1 or an unknown denominator.
    """
    values = average_precision(hist, at, denominator)
    gallery: Integers = hist.items.sum(axis=1)
    found = found_among(rank_distribution(hist).astype(np.int64), at or int(gallery.max()))
    return np.stack([values, np.where(hist.relevant.any(axis=1), found, 0.0)], axis=1)


def mean_of_found(values: Floats) -> Floats:
    """Return the sum of the average precisions over the sum of the shares; 0 if no query finds any.

    Without ties it is the mean over the queries that find something.

    Args:
        values: [q, 2], as :func:`found_average_precision` returns them; NaN for a query that is
            left out.

    Raises:
        MetricsError: no query is left.
    """
    precision, found = counted_queries(values).sum(axis=0)
    return np.array(precision / found if found else 0.0)


MEAN_OF_FOUND = Aggregate("mean of those that count", mean_of_found)
