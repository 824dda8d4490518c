import numpy as np
import pytest
from tied_lists import histograms

from ivr.hashing.average_precision import average_precision
from ivr.hashing.buckets import MetricsError
from ivr.hashing.histograms import perfect_histograms
from ivr.hashing.retrieval_curves import over_retrieved, precision_recall_curve


def test_over_retrieved_is_the_mean_over_queries() -> None:
    hist = histograms([(1, 1), (1, 0)], [(1, 0), (1, 1)], [(1, 0), (1, 0)])
    np.testing.assert_allclose(over_retrieved(hist, [1, 2]).precision, [1 / 3, 1 / 3])
    means = over_retrieved(hist, [1, 2, 4], "skip")
    np.testing.assert_allclose(means.precision, [1 / 2, 1 / 2, 1 / 4])
    np.testing.assert_allclose(means.recall, [1 / 2, 1, 1])


def test_over_retrieved_has_the_ceiling_of_a_perfect_ranking_and_the_chance_of_a_random_one() -> (
    None
):
    # Four items; the first query has three relevant ones, the second has one, the third none.
    hist = histograms([(1, 0), (3, 3)], [(4, 1), (0, 0)], [(4, 0), (0, 0)])
    means = over_retrieved(hist, [1, 2, 4], "skip")
    np.testing.assert_allclose(means.precision_ceiling, [1, (1 + 1 / 2) / 2, (3 / 4 + 1 / 4) / 2])
    np.testing.assert_allclose(means.recall_ceiling, [(1 / 3 + 1) / 2, (2 / 3 + 1) / 2, 1])
    np.testing.assert_allclose(means.precision_chance, [1 / 2] * 3)
    np.testing.assert_allclose(means.recall_chance, [1 / 4, 2 / 4, 1])
    zero = over_retrieved(hist, [1], "zero")
    assert zero.precision_ceiling[0] == pytest.approx(2 / 3)


def test_the_metrics_of_perfect_histograms_are_those_of_every_relevant_item_first() -> None:
    hist = histograms([(2, 0), (3, 2), (1, 1)], [(6, 6), (0, 0), (0, 0)], [(6, 0), (0, 0), (0, 0)])
    perfect = perfect_histograms(hist)
    assert perfect.items.tolist() == [[3, 0, 3], [6, 0, 0], [0, 0, 6]]
    assert perfect.relevant.tolist() == [[3, 0, 0], [6, 0, 0], [0, 0, 0]]
    assert average_precision(perfect)[:2] == pytest.approx([1, 1])
    one_bucket = perfect_histograms(histograms([(4, 3)]))
    assert (one_bucket.items.tolist(), one_bucket.relevant.tolist()) == ([[3, 1]], [[3, 0]])


def test_precision_recall_curve_pools_queries_and_starts_where_something_is_retrieved() -> None:
    hist = histograms([(0, 0), (2, 2), (0, 0), (1, 0)], [(0, 0), (0, 0), (4, 1), (1, 1)])
    curve = precision_recall_curve(hist)
    assert curve.radius.tolist() == [1, 2, 3]
    assert curve.precision == pytest.approx([2 / 2, 3 / 6, 4 / 8])
    assert curve.recall == pytest.approx([2 / 4, 3 / 4, 4 / 4])


def test_precision_recall_curve_needs_something_relevant() -> None:
    with pytest.raises(MetricsError, match="recall has no value"):
        precision_recall_curve(histograms([(2, 0)]))
