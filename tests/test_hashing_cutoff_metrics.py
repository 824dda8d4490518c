import math
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import ndcg_score
from tied_lists import TIED, histograms, mean_over, orders, small_lists

from ivr.hashing.buckets import MetricsError
from ivr.hashing.cutoff_metrics import (
    f_at,
    hit_at,
    hits_at,
    ndcg_at,
    precision_at,
    precision_within,
    recall_at,
)
from ivr.hashing.histograms import (
    Histograms,
    score_histograms,
)


@pytest.fixture(scope="module")
def lists() -> tuple[Histograms, list[Counter[tuple[bool, ...]]]]:
    """Histograms of small lists, and all orders of the ties of each."""
    distance, relevant = small_lists()
    rows = zip(distance.tolist(), relevant.tolist(), strict=True)
    return score_histograms(distance, relevant), [orders(*row) for row in rows]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 9])
def test_precision_recall_and_f_are_means_over_all_orders_of_ties(
    lists: tuple[Histograms, list[Counter[tuple[bool, ...]]]], k: int
) -> None:
    hist, all_orders = lists
    total = hist.relevant.sum(axis=1)
    hits = np.array([mean_over(orders, lambda ranked: sum(ranked[:k])) for orders in all_orders])
    found = total > 0
    np.testing.assert_allclose(hits_at(hist, k), hits, atol=1e-12)
    np.testing.assert_allclose(precision_at(hist, k), hits / k, atol=1e-12)
    np.testing.assert_allclose(recall_at(hist, k)[found], hits[found] / total[found], atol=1e-12)
    assert (recall_at(hist, k)[~found] == 0).all()
    np.testing.assert_allclose(f_at(hist, k), 2 * hits / (k + total), atol=1e-12)
    found_any = [mean_over(orders, lambda ranked: any(ranked[:k])) for orders in all_orders]
    np.testing.assert_allclose(hit_at(hist, k), found_any, atol=1e-12)


def test_a_hit_in_a_million_items_at_one_distance_is_as_likely_as_by_hand() -> None:
    hist = histograms([(1_000_000, 5)])
    # None of five in ten of a million: (1 - 1e-5)^5, but for one in a million of it.
    assert hit_at(hist, 10) == pytest.approx([1 - (1 - 1e-5) ** 5], rel=1e-4)
    assert hit_at(hist, 999_996) == pytest.approx([1.0])
    assert hit_at(histograms([(3, 0), (4, 4)]), 4) == pytest.approx([1.0])
    assert hit_at(histograms([(3, 0), (4, 4)]), 3).tolist() == [0.0]


def test_precision_recall_and_f_by_hand() -> None:
    # One of two at the first distance, then two of the four places 3 to 6: at 4, two of four kept.
    assert hits_at(TIED, 4) == pytest.approx([1 + 2 * 2 / 4])
    assert precision_at(TIED, 4) == pytest.approx([2 / 4])
    assert recall_at(TIED, 4) == pytest.approx([2 / 3])
    assert f_at(TIED, 4) == pytest.approx([2 * 2 / (4 + 3)])


def test_precision_beyond_the_gallery_is_still_divided_by_k() -> None:
    assert precision_at(TIED, 10) == pytest.approx([3 / 10])
    assert recall_at(TIED, 10) == pytest.approx([1.0])


def test_ndcg_of_untied_lists_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(11)
    distance, relevant = rng.random((30, 40)), rng.random((30, 40)) < 0.2
    hist = score_histograms(distance, relevant)
    for k in (1, 5, 40, 60):
        expected = [
            ndcg_score([row], [-near], k=k) for row, near in zip(relevant, distance, strict=True)
        ]
        np.testing.assert_allclose(ndcg_at(hist, k), expected, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 9])
def test_ndcg_is_the_mean_of_scikit_learns_over_all_orders_of_ties(
    lists: tuple[Histograms, list[Counter[tuple[bool, ...]]]], k: int
) -> None:
    hist, all_orders = lists
    places = -np.arange(6.0)
    expected = [
        mean_over(orders, lambda ranked: ndcg_score([ranked], [places], k=k))
        for orders in all_orders
    ]
    np.testing.assert_allclose(ndcg_at(hist, k), expected, atol=1e-12)


def test_ndcg_of_a_tie_by_hand() -> None:
    # A relevant item at place 1 or 2: gain 1 or 1 / log2(3), the ideal gain is 1.
    assert ndcg_at(histograms([(2, 1)]), 2) == pytest.approx([(1 + 1 / math.log2(3)) / 2])
    assert ndcg_at(histograms([(2, 1)]), 1) == pytest.approx([1 / 2])
    assert ndcg_at(histograms([(2, 0)]), 2).tolist() == [0.0]
    with pytest.raises(MetricsError, match="a cut-off must be 1 or more, got 0"):
        ndcg_at(TIED, 0)


def test_ndcg_of_lists_of_different_lengths_by_hand() -> None:
    hist = histograms([(1, 0), (1, 1), (0, 0)], [(1, 1), (2, 1), (3, 0)])
    second = (1 / math.log2(3) + 1 / 2) / 2
    expected = [1 / math.log2(3), (1 + second) / (1 + 1 / math.log2(3))]
    assert ndcg_at(hist, 4) == pytest.approx(expected)


def test_precision_within_a_radius_by_hand_and_nothing_retrieved_is_zero() -> None:
    hist = histograms([(1, 1), (2, 0), (1, 1), (4, 4)], [(0, 0), (0, 0), (0, 0), (8, 4)])
    assert precision_within(hist, 2) == pytest.approx([2 / 4, 0])
    assert precision_within(hist, 0) == pytest.approx([1, 0])
    assert precision_within(hist, 9) == pytest.approx([6 / 8, 4 / 8])
    with pytest.raises(MetricsError, match="a Hamming radius must be 0 or more, got -1"):
        precision_within(hist, -1)
