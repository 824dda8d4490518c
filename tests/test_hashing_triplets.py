import math

import pytest
import torch

from ivr.hashing.triplets import (
    drawn,
    hard_negatives,
    semi_hard_negative,
    triplet_likelihood,
    triplet_margin,
)

DISTANCE = torch.tensor([[1.0, 3.0, 2.0, 0.5], [4.0, 1.0, 2.0, 3.0]])
NEGATIVE = torch.tensor([[False, True, True, True], [True, False, True, True]])


def test_a_semi_hard_negative_is_the_nearest_beyond_the_positive() -> None:
    # Row 0: 0.5 lies before the positive at 1, 2 and 3 beyond it. Row 1: all do.
    assert semi_hard_negative(torch.tensor([1.0, 1.0]), DISTANCE, NEGATIVE).tolist() == [2, 2]
    # One at the distance of the positive is not beyond it.
    assert semi_hard_negative(torch.tensor([2.0, 1.0]), DISTANCE, NEGATIVE).tolist() == [1, 2]


def test_where_no_negative_is_beyond_the_positive_the_farthest_is_taken() -> None:
    assert semi_hard_negative(torch.tensor([9.0, 3.5]), DISTANCE, NEGATIVE).tolist() == [1, 0]


def test_hard_negatives_are_those_within_the_margin_or_the_nearest() -> None:
    found = hard_negatives(torch.tensor([1.0, 1.0]), DISTANCE, NEGATIVE, 1.5)
    assert found.tolist() == [[False, False, True, True], [False, False, True, False]]
    # Within 0.1 there is one in row 0 and none in row 1, whose nearest is taken.
    found = hard_negatives(torch.tensor([1.0, 1.0]), DISTANCE, NEGATIVE, 0.1)
    assert found.tolist() == [[False, False, False, True], [False, False, True, False]]


def test_every_candidate_is_drawn_and_nothing_else() -> None:
    torch.manual_seed(0)
    rows = torch.stack([drawn(NEGATIVE) for _ in range(100)])
    assert set(rows[:, 0].tolist()) == {1, 2, 3}
    assert set(rows[:, 1].tolist()) == {0, 2, 3}
    assert drawn(NEGATIVE[:0]).tolist() == []


def test_triplet_costs_are_those_worked_by_hand() -> None:
    anchor, near = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    far = torch.tensor([[-1.0, 1.0]])
    # Inner products 1 and 0, squared distances 1 and 4.
    assert triplet_likelihood(anchor, near, far, 0.25).item() == pytest.approx(
        math.log(1 + math.exp(-0.25))
    )
    assert triplet_margin(anchor, near, far, 5.0).item() == 2.0
    assert triplet_margin(anchor, near, far, 2.0).item() == 0.0


def test_no_triplets_cost_nothing() -> None:
    nothing = torch.empty(0, 4, requires_grad=True)
    for cost in (triplet_likelihood, triplet_margin):
        loss = cost(nothing, nothing, nothing, 1.0)
        loss.backward()
        assert loss.item() == 0
