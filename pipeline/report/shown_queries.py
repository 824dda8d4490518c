"""The queries that a report shows: the best, the worst, and a random sample, by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import numpy as np

Kind = Literal["worst", "drawn", "best"]
KINDS: tuple[Kind, ...] = ("worst", "drawn", "best")


@dataclass(frozen=True)
class ShownQuery:
    """One query that is shown.

    Attributes:
        row: its row among the queries of its direction.
        kind: why it is shown: among the worst or best of its class, or drawn at random.
    """

    row: int
    kind: Kind


def choose_queries(
    labels: Sequence[str],
    average_precision: np.ndarray,
    each: int,
    most: int,
    rng: np.random.Generator,
) -> list[ShownQuery]:
    """Return the queries to show, by class in alphabetical order, the worst of a class first.

    A query is shown once. If there are more than ``most``, every class gives its worst query, then
    every class a drawn one, then its best, then the second worst, until there are enough.

    Args:
        labels: class of each query [q].
        average_precision: [q], NaN for a query that was left out, which is not shown.
        each: number of best, of worst and of drawn queries per class.
        most: largest number of queries.
        rng: source of the draw.
    """
    turns: list[list[ShownQuery]] = []
    for label in sorted(set(labels)):
        rows = [
            row
            for row, own in enumerate(labels)
            if own == label and not np.isnan(average_precision[row])
        ]
        turns.append(_of_class(rows, average_precision, each, rng))
    rounds = (found for turn in zip_longest(*turns) for found in turn if found is not None)
    kept = [found for _, found in zip(range(most), rounds, strict=False)]
    return sorted(kept, key=lambda one: (labels[one.row], KINDS.index(one.kind), one.row))


def _of_class(
    rows: Sequence[int], average_precision: np.ndarray, each: int, rng: np.random.Generator
) -> list[ShownQuery]:
    """Return the queries of one class in the order in which they are given up last."""
    ordered = sorted(rows, key=lambda row: (average_precision[row], row))
    worst = ordered[: min(each, -(-len(ordered) // 2))]
    best = ordered[max(len(worst), len(ordered) - each) :][::-1]
    middle = [row for row in ordered if row not in {*worst, *best}]
    drawn = [int(row) for row in rng.permutation(sorted(middle))[:each]]
    kinds: tuple[tuple[Kind, Sequence[int]], ...] = (
        ("worst", worst),
        ("drawn", drawn),
        ("best", best),
    )
    parts = [[ShownQuery(row, kind) for row in found] for kind, found in kinds]
    return [one for turn in zip_longest(*parts) for one in turn if one is not None]
