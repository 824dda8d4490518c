"""How the values of the queries become one value: their mean, or their median."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .buckets import Floats, MetricsError


@dataclass(frozen=True)
class Aggregate:
    """One way to reduce the values of the queries to the value of a metric.

    Attributes:
        name: its name in the documentation, e.g. ``mean``.
        function: returns the value, one per cut-off if there are several, from what the function
            of the metric returns, queries first; queries that are NaN are left out.
    """

    name: str
    function: Callable[[Floats], Floats]


def counted_queries(values: Floats) -> Floats:
    """Return the rows of ``values`` that are not NaN: the queries that count.

    Raises:
        MetricsError: no query is left.
    """
    counted = ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
    if not counted.any():
        raise MetricsError("no query is left: none has a relevant item in the gallery")
    return values[counted]


def mean_over_queries(values: Floats) -> Floats:
    """Return the mean over the queries (first axis) that are not NaN.

    Raises:
        MetricsError: no query is left.
    """
    mean: Floats = counted_queries(values).mean(axis=0)
    return mean


def median_over_queries(values: Floats) -> Floats:
    """Return the median over the queries (first axis) that are not NaN.

    Raises:
        MetricsError: no query is left.
    """
    median: Floats = np.median(counted_queries(values), axis=0)
    return median


MEAN = Aggregate("mean", mean_over_queries)
MEDIAN = Aggregate("median", median_over_queries)
