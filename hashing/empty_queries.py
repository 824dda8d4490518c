"""What a query without a relevant item counts in a mean: 0, nothing, or an error."""

import numpy as np

from .buckets import Booleans, Floats, MetricsError
from .histograms import Histograms


def query_weights(hist: Histograms, empty: str) -> Floats:
    """Return the weight of each query [q]: 1, or NaN to leave the query out of every mean.

    Args:
        hist: histograms [q, buckets].
        empty: a query without a relevant item counts as 0 (``zero``), is left out (``skip``) or
            is refused (``error``).

    Raises:
        MetricsError: an unknown choice, or a query is refused.
    """
    if empty not in EMPTY:
        raise MetricsError(f"empty must be one of {', '.join(EMPTY)}, got {empty!r}")
    return EMPTY[empty](hist.relevant.sum(axis=1) == 0)


def _count_as_zero(without: Booleans) -> Floats:
    return np.ones(without.shape)


def _leave_out(without: Booleans) -> Floats:
    return np.where(without, np.nan, 1.0)


def _refuse(without: Booleans) -> Floats:
    if without.any():
        raise MetricsError(
            f"{int(without.sum())} of {len(without)} queries have no relevant item in the gallery; "
            "count them as 0 (zero) or leave them out (skip)"
        )
    return np.ones(without.shape)


EMPTY = {"zero": _count_as_zero, "skip": _leave_out, "error": _refuse}
