"""Metrics on fixed arrays beside those of torchmetrics 1.9.0, where the conventions coincide.

torchmetrics is not needed: its values were computed once, by the functions
``torchmetrics.functional.retrieval.retrieval_*`` of scores 1 / (1 + distance) in float64, and their
mean over the queries was rounded to six digits. The scores are above 0 because these functions take
a document with a score of 0 or less as not relevant: by negated distances every value would be 0.

* Average precision at k is divided by the relevant items among the first k (``hits``).
* Precision, recall and hit rate at k are P@K, R@K and H@K; NDCG is the mean over the orders of the
  ties, as here. All others keep the order that ``torch.topk`` leaves ties in.
* A query without a relevant item counts as 0.
"""

import numpy as np
import pytest

from ivr.hashing import array_metrics as metrics

ITEMS, QUERIES = np.arange(1, 31), np.arange(8)[:, None]
# Each row is an order of its own, since 31 is a prime.
DISTANCE = ITEMS * (QUERIES + 2) % 31
TIED = DISTANCE // 4
RELEVANT = (ITEMS**2 * (QUERIES + 1) + QUERIES) % 11 < 2
ROUNDING = 1e-6
VALUES = {
    # k: average precision, precision, recall, hit rate, NDCG, and NDCG of tied distances
    3: (0.229167, 0.166667, 0.065679, 0.5, 0.140361, 0.166667),
    5: (0.295833, 0.2, 0.138501, 0.75, 0.172619, 0.198438),
    10: (0.313467, 0.2, 0.275622, 0.75, 0.22731, 0.256642),
    30: (0.245297, 0.179167, 0.75, 0.75, 0.440911, 0.454425),
}
RECIPROCAL_RANKS = [0.5, 0.5, 0.5, 0.25, 0.0, 0.333333, 0.2, 0.0]
AVERAGE_PRECISION_OF_TIES = 0.408333
"""Of the first five of the tied lists."""


def test_the_arrays_are_those_that_the_values_were_computed_for() -> None:
    assert all(len({*row}) == 30 for row in DISTANCE.tolist())
    assert RELEVANT.sum(axis=1).tolist() == [7, 8, 6, 6, 0, 11, 5, 0]


@pytest.mark.parametrize("k", VALUES)
def test_values_at_a_cutoff_are_those_of_torchmetrics(k: int) -> None:
    arrays = DISTANCE, RELEVANT
    found = (
        metrics.mean_average_precision(*arrays, cutoff=k, denominator="hits"),
        metrics.precision_at(*arrays, k),
        metrics.recall_at(*arrays, k),
        metrics.hit_at(*arrays, k),
        metrics.ndcg_at(*arrays, k),
        metrics.ndcg_at(TIED, RELEVANT, k),
    )
    assert found == pytest.approx(VALUES[k], abs=ROUNDING)


def test_ranks_are_the_reciprocals_of_reciprocal_ranks() -> None:
    ranks = [1 / value for value in RECIPROCAL_RANKS if value]
    found = metrics.mean_rank(DISTANCE, RELEVANT, empty="skip")
    assert found == pytest.approx(np.mean(ranks), abs=10 * ROUNDING)
    found = metrics.median_rank(DISTANCE, RELEVANT, empty="skip")
    assert found == pytest.approx(np.median(ranks), abs=10 * ROUNDING)


def test_the_order_in_which_ties_are_left_is_one_of_all() -> None:
    lower, value, upper = (
        metrics.mean_average_precision(TIED, RELEVANT, ties=ties, cutoff=5, denominator="hits")
        for ties in ("lower", "expectation", "upper")
    )
    assert lower < AVERAGE_PRECISION_OF_TIES < upper
    assert abs(value - AVERAGE_PRECISION_OF_TIES) > 0.05
