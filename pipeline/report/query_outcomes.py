"""How two methods answer all queries: which is ahead how often, and by how much in each class."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ivr.pipeline.evaluation.per_query import DIRECTIONS

from .compared import Compared
from .query_cards import DIRECTION_WORDS
from .run_numbers import class_rows

EQUAL = 1e-9
"""Difference of two average precisions that is rounding."""


@dataclass(frozen=True)
class Outcome:
    """Queries of one direction by which of two methods answers them better.

    Attributes:
        direction: in words.
        ahead: queries with a higher average precision of the first method.
        equal: queries with the same one.
        behind: queries with a higher one of the second method.
    """

    direction: str
    ahead: int
    equal: int
    behind: int


@dataclass(frozen=True)
class ClassDifference:
    """Mean average precision of one class by direction: first method, second, difference."""

    label: str
    values: Mapping[str, tuple[float | None, float | None, float | None]]


def outcomes(found: Compared) -> list[Outcome]:
    """Return which of the two methods answers how many queries better, of those that both have."""
    if not found.sides:
        return []
    (_, one), (_, other) = found.sides
    told = []
    for way in reversed(DIRECTIONS):
        ours, theirs = one.queries[way], other.queries[way]
        second = dict(zip(theirs.names, theirs.average_precision, strict=True))
        gaps = np.array(
            [
                value - second[name]
                for name, value in zip(ours.names, ours.average_precision, strict=True)
                if name in second
            ]
        )
        counts = (gaps > EQUAL, np.abs(gaps) <= EQUAL, gaps < -EQUAL)
        told.append(Outcome(DIRECTION_WORDS[way], *(int(some.sum()) for some in counts)))
    return told


def class_differences(found: Compared) -> list[ClassDifference]:
    """Return the classes with mean average precision of both methods, percent."""
    if not found.sides:
        return []
    first, second = ({row.label: row for row in class_rows(run)} for _, run in found.sides)
    told = []
    for label in sorted({*first} & {*second}):
        values = {}
        for way in DIRECTIONS:
            ours, theirs = first[label].values[way], second[label].values[way]
            gap = None if ours is None or theirs is None else ours - theirs
            values[way] = (ours, theirs, gap)
        told.append(ClassDifference(label, values))
    return told
