import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score

from ivr.hashing import metrics
from ivr.hashing.metrics import (
    MetricsError,
    average_precision,
    average_precision_lower,
    average_precision_upper,
    class_average_precision,
    f_at,
    hit_at,
    hits_at,
    join_scores,
    precision_at,
    precision_over_retrieved,
    precision_recall_curve,
    recall_at,
    scores,
)
from ivr.hashing.ranking import (
    Histograms,
    chance_histograms,
    class_histograms_numpy,
    file_order_histograms,
    score_histograms,
)

DENOMINATORS = ("relevant", "min", "hits")

# One list of seven items: two at distance 0, four at 1 (two relevant), one at 2.
TIED = Histograms(np.array([[2, 4, 1]]), np.array([[1, 2, 0]]))


def histograms(*buckets: list[tuple[int, int]]) -> Histograms:
    """Return the histograms of lists of (items, relevant items)."""
    table = np.array(buckets, dtype=np.int64)
    return Histograms(table[:, :, 0], table[:, :, 1])


def orders(distance: list[int], relevant: list[bool]) -> Counter[tuple[bool, ...]]:
    """Return the relevance along the list in each order of its ties, and how often it occurs."""
    return Counter(
        tuple(relevant[item] for item in order)
        for order in itertools.permutations(range(len(distance)))
        if all(distance[a] <= distance[b] for a, b in itertools.pairwise(order))
    )


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


def mean_over(orders: Counter[tuple[bool, ...]], figure: Callable[..., float]) -> float:
    return sum(figure(ranked) * times for ranked, times in orders.items()) / orders.total()


def small_lists() -> tuple[np.ndarray, np.ndarray]:
    """Return distances and relevance of 60 lists of six items, from untied to all tied."""
    rng = np.random.default_rng(1)
    levels = np.resize([1, 2, 3, 6], 60)
    distance = np.stack([rng.integers(0, level, 6) for level in levels])
    return distance, rng.random((60, 6)) < rng.random((60, 1))


@pytest.fixture(scope="module")
def lists() -> tuple[Histograms, list[Counter[tuple[bool, ...]]]]:
    """Histograms of small lists, and all orders of the ties of each."""
    distance, relevant = small_lists()
    rows = zip(distance.tolist(), relevant.tolist(), strict=True)
    return score_histograms(distance, relevant), [orders(*row) for row in rows]


def ranked_by_hamming(seed: int) -> tuple[Histograms, np.ndarray, np.ndarray]:
    """Return histograms, distances and relevance of 20 queries among 300 items of 8 bits."""
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(0, 256, (n, 1), dtype=np.uint8) for n in (20, 300))
    labels, query_labels = rng.integers(0, 3, 300), rng.integers(0, 3, 20)
    hist = class_histograms_numpy(queries, query_labels, gallery, labels)
    distance = np.bitwise_count(queries ^ gallery.T)
    return hist, distance, query_labels[:, None] == labels


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
    monkeypatch.setattr(metrics, "CELLS", cells)
    for bound, expected in zip(bounds, whole, strict=True):
        np.testing.assert_allclose(bound(hist, 50, denominator), expected, rtol=1e-12)


def test_precision_recall_and_f_by_hand() -> None:
    # One of two at the first distance, then two of the four places 3 to 6: at 4, two of four kept.
    assert hits_at(TIED, 4) == pytest.approx([1 + 2 * 2 / 4])
    assert precision_at(TIED, 4) == pytest.approx([2 / 4])
    assert recall_at(TIED, 4) == pytest.approx([2 / 3])
    assert f_at(TIED, 4) == pytest.approx([2 * 2 / (4 + 3)])


def test_precision_beyond_the_gallery_is_still_divided_by_k() -> None:
    assert precision_at(TIED, 10) == pytest.approx([3 / 10])
    assert recall_at(TIED, 10) == pytest.approx([1.0])


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


def test_a_query_with_nothing_relevant_counts_as_zero_or_is_skipped_or_refused() -> None:
    hist = histograms([(1, 1), (1, 0)], [(1, 0), (1, 0)])
    zero = scores(hist, cutoffs=(1,)).to_percent()
    assert zero == pytest.approx(
        dict.fromkeys(("mAP", "mAP_lower", "mAP_upper", "P@1", "R@1", "F@1", "H@1"), 50)
    )
    skip = scores(hist, cutoffs=(1,), empty="skip")
    assert set(skip.to_percent().values()) == {100.0}
    assert np.isnan(skip.average_precision).tolist() == [False, True]
    assert (skip.empty, skip.empty_queries) == ("skip", 1)
    with pytest.raises(MetricsError, match="1 of 2 queries have nothing relevant"):
        scores(hist, empty="error")


def test_refusing_empty_queries_changes_nothing_where_there_are_none() -> None:
    hist, _, _ = ranked_by_hamming(seed=9)
    assert scores(hist, empty="error").to_percent() == scores(hist, empty="zero").to_percent()


def test_a_mean_over_no_query_is_refused() -> None:
    with pytest.raises(MetricsError, match="no query is left"):
        _ = scores(histograms([(2, 0)]), empty="skip").mAP


def test_percent_has_every_figure_in_order() -> None:
    percent = scores(TIED).to_percent()
    assert list(percent) == [
        *("mAP", "mAP_lower", "mAP_upper"),
        *(f"{letter}@{k}" for letter in "PRFH" for k in (1, 5, 10)),
    ]
    assert percent["P@1"] == pytest.approx(50)
    assert percent["P@10"] == pytest.approx(30)
    assert percent["R@5"] == pytest.approx(100 * 2.5 / 3)
    assert percent["F@10"] == pytest.approx(100 * 2 * 3 / 13)
    assert all(type(value) is float for value in percent.values())


def test_scores_use_the_cut_off_and_the_denominator_they_are_given() -> None:
    found = scores(TIED, at=2, denominator="min", cutoffs=())
    assert (found.at, found.denominator) == (2, "min")
    # Two places, one hit among them at either: (1 + 1/2) / 2, divided by min(2, 3).
    assert found.mAP == pytest.approx((1 + 1 / 2) / 2 / 2)
    assert found.mAP_lower == pytest.approx(1 / 4)
    assert found.mAP_upper == pytest.approx(1 / 2)
    assert list(found.to_percent()) == ["mAP", "mAP_lower", "mAP_upper"]


def test_queries_scored_in_blocks_join_to_the_same_figures() -> None:
    hist, _, _ = ranked_by_hamming(seed=10)
    parts = [
        scores(Histograms(hist.items[rows], hist.relevant[rows]), at=40, denominator="hits")
        for rows in (slice(0, 7), slice(7, 20))
    ]
    whole = scores(hist, at=40, denominator="hits")
    assert join_scores(parts).to_percent() == pytest.approx(whole.to_percent())
    np.testing.assert_allclose(join_scores(parts).average_precision, whole.average_precision)


def test_scores_by_different_rules_do_not_join() -> None:
    with pytest.raises(MetricsError, match="made by one rule, got 2"):
        join_scores([scores(TIED), scores(TIED, at=5)])


def test_class_average_precision_by_hand() -> None:
    found = class_average_precision(
        np.array([0.5, 1.0, np.nan, 0.25, np.nan]), np.array([4, 1, 1, 4, 2])
    )
    assert found == {1: 1.0, 4: 0.375}
    assert list(found) == [1, 4]


def test_class_average_precision_needs_a_label_a_query() -> None:
    with pytest.raises(MetricsError, match="2 queries, but labels of shape"):
        class_average_precision(np.array([0.5, 1.0]), np.array([4]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_precision(TIED, denominator="all"), "denominator must be one of relevant"),
        (lambda: average_precision(TIED, at=0), "a cut-off must be 1 or more, got 0"),
        (lambda: precision_at(TIED, 0), "a cut-off must be 1 or more, got 0"),
        (lambda: scores(TIED, empty="drop"), "empty must be one of zero, skip, error, got 'drop'"),
    ],
)
def test_unknown_choices_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        call()
