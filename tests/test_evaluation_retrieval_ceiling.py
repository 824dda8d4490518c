from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ivr.pipeline.evaluation.retrieval_ceiling import class_code_map, probability_map


def average_precision(relevant: tuple[bool, ...]) -> float:
    """By the definition, for one order."""
    hits = [place for place, found in enumerate(relevant, 1) if found]
    return sum(number / place for number, place in enumerate(hits, 1)) / len(hits)


def mean_over_orders(first: list[bool], rest: list[bool]) -> float:
    found = [
        average_precision((*one, *other))
        for one in permutations(first)
        for other in permutations(rest)
    ]
    return float(np.mean(found))


def test_items_coded_by_the_class_they_are_taken_for_find_that_class_in_any_order() -> None:
    # Gallery: of class 0 two are taken for 0 and one for 1; of class 1 one for 0 and two for 1.
    gallery = np.array([[2, 1], [1, 2]])
    right, wrong = np.array([[1, 0], [0, 0]]), np.array([[0, 1], [0, 0]])

    expected_right = mean_over_orders([True, True, False], [True, False, False])
    expected_wrong = mean_over_orders([True, False, False], [True, True, False])

    assert class_code_map(right, gallery) == pytest.approx(expected_right)
    assert class_code_map(wrong, gallery) == pytest.approx(expected_wrong)
    assert class_code_map(3 * right + wrong, gallery) == pytest.approx(
        (3 * expected_right + expected_wrong) / 4
    )


def test_without_errors_the_map_is_one() -> None:
    assert class_code_map(np.diag([3, 5]), np.diag([4, 2])) == 1
    certain = np.eye(2)[[0, 1, 1]]
    labels = np.array([0, 1, 1])
    assert probability_map(certain, labels, certain, labels) == 1


def test_queries_of_a_class_that_the_gallery_lacks_are_left_out() -> None:
    assert class_code_map(np.array([[2, 0], [3, 1]]), np.array([[4, 0], [0, 0]])) == 1
    labels = np.array([0, 1])
    assert probability_map(np.eye(2), labels, np.eye(2)[:1], labels[:1]) == 1


def test_ranking_by_probability_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = rng.dirichlet(np.ones(3), 100), rng.dirichlet(np.ones(3), 40)
    asked, found = rng.integers(0, 3, 100), rng.integers(0, 3, 40)

    expected = [
        average_precision_score(found == label, gallery @ query)
        for label, query in zip(asked, queries, strict=True)
    ]

    assert probability_map(queries, asked, gallery, found) == pytest.approx(np.mean(expected))


def test_equal_probabilities_tie_and_count_as_the_mean_over_their_orders() -> None:
    labels = np.array([0, 1, 1])
    unsure = np.full((3, 2), 0.5)

    expected = np.mean([average_precision(order) for order in permutations((True, False, False))])

    assert probability_map(unsure[:1], labels[:1], unsure, labels) == pytest.approx(expected)
