"""Metrics on fixed codes against the rules of other authors' code, written anew as loops.

* DeepHash: ``DeepHash/evaluation/__init__.py`` of github.com/thulab/DeepHash.
* FIRe: ``functions/metrics.py`` of github.com/CISiPLab/cisip-FIRe.
* DCMH: ``calcPreRecRadiusLabel.m`` and ``calcMapTopkMapTopkPreTopkRecLabel.m`` of
  github.com/jiangqy/DCMH-CVPR2017.

FIRe and DeepHash leave the order of tied items to the sort of a library. Their loops here sort
stably, as DCMH's code does, which is ``gallery-order``.
"""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_world import distances, random_codes, same_class
from tied_lists import mean_over, orders, small_lists

from ivr.hashing import array_metrics as metrics
from ivr.hashing.buckets import MetricsError
from ivr.hashing.found_lists import found_average_precision, mean_of_found
from ivr.hashing.histograms import file_order_histograms, score_histograms
from ivr.hashing.metrics import scores
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.protocol import PROTOCOLS

BITS = 16


def searched(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and relevance [12, 90]; the last query has no relevant item.

    The first query lies far from every item, so that its small balls are empty.
    """
    rng = np.random.default_rng(seed)
    centres = rng.choice([-1, 1], (4, BITS))
    labels, query_labels = rng.integers(0, 4, 90), rng.integers(0, 4, 12)
    codes = centres[labels] * np.where(rng.random((90, BITS)) < 0.15, -1, 1)
    queries = centres[query_labels] * np.where(rng.random((12, BITS)) < 0.15, -1, 1)
    queries[0] = -queries[0]
    query_labels[-1] = 9
    return (BITS - queries @ codes.T) // 2, query_labels[:, None] == labels


def ranked(distance: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    order = np.argsort(distance, axis=1, kind="stable")
    return np.take_along_axis(relevant, order, axis=1)


def precision_of_hits(hits: np.ndarray) -> float:
    """Return the mean precision at the hits of one list; there must be one."""
    places = np.flatnonzero(hits) + 1
    return float(np.mean(np.arange(1, len(places) + 1) / places))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_precision_and_recall_within_a_radius_are_those_of_deephash(seed: int) -> None:
    # DeepHash divides by 0 for a query without a relevant item; it is left out on both sides.
    distance, relevant = (array[:-1] for array in searched(seed))
    empty_balls = 0
    for radius in range(BITS + 1):
        precisions, recalls = [], []
        for d, r in zip(distance, relevant, strict=True):
            inside = [hit for away, hit in zip(d, r, strict=True) if away <= radius]
            empty_balls += not inside
            precisions.append(sum(inside) / len(inside) if inside else 0.0)
            recalls.append(sum(inside) / sum(r) if inside else 0.0)
        precision = metrics.precision_within_radius(distance, relevant, radius)
        recall = metrics.recall_within_radius(distance, relevant, radius)
        assert precision == pytest.approx(np.mean(precisions))
        assert recall == pytest.approx(np.mean(recalls))
        curve = metrics.precision_recall_curve(distance, relevant, average="queries")
        at = min(radius, curve.radius[-1])  # past the farthest item nothing changes
        assert curve.radius[at] == at
        assert curve.precision[at] == pytest.approx(np.mean(precisions))
        assert curve.recall[at] == pytest.approx(np.mean(recalls))
    assert empty_balls > 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_pooled_curve_is_that_of_dcmh(seed: int) -> None:
    distance, relevant = searched(seed)
    curve = metrics.precision_recall_curve(distance, relevant)
    assert curve.radius[-1] == distance.max()
    for radius, precision, recall in zip(curve.radius, curve.precision, curve.recall, strict=True):
        good = inside = 0
        for away, hit in zip(distance.ravel(), relevant.ravel(), strict=True):
            inside += away <= radius
            good += hit and away <= radius
        assert precision == pytest.approx(good / inside)
        assert recall == pytest.approx(good / relevant.sum())


def test_the_mean_over_queries_is_not_the_pooled_curve() -> None:
    # One query finds one right item; the other finds three wrong ones and misses its own.
    distance = np.array([[0, 2, 2, 2], [0, 0, 0, 1]])
    relevant = np.array([[True, False, False, False], [False, False, False, True]])
    pooled = metrics.precision_recall_curve(distance, relevant)
    queries = metrics.precision_recall_curve(distance, relevant, average="queries")
    assert pooled.precision.tolist() == pytest.approx([1 / 4, 2 / 5, 2 / 8])
    assert queries.precision.tolist() == pytest.approx([1 / 2, (1 + 1 / 4) / 2, 1 / 4])
    assert queries.recall.tolist() == pooled.recall.tolist() == [1 / 2, 1, 1]


def test_a_query_without_a_relevant_item_counts_in_the_mean_curve_as_asked() -> None:
    distance, relevant = np.array([[0, 1], [0, 1]]), np.array([[True, False], [False, False]])
    zero = metrics.precision_recall_curve(distance, relevant, average="queries")
    skip = metrics.precision_recall_curve(distance, relevant, average="queries", empty="skip")
    assert zero.precision.tolist() == [1 / 2, 1 / 4]
    assert skip.precision.tolist() == [1, 1 / 2]
    with pytest.raises(MetricsError, match="1 of 2 queries have no relevant item"):
        metrics.precision_recall_curve(distance, relevant, average="queries", empty="error")
    with pytest.raises(MetricsError, match="average must be one of pooled, queries, got 'macro'"):
        metrics.precision_recall_curve(distance, relevant, average="macro")  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [1, 5, 20, 90])
def test_average_precision_at_a_cutoff_is_that_of_fire_dcmh_and_deephash(k: int) -> None:
    distance, relevant = searched(3)
    lists = ranked(distance, relevant)[:, :k]
    counted = [precision_of_hits(hits) for hits in lists if hits.any()]
    assert len(counted) < len(lists)
    found = metrics.mean_average_precision(
        distance, relevant, cutoff=k, denominator="hits", ties="gallery-order"
    )
    # FIRe and DCMH: a list without a hit counts as 0.
    assert found == pytest.approx(sum(counted) / len(lists))
    # DeepHash leaves it out of the mean: the value divided by the share of lists with a hit.
    hit = metrics.hit_at(distance, relevant, k, ties="gallery-order")
    assert found / hit == pytest.approx(np.mean(counted))
    hist = file_order_histograms(distance, relevant)
    assert mean_of_found(found_average_precision(hist, k, "hits")) == pytest.approx(
        np.mean(counted)
    )
    # Whatever counts as what without a relevant item: it finds nothing.
    for empty in ("zero", "skip"):
        table = scores(hist, at=k, denominator="hits", empty=empty).in_units()
        assert table["mAP_found"] == pytest.approx(100 * np.mean(counted))
        assert table["mAP"] < table["mAP_found"] or (empty, k) == ("skip", 90)


@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_with_ties_the_mean_of_found_lists_is_over_all_orders_that_find_something(k: int) -> None:
    distance, relevant = small_lists()
    total = share = 0.0
    for d, r in zip(distance.tolist(), relevant.tolist(), strict=True):
        every = orders(d, r)
        total += mean_over(
            every, lambda row: precision_of_hits(np.array(row[:k])) if any(row[:k]) else 0
        )
        share += mean_over(every, lambda row: any(row[:k]))
    found = found_average_precision(score_histograms(distance, relevant), k, "hits")
    assert float(mean_of_found(found)) == pytest.approx(total / share)
    assert found[:, 1].sum() == pytest.approx(share) and 0 < share < len(distance)


def test_nothing_found_is_zero() -> None:
    hist = score_histograms(np.array([[0, 1]]), np.array([[False, True]]))
    assert scores(hist, at=1, denominator="hits").in_units()["mAP_found"] == 0


@pytest.mark.parametrize("preset", ["dcmh", "fire", "deephash"])
def test_the_protocols_of_other_code_search_its_lists_by_its_rules(preset: str) -> None:
    codes = random_codes(5, images=40, test=15)
    protocol = replace(PROTOCOLS[preset], seed=0, ties="file-order")
    protocol = protocol if preset == "dcmh" else replace(protocol, cutoff=3)
    found = evaluate_codes(codes, protocol).results["image_to_voice"]
    queries = codes.images.select(range(25, 40))
    gallery = codes.voices.select(range(25))
    lists = ranked(distances(queries, gallery), same_class(queries, gallery))
    lists = lists[:, : protocol.cutoff]
    values = [precision_of_hits(hits) for hits in lists if hits.any()]
    assert (len(values) < len(lists)) == (preset != "dcmh")
    if preset == "deephash":
        assert found["mAP_found"] == pytest.approx(100 * np.mean(values))
    else:
        assert found["mAP"] == pytest.approx(100 * sum(values) / len(lists))


def test_average_precision_of_the_full_list_is_that_of_dcmh() -> None:
    distance, relevant = searched(4)
    lists = ranked(distance, relevant)
    expected = sum(precision_of_hits(hits) for hits in lists if hits.any()) / len(lists)
    found = metrics.mean_average_precision(distance, relevant, ties="gallery-order")
    assert found == pytest.approx(expected)
