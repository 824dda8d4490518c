"""Mean and median rank against all orders of the ties, by brute force and by hand."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from tied_lists import histograms, mean_over, orders, small_lists

from ivr.hashing import array_metrics
from ivr.hashing.buckets import MetricsError
from ivr.hashing.histograms import (
    Histograms,
    chance_histograms,
    file_order_histograms,
    perfect_histograms,
    score_histograms,
)
from ivr.hashing.metrics import Scores, join_scores, scores
from ivr.hashing.rank_metrics import expected_rank, median_of_ranks, rank_distribution

BOUNDS = ("", "_lower", "_upper")


def first_place(ranked: Sequence[bool]) -> int:
    """Return the rank of the first relevant item; behind the last place if there is none."""
    return (*ranked, True).index(True) + 1


def ranks_of(distance: np.ndarray, relevant: np.ndarray) -> list[Counter[int]]:
    """Return the ranks of each query over all orders of its ties, and how often each occurs."""
    found = []
    for d, r in zip(distance.tolist(), relevant.tolist(), strict=True):
        ranks: Counter[int] = Counter()
        for ranked, times in orders(d, r).items():
            ranks[first_place(ranked)] += times
        found.append(ranks)
    return found


def pooled_median(ranks: Sequence[Counter[int]]) -> float:
    """Return the median of all ranks, those of each query repeated to the same number."""
    most = np.lcm.reduce([one.total() for one in ranks])
    every = [
        np.repeat(list(one), [times * most // one.total() for times in one.values()])
        for one in ranks
    ]
    return float(np.median(np.concatenate(every)))


def found_in(distance: np.ndarray, relevant: np.ndarray) -> Scores:
    return scores(score_histograms(distance, relevant))


def test_the_rank_of_a_query_is_the_mean_over_all_orders_and_its_bounds_are_reached() -> None:
    distance, relevant = small_lists()
    found = found_in(distance, relevant)
    lists = list(zip(distance.tolist(), relevant.tolist(), strict=True))
    expected = [mean_over(orders(d, r), first_place) for d, r in lists]
    np.testing.assert_allclose(found.of("mean rank"), expected)
    every = ranks_of(distance, relevant)
    assert found.of("mean rank_lower").tolist() == [min(ranks) for ranks in every]
    assert found.of("mean rank_upper").tolist() == [max(ranks) for ranks in every]
    assert any(len(ranks) > 2 for ranks in every) and not relevant.any(axis=1).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 30, 60])
def test_the_median_is_that_of_the_ranks_of_all_queries_in_all_orders(count: int) -> None:
    distance, relevant = small_lists()
    for start in range(0, 60, count):
        rows = slice(start, start + count)
        found = found_in(distance[rows], relevant[rows]).in_units()
        assert found["median rank"] == pooled_median(ranks_of(distance[rows], relevant[rows]))


def test_the_bounds_of_mean_and_median_are_reached_by_an_order_of_all_lists_together() -> None:
    distance, relevant = (array[20:24] for array in small_lists())
    every = ranks_of(distance, relevant)
    joint = list(itertools.product(*every))
    found = found_in(distance, relevant).in_units()
    for average, of in (("mean", np.mean), ("median", np.median)):
        values = [float(of(ranks)) for ranks in joint]
        assert found[f"{average} rank_lower"] == pytest.approx(min(values))
        assert found[f"{average} rank_upper"] == pytest.approx(max(values))
        assert min(values) < max(values)


@pytest.mark.parametrize("seed", range(5))
def test_values_lie_between_their_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distance, relevant = rng.integers(0, 9, (41, 80)), rng.random((41, 80)) < 0.05
    found = found_in(distance, relevant).in_units()
    for average in ("mean", "median"):
        value, lower, upper = (found[f"{average} rank{end}"] for end in BOUNDS)
        assert lower < value < upper


def test_without_ties_the_ranks_are_those_of_a_sort() -> None:
    rng = np.random.default_rng(3)
    distance, relevant = rng.random((40, 90)), rng.random((40, 90)) < 0.03
    order = np.argsort(distance, axis=1)
    places = [first_place(row) for row in np.take_along_axis(relevant, order, axis=1).tolist()]
    found = found_in(distance, relevant).in_units()
    for end in BOUNDS:
        assert found[f"mean rank{end}"] == pytest.approx(np.mean(places))
        assert found[f"median rank{end}"] == np.median(places)


def test_chance_is_the_rank_in_a_random_order() -> None:
    # Five relevant items among 999: half of the random orders have one among the first 129.
    hist = histograms([(300, 0), (699, 5)])
    chance = scores(chance_histograms(hist)).in_units()
    rng = np.random.default_rng(0)
    drawn = [rng.choice(999, 5, replace=False).min() + 1 for _ in range(4000)]
    assert chance["mean rank"] == pytest.approx(1000 / 6)
    assert chance["mean rank"] == pytest.approx(np.mean(drawn), rel=0.05)
    assert chance["median rank"] == pytest.approx(np.median(drawn), rel=0.07)
    assert chance["median rank"] < 0.85 * chance["mean rank"]


def test_the_best_ranking_has_rank_one() -> None:
    found = scores(perfect_histograms(histograms([(300, 0), (699, 5)]))).in_units()
    assert found["mean rank"] == found["median rank"] == 1


def test_a_query_without_a_relevant_item_is_behind_the_gallery_or_left_out() -> None:
    hist = histograms([(1, 1), (3, 0)], [(1, 0), (3, 0)], [(2, 0), (2, 2)])
    assert expected_rank(hist).tolist() == [1, 5, 3]
    zero, skip = (scores(hist, empty=empty).in_units() for empty in ("zero", "skip"))
    assert (zero["mean rank"], zero["median rank"]) == (3, 3)
    assert (skip["mean rank"], skip["median rank"]) == (2, 2)
    with pytest.raises(MetricsError, match="no query is left"):
        median_of_ranks(np.full((2, 3), np.nan))


def test_ranks_in_the_middle_of_a_gallery_of_a_million_are_exact() -> None:
    items = np.array([[400_000, 600_000]])
    one = Histograms(items, np.array([[0, 1]]))
    # Ranks 400 001 to 1 000 000, all equally likely.
    assert median_of_ranks(rank_distribution(one)) == 700_000.5
    two = Histograms(items, np.array([[0, 2]]))
    exceeded = [1 - (1 - p) ** 2 for p in (0.2928, 0.2930)]
    assert exceeded[0] < 0.5 < exceeded[1]
    median = float(median_of_ranks(rank_distribution(two)))
    assert 400_000 + 0.2928 * 600_000 < median < 400_000 + 0.2930 * 600_000


def test_queries_scored_in_blocks_have_the_median_of_all() -> None:
    distance, relevant = small_lists()
    hist = score_histograms(distance, relevant)
    parts = [
        scores(Histograms(hist.items[start : start + 7], hist.relevant[start : start + 7]))
        for start in range(0, 60, 7)
    ]
    assert join_scores(parts).in_units() == pytest.approx(scores(hist).in_units())
    assert join_scores(parts).of("median rank").shape == (60, 3)


@pytest.mark.parametrize("ties", ["expectation", "lower", "upper", "gallery-order"])
def test_ranks_on_arrays_are_those_of_the_table(ties: str) -> None:
    distance, relevant = small_lists()
    order = file_order_histograms if ties == "gallery-order" else score_histograms
    found = scores(order(distance, relevant)).in_units()
    end = f"_{ties}" if ties in ("lower", "upper") else ""
    for average in ("mean", "median"):
        function = getattr(array_metrics, f"{average}_rank")
        value = function(distance, relevant, ties=ties)
        assert value == pytest.approx(found[f"{average} rank{end}"])
        skipped = function(distance, relevant, ties=ties, empty="skip")
        some = relevant.any(axis=1)
        assert skipped == pytest.approx(function(distance[some], relevant[some], ties=ties))
        assert skipped < value or (skipped, average) == (1, "median")
