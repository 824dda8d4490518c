import numpy as np
import pytest
from tied_lists import histograms

from ivr.hashing.buckets import MetricsError
from ivr.hashing.retrieval_curves import precision_over_retrieved, precision_recall_curve


def test_precision_over_retrieved_is_the_mean_over_queries() -> None:
    hist = histograms([(1, 1), (1, 0)], [(1, 0), (1, 1)], [(1, 0), (1, 0)])
    np.testing.assert_allclose(precision_over_retrieved(hist, [1, 2]), [1 / 3, 1 / 3])
    np.testing.assert_allclose(
        precision_over_retrieved(hist, [1, 2, 4], "skip"), [1 / 2, 1 / 2, 1 / 4]
    )


def test_precision_recall_curve_pools_queries_and_starts_where_something_is_retrieved() -> None:
    hist = histograms([(0, 0), (2, 2), (0, 0), (1, 0)], [(0, 0), (0, 0), (4, 1), (1, 1)])
    curve = precision_recall_curve(hist)
    assert curve.radius.tolist() == [1, 2, 3]
    assert curve.precision == pytest.approx([2 / 2, 3 / 6, 4 / 8])
    assert curve.recall == pytest.approx([2 / 4, 3 / 4, 4 / 4])


def test_precision_recall_curve_needs_something_relevant() -> None:
    with pytest.raises(MetricsError, match="recall has no value"):
        precision_recall_curve(histograms([(2, 0)]))
