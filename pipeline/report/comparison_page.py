"""The page of a comparison: methods side by side, and queries that two of them answer otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivr.pipeline.comparison.columns import ARROWS
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runtime.words import counted

from .caveats import data_caveats
from .compared import Compared, first_run
from .compared_runs import run_columns, shared_facts
from .compared_summary import few_trainings, summary, training_warnings
from .compared_table import table_parts, unbroken
from .evaluated_run import EvaluatedRun
from .query_cards import (
    DIRECTION_WORDS,
    KIND_WORDS,
    QueryCard,
    anchor,
    cards_of,
    classes_of,
    have_long_labels,
)
from .query_outcomes import class_differences, outcomes
from .report_config import ReportConfig
from .run_facts import date_of, digests
from .shown_queries import ShownQuery

PAIRS = 10
"""Queries per direction that two methods answer most differently."""
COUNTED = (
    "Beside each method stands how many of the hits shown are right; where items at equal distance "
    "could change this number, it is the mean over their orders."
)
SECTIONS = (
    ("summary", "In short"),
    ("methods", "Methods"),
    ("limits", "What these numbers do not show"),
    ("pictures", "Curves"),
    ("pairs", "The same queries, two methods"),
    ("notes", "Notes"),
    ("run", "What was run"),
)


@dataclass(frozen=True)
class Pair:
    """One query as two methods answer it.

    Attributes:
        anchor: its permanent link.
        direction: voice_to_image or image_to_voice.
        sides: name of each method with its answer.
        difference: average precision of the first less that of the second, points.
    """

    anchor: str
    direction: str
    sides: tuple[tuple[str, QueryCard], tuple[str, QueryCard]]
    difference: float

    @property
    def card(self) -> QueryCard:
        """The query."""
        return self.sides[0][1]


def comparison_pairs(found: Compared, config: ReportConfig) -> list[Pair]:
    """Return the queries that the two methods answer most differently, both ways.

    The greatest difference of average precision stands first, whatever its direction and sign.
    """
    if not found.sides:
        return []
    (first, one), (second, other) = found.sides
    pairs = []
    for direction in reversed(DIRECTIONS):
        rows = _most_different(one, other, direction, PAIRS)
        parts = [
            cards_of(run, direction, [ShownQuery(row[place], "drawn") for row in rows], config.hits)
            for place, run in enumerate((one, other))
        ]
        for left, right in zip(*parts, strict=True):
            difference = left.average_precision - right.average_precision
            link = anchor(direction, left.medium.name)
            pairs.append(Pair(link, direction, ((first, left), (second, right)), difference))
    return sorted(pairs, key=lambda pair: -abs(pair.difference))


def comparison_page(found: Compared, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return what the template of a comparison reads, but for its media."""
    name, run = found.sides[0] if found.sides else (next(iter(found.names)), first_run(found))
    seeds = sorted({int(seed) for line in found.names.values() for seed in line["evaluations"]})
    warnings, columns = training_warnings(found), run_columns(found)
    notes = [*found.table["notes"], *dict.fromkeys(x["note"] for x in found.lines if x["note"])]
    return {
        "title": unbroken(found.table["title"]),
        "kind": "Report of a comparison",
        "lead": f"{counted(len(found.names), 'row')}, {counted(len(seeds), 'seed')}; "
        f"{run.results['protocol_in_words']}. Evaluated {date_of(run.folder)}.",
        "sections": SECTIONS,
        "summary": summary(found, run),
        "warnings": warnings,
        "parts": table_parts(found, run),
        "caveats": [*few_trainings(found, run), *data_caveats(run)],
        "notes": [note for note in notes if note not in warnings],
        "pairs": pairs,
        "pair_words": _pair_words(found, pairs),
        "outcomes": outcomes(found),
        "class_differences": class_differences(found),
        "side_names": [side for side, _ in found.sides],
        "seed_words": f"the runs with seed {run.config['seed']}",
        "arrows": ARROWS,
        "ways": tuple(reversed(DIRECTIONS)),
        "classes": classes_of(pair.card for pair in pairs),
        "long_labels": have_long_labels(card for pair in pairs for _, card in pair.sides),
        "direction_words": DIRECTION_WORDS,
        "kind_words": KIND_WORDS,
        "run_columns": columns,
        "run_facts": list(dict.fromkeys(name for one in columns for name in one.facts)),
        "facts": shared_facts(run),
        "digests": digests(run),
        "facts_of": f"{name}, seed {run.config['seed']}",
    }


def _most_different(
    one: EvaluatedRun, other: EvaluatedRun, direction: str, most: int
) -> list[tuple[int, int]]:
    """Return the rows in both runs of queries whose AP differs most, both ways in turn."""
    ours, theirs = one.queries[direction], other.queries[direction]
    place = {name: row for row, name in enumerate(theirs.names)}
    both = [(row, place[name]) for row, name in enumerate(ours.names) if name in place]
    gaps = [ours.average_precision[a] - theirs.average_precision[b] for a, b in both]
    order = [n for n in np.argsort(gaps, kind="stable").tolist() if not np.isnan(gaps[n])]
    worse = [n for n in order if gaps[n] < 0][: most // 2]
    better = [n for n in reversed(order) if gaps[n] > 0][: most // 2]
    return [both[n] for n in (*better, *worse)]


def _pair_words(found: Compared, pairs: Sequence[Pair]) -> str:
    if not found.sides:
        return "There is one row only, so no two answers can be compared."
    (first, one), (second, _) = found.sides
    if not pairs:
        return f"{first} and {second} answer every query equally well."
    return (
        f"{counted(len(pairs), 'query')} on which the average precision of {first} and of {second} "
        f"differs most, at most {PAIRS} per direction and as many ahead as behind where there are, "
        f"the greatest difference first; the runs with seed {one.config['seed']}. {COUNTED}"
    )
