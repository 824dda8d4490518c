import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score
from tied_lists import TIED, histograms, mean_over, orders, ranked_by_hamming, small_lists

from ivr.hashing import average_precision as module
from ivr.hashing.average_precision import (
    average_precision,
    average_precision_lower,
    average_precision_upper,
)
from ivr.hashing.cutoff_metrics import (
    precision_at,
    recall_at,
)
from ivr.hashing.histograms import (
    Histograms,
    chance_histograms,
    file_order_histograms,
    score_histograms,
)

DENOMINATORS = ("relevant", "min", "hits")


def average_precision_of(ranked: tuple[bool, ...], at: int | None, denominator: str) -> float:
    """Return the average precision of one list without ties, by its definition."""
    k = len(ranked) if at is None else at
    places = [place for place, hit in enumerate(ranked[:k], 1) if hit]
    divisor = {
        "relevant": sum(ranked),
        "min": min(k, sum(ranked)),
        "hits": len(places),
    }[denominator]
    total = sum(sum(ranked[:place]) / place for place in places)
    return total / divisor if divisor else 0.0


@pytest.fixture(scope="module")
def lists() -> tuple[Histograms, list[Counter[tuple[bool, ...]]]]:
    """Histograms of small lists, and all orders of the ties of each."""
    distance, relevant = small_lists()
    rows = zip(distance.tolist(), relevant.tolist(), strict=True)
    return score_histograms(distance, relevant), [orders(*row) for row in rows]


def test_average_precision_without_ties_by_hand() -> None:
    hist = histograms([(1, 1), (1, 0), (1, 1)])
    assert average_precision(hist) == pytest.approx([(1 + 2 / 3) / 2])


def test_average_precision_of_a_tie_is_the_mean_of_its_orders_by_hand() -> None:
    hist = histograms([(2, 1)])
    assert average_precision(hist) == pytest.approx([(1 + 1 / 2) / 2])
    assert average_precision_lower(hist) == pytest.approx([1 / 2])
    assert average_precision_upper(hist) == pytest.approx([1.0])


def test_bounds_by_hand() -> None:
    assert average_precision_lower(TIED) == pytest.approx([(1 / 2 + 2 / 5 + 3 / 6) / 3])
    assert average_precision_upper(TIED) == pytest.approx([(1 + 2 / 3 + 3 / 4) / 3])


def test_a_further_hit_may_lower_the_average_over_hits() -> None:
    # 1 0 0 0 and then 0 or 1: at 5 the best order keeps no second hit, 1 rather than (1 + 2/5) / 2.
    hist = histograms([(1, 1), (3, 0), (2, 1)])
    assert average_precision_upper(hist, 5, "hits") == pytest.approx([1.0])
    assert average_precision_lower(hist, 5, "hits") == pytest.approx([(1 + 2 / 5) / 2])


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("at", [None, 1, 2, 3, 4, 5, 6, 9])
def test_average_precision_is_the_mean_over_all_orders_of_ties(
    lists: tuple[Histograms, list[Counter[tuple[bool, ...]]]], at: int | None, denominator: str
) -> None:
    hist, all_orders = lists
    expected = [
        mean_over(orders, lambda ranked: average_precision_of(ranked, at, denominator))
        for orders in all_orders
    ]
    np.testing.assert_allclose(average_precision(hist, at, denominator), expected, atol=1e-12)


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("at", [None, 1, 2, 3, 4, 5, 6, 9])
@pytest.mark.parametrize(
    ("bound", "extreme"), [(average_precision_lower, min), (average_precision_upper, max)]
)
def test_bounds_are_the_extremes_over_all_orders_of_ties(
    lists: tuple[Histograms, list[Counter[tuple[bool, ...]]]],
    bound: Callable[..., np.ndarray],
    extreme: Callable[..., float],
    at: int | None,
    denominator: str,
) -> None:
    hist, all_orders = lists
    expected = [
        extreme(average_precision_of(ranked, at, denominator) for ranked in orders)
        for orders in all_orders
    ]
    np.testing.assert_allclose(bound(hist, at, denominator), expected, atol=1e-12)


def test_small_lists_have_queries_with_nothing_and_with_everything_relevant() -> None:
    total = small_lists()[1].sum(axis=1)
    assert {0, 6} <= set(total.tolist())


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("at", [None, 2, 5])
def test_seven_items_all_tied_by_all_their_orders(at: int | None, denominator: str) -> None:
    all_orders = orders([0] * 7, [True, False, False, True, False, True, False])
    expected = mean_over(all_orders, lambda ranked: average_precision_of(ranked, at, denominator))
    found = average_precision(histograms([(7, 3)]), at, denominator)
    assert found == pytest.approx([expected])


def test_untied_lists_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    distance, relevant = rng.random((30, 200)), rng.random((30, 200)) < 0.1
    expected = [
        average_precision_score(row, -near) for row, near in zip(relevant, distance, strict=True)
    ]
    hist = score_histograms(distance, relevant)
    for bound in (average_precision, average_precision_lower, average_precision_upper):
        np.testing.assert_allclose(bound(hist), expected, rtol=1e-12)


def test_file_order_agrees_with_scikit_learn_on_places() -> None:
    _, distance, relevant = ranked_by_hamming(seed=3)
    ranked = np.take_along_axis(relevant, np.argsort(distance, axis=1, kind="stable"), axis=1)
    expected = [average_precision_score(row, -np.arange(300)) for row in ranked]
    hist = file_order_histograms(distance, relevant)
    np.testing.assert_allclose(average_precision(hist), expected, rtol=1e-12)


def test_file_order_depends_on_the_order_and_the_mean_over_ties_does_not() -> None:
    hist, distance, relevant = ranked_by_hamming(seed=4)
    shuffled = np.random.default_rng(5).permutation(300)
    again = score_histograms(distance[:, shuffled], relevant[:, shuffled])
    by_file = file_order_histograms(distance, relevant)
    by_other_file = file_order_histograms(distance[:, shuffled], relevant[:, shuffled])
    np.testing.assert_allclose(average_precision(again), average_precision(hist), rtol=1e-14)
    assert (average_precision(by_file) != average_precision(by_other_file)).any()


def test_any_file_order_lies_between_the_bounds_and_their_mean_is_the_expectation() -> None:
    hist, distance, relevant = ranked_by_hamming(seed=6)
    rng = np.random.default_rng(7)
    drawn = np.stack(
        [
            average_precision(file_order_histograms(distance[:, order], relevant[:, order]))
            for order in (rng.permutation(300) for _ in range(400))
        ]
    )
    assert (drawn >= average_precision_lower(hist) - 1e-12).all()
    assert (drawn <= average_precision_upper(hist) + 1e-12).all()
    error = drawn.std(axis=0) / math.sqrt(len(drawn))
    assert (abs(drawn.mean(axis=0) - average_precision(hist)) < 5 * error).all()


def test_chance_by_hand() -> None:
    hist = chance_histograms(histograms([(1, 0), (1, 1), (1, 0)]))
    assert average_precision(hist) == pytest.approx([(1 + 1 / 2 + 1 / 3) / 3])
    assert precision_at(hist, 1) == pytest.approx([1 / 3])
    assert recall_at(hist, 2) == pytest.approx([2 / 3])


def test_closed_form_keeps_its_digits_in_a_gallery_of_a_million() -> None:
    before, hits, items, relevant = 400_000, 30_000, 600_000, 17_000
    place = np.arange(1, items + 1)
    expected = (hits + 1 + (place - 1) * (relevant - 1) / (items - 1)) / (before + place)
    sum_before = average_precision(histograms([(before, hits)]))[0] * hits
    total = sum_before + relevant / items * math.fsum(expected)
    hist = histograms([(before, hits), (items, relevant)])
    assert average_precision(hist)[0] == pytest.approx(total / (hits + relevant), rel=1e-11)


def test_hits_kept_of_a_large_bucket_follow_the_hypergeometric_law() -> None:
    items, relevant, kept, before, hits = 5000, 2000, 900, 100, 3
    first = average_precision(histograms([(before, hits)]))[0] * hits
    expected = 0.0
    for j in range(kept + 1):
        place = np.arange(kept)
        precisions = (hits + 1 + place * (j - 1) / (kept - 1)) / (before + place + 1)
        weight = scipy.stats.hypergeom.pmf(j, items, relevant, kept)
        expected += weight * (first + j / kept * precisions.sum()) / (hits + j)
    hist = histograms([(before, hits), (items, relevant)])
    found = average_precision(hist, before + kept, "hits")
    assert found[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cells", [7, 100])
@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_figures_do_not_depend_on_the_size_of_blocks(
    monkeypatch: pytest.MonkeyPatch, denominator: str, cells: int
) -> None:
    hist, _, _ = ranked_by_hamming(seed=8)
    bounds = (average_precision, average_precision_lower, average_precision_upper)
    whole = [bound(hist, 50, denominator) for bound in bounds]
    monkeypatch.setattr(module, "CELLS", cells)
    for bound, expected in zip(bounds, whole, strict=True):
        np.testing.assert_allclose(bound(hist, 50, denominator), expected, rtol=1e-12)
