"""Metrics on arrays, against scikit-learn and against loops over all orders of the ties."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from ivr.hashing import array_metrics as metrics
from ivr.hashing.array_ranking import rank
from ivr.hashing.buckets import MetricsError
from ivr.hashing.codes import CodesError, pack
from ivr.hashing.ranking import RankingError

TIES = ("expectation", "lower", "upper", "gallery-order")


def lists(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and relevance [8, 5]: untied, partly tied and all tied lists."""
    rng = np.random.default_rng(seed)
    distance = np.stack([rng.integers(0, level, 5) for level in np.resize([1, 2, 3, 9], 8)])
    relevant = rng.random((8, 5)) < 0.5
    relevant[0], relevant[1] = False, True
    return distance, relevant


@cache
def ndcg(ranked: tuple[bool, ...], k: int) -> float:
    return float(ndcg_score([ranked], [-np.arange(float(len(ranked)))], k=k))


def average_precision(ranked: Sequence[bool]) -> float:
    places = [place for place, hit in enumerate(ranked, 1) if hit]
    return sum(n / place for n, place in enumerate(places, 1)) / len(places) if places else 0.0


def over_orders(
    distance: np.ndarray, relevant: np.ndarray, ties: str, metric: Callable[..., float]
) -> float:
    """Return the mean over queries of a metric over all orders of the ties, as ``ties`` says."""
    pick = {"expectation": np.mean, "lower": min, "upper": max, "gallery-order": lambda v: v[0]}
    values = []
    for d, r in zip(distance.tolist(), relevant.tolist(), strict=True):
        # In lexicographic order, so the first sorted one keeps the order of the gallery.
        orders = (
            order
            for order in itertools.permutations(range(len(d)))
            if all(d[a] <= d[b] for a, b in itertools.pairwise(order))
        )
        values.append(pick[ties]([metric([r[item] for item in order]) for order in orders]))
    return float(np.mean(values))


@pytest.mark.parametrize("ties", TIES)
def test_mean_average_precision_is_that_of_all_orders_of_the_ties(ties: str) -> None:
    distance, relevant = lists()
    found = metrics.mean_average_precision(distance, relevant, ties=ties)  # type: ignore[arg-type]
    assert found == pytest.approx(over_orders(distance, relevant, ties, average_precision))


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("k", [1, 3, 5, 8])
def test_metrics_at_a_cutoff_are_those_of_all_orders_of_the_ties(ties: str, k: int) -> None:
    distance, relevant = lists()

    def recall(ranked: Sequence[bool]) -> float:
        return sum(ranked[:k]) / sum(ranked) if any(ranked) else 0.0

    for found, metric in (
        (metrics.precision_at, lambda ranked: sum(ranked[:k]) / k),
        (metrics.recall_at, recall),
        (metrics.hit_at, lambda ranked: float(any(ranked[:k]))),
        (metrics.ndcg_at, lambda ranked: ndcg(tuple(ranked), k)),
    ):
        expected = over_orders(distance, relevant, ties, metric)
        value = found(distance, relevant, k, ties=ties)  # type: ignore[arg-type]
        assert value == pytest.approx(expected)


def test_real_distances_without_ties_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    distance, relevant = rng.random((20, 50)), rng.random((20, 50)) < 0.2
    relevant[:, 0] = True
    expected = np.mean(
        [average_precision_score(r, -d) for d, r in zip(distance, relevant, strict=True)]
    )
    assert metrics.mean_average_precision(distance, relevant) == pytest.approx(expected)
    gains = ndcg_score(relevant.astype(float), -distance, k=10)
    assert metrics.ndcg_at(distance, relevant, 10) == pytest.approx(gains)


def test_codes_and_labels_give_what_their_distances_and_relevance_give() -> None:
    rng = np.random.default_rng(2)
    codes = rng.choice([-1, 1], (5, 16)), rng.choice([-1, 1], (40, 16))
    labels = rng.choice(["a", "b"], 5), rng.choice(["a", "b"], 40)
    distance = (16 - codes[0] @ codes[1].T) // 2
    relevant = labels[0][:, None] == labels[1][None, :]
    packed = pack(codes[0]), pack(codes[1])
    for items in (codes, packed, distance):
        for relevance in (labels, relevant):
            found = metrics.mean_average_precision(items, relevance, cutoff=7, denominator="min")
            assert found == metrics.mean_average_precision(
                distance, relevant, cutoff=7, denominator="min"
            )
            curve = metrics.precision_recall_curve(items, relevance)
            for radius, precision, recall in zip(
                curve.radius, curve.precision, curve.recall, strict=True
            ):
                within = distance <= radius
                assert precision == pytest.approx((within & relevant).sum() / within.sum())
                assert recall == pytest.approx((within & relevant).sum() / relevant.sum())


def test_average_precision_at_a_cutoff_by_hand() -> None:
    distance, relevant = np.array([[0, 1, 2, 3]]), np.array([[True, False, True, True]])
    for denominator, divisor in (("relevant", 3), ("min", 2), ("hits", 1)):
        found = metrics.mean_average_precision(
            distance,
            relevant,
            cutoff=2,
            denominator=denominator,  # type: ignore[arg-type]
        )
        assert found == pytest.approx(1 / divisor)


def test_precision_within_a_radius_by_hand() -> None:
    distance = np.array([[0, 2, 2, 3], [3, 4, 9, 9]])
    relevant = np.array([[True, True, False, True], [True, False, False, False]])
    assert metrics.precision_within_radius(distance, relevant) == pytest.approx((2 / 3 + 0) / 2)
    assert metrics.precision_within_radius(distance, relevant, 3) == pytest.approx((3 / 4 + 1) / 2)


def test_a_query_without_a_relevant_item_counts_as_asked() -> None:
    distance, relevant = np.array([[0, 1], [0, 1]]), np.array([[True, False], [False, False]])
    for metric in (
        metrics.mean_average_precision,
        lambda *given, **more: metrics.precision_at(*given, 1, **more),
        metrics.precision_within_radius,
    ):
        expected = metric(distance[:1], relevant[:1])
        assert metric(distance, relevant) == pytest.approx(expected / 2)
        assert metric(distance, relevant, empty="skip") == pytest.approx(expected)
        with pytest.raises(MetricsError, match="1 of 2 queries have no relevant item"):
            metric(distance, relevant, empty="error")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda d, r: metrics.mean_average_precision(d, r, ties="best"), MetricsError,
         "ties must be one of expectation, lower, upper, gallery-order, got 'best'"),
        (lambda d, r: metrics.mean_average_precision(d, r[:, :3]), RankingError, "must both be"),
        (lambda d, r: metrics.precision_at(d, r, 0), MetricsError, "cut-off must be 1 or more"),
        (lambda d, r: metrics.precision_within_radius(d / 2, r), MetricsError,
         "Hamming distances must be integers, 0 or more, got float64"),
        (lambda d, r: metrics.precision_recall_curve(d - 1, r), MetricsError, "int64 from -1"),
        (lambda d, r: metrics.recall_at((d, d), r, 1), CodesError, "bits must be a multiple of 8"),
        (lambda d, r: metrics.recall_at(d, (r, r), 1), MetricsError, "labels must be"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_one_line(
    call: Callable[..., object], error: type[Exception], words: str
) -> None:
    distance, relevant = lists()
    with pytest.raises(error, match=words):
        call(distance, relevant)


@pytest.mark.parametrize("packed", [False, True])
def test_rank_gives_the_head_of_a_stable_sort(packed: bool) -> None:
    rng = np.random.default_rng(3)
    queries, gallery = rng.choice([-1, 1], (4, 8)), rng.choice([-1, 1], (30, 8))
    distance = (8 - queries @ gallery.T) // 2
    order = np.argsort(distance, axis=1, kind="stable")[:, :7]
    given = (pack(queries), pack(gallery)) if packed else (queries, gallery)
    rows, distances = rank(*given, 7)
    assert rows.tolist() == order.tolist()
    assert distances.tolist() == np.take_along_axis(distance, order, axis=1).tolist()
    assert rank(*given, 99).rows.shape == (4, 30)
    with pytest.raises(RankingError, match="k must be 1 or more, got 0"):
        rank(*given, 0)


def test_ndcg_of_a_tie_by_hand() -> None:
    # The relevant item is at place 1 or 2.
    found = metrics.ndcg_at(np.array([[4, 4]]), np.array([[True, False]]), 2)
    assert found == pytest.approx((1 + 1 / math.log2(3)) / 2)
