"""The metrics of a run as the tables of a page: measured, chance and the best that is possible."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivr.pipeline.datasets.published_results import published_results
from ivr.pipeline.evaluation.hits import empty_lookups, relevant_items
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.evaluation.protocol import Protocol
from ivr.pipeline.evaluation.report_tables import metric_blocks
from ivr.pipeline.runtime.words import counted

from .caveats import interval_of_map
from .evaluated_run import EvaluatedRun
from .query_cards import DIRECTION_WORDS

LIMITED: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "P@10": ("fewer", lambda relevant: (relevant > 0) & (relevant < 10)),
    "R@10": ("more", lambda relevant: relevant > 10),
}
"""Metrics that a gallery can limit, and which numbers of relevant items limit them."""
FULL = 99.995
"""A best possible value from here on is 100."""


@dataclass(frozen=True)
class Headline:
    """mAP of one direction.

    Attributes:
        direction: in words.
        value: percent.
        chance: percent, of a random order.
        times: how often better than chance, in words.
        interval: 95 % interval over queries, percent; None if it is not known.
        bounds: least and greatest value over the orders of the ties, percent.
        queries: number of queries.
        gallery: number of items that are searched.
    """

    direction: str
    value: float
    chance: float
    times: str
    interval: tuple[float, float] | None
    bounds: tuple[float, float]
    queries: int
    gallery: int


@dataclass(frozen=True)
class NumberRow:
    """One row of a table of metrics: what it is, its kind, and a value per metric."""

    head: str
    kind: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class NumberTable:
    """A table of metrics in percent, or of ranks."""

    title: str
    names: tuple[str, ...]
    rows: tuple[NumberRow, ...]


@dataclass(frozen=True)
class ClassRow:
    """AP of one class by direction: number of queries, mean and that of chance, percent."""

    label: str
    queries: Mapping[str, int]
    values: Mapping[str, float | None]
    chance: Mapping[str, float | None]


@dataclass(frozen=True)
class PublishedRow:
    """A published result beside that of the run; percent."""

    method: str
    values: tuple[float | None, ...]
    source: str


def headlines(found: EvaluatedRun) -> list[Headline]:
    """Return mAP of both directions, voices that ask first."""
    told = []
    for direction in reversed(DIRECTIONS):
        results = found.results[direction]
        chance = found.results["chance"][direction]["mAP"]
        value = results["mAP"]
        told.append(
            Headline(
                DIRECTION_WORDS[direction],
                value,
                chance,
                f"{value / chance:.1f} times chance" if chance else "chance is 0",
                interval_of_map(found, direction),
                (results["mAP_lower"], results["mAP_upper"]),
                results["queries"],
                results["gallery"],
            )
        )
    return told


def number_tables(found: EvaluatedRun) -> list[NumberTable]:
    """Return the metrics of both directions with chance and the best possible values."""
    best = found.results["ceiling"]
    tables = []
    for title, names in metric_blocks(found.results["protocol"]):
        there = tuple(
            name for name in names if all(name in found.results[way] for way in DIRECTIONS)
        )
        if not there:
            continue
        rows = []
        for direction in reversed(DIRECTIONS):
            for head, kind, values in (
                (DIRECTION_WORDS[direction], "measured", found.results[direction]),
                ("chance", "chance", found.results["chance"][direction]),
                ("best possible", "best", best[direction]),
            ):
                rows.append(NumberRow(head, kind, tuple(values.get(name) for name in there)))
        tables.append(NumberTable(title, there, tuple(rows)))
    return tables


def limited_metrics(found: EvaluatedRun, names: tuple[str, ...] = tuple(LIMITED)) -> list[str]:
    """Return a sentence for each of ``names`` that cannot reach 100 % on this gallery."""
    best = {way: found.results["ceiling"][way] for way in reversed(DIRECTIONS)}
    told = []
    for name in names:
        limited = {way: most for way in best if (most := best[way].get(name, 100.0)) < FULL}
        measured = [
            f"{found.results[way][name]:.1f} % ({DIRECTION_WORDS[way]})"
            for way in limited
            if name in found.results[way]
        ]
        if measured:
            most = " and ".join(dict.fromkeys(f"{value:.1f} %" for value in limited.values()))
            told.append(
                f"{name} cannot exceed {most}: {_reason(found, name, list(limited))}. Measured: "
                f"{', '.join(measured)}."
            )
    return told


def _reason(found: EvaluatedRun, name: str, ways: list[str]) -> str:
    """Return why the gallery limits a metric in the directions ``ways``."""
    word, limits = LIMITED[name]
    relevant = np.concatenate([relevant_items(found.selection, way) for way in ways])
    count = int(limits(relevant).sum())
    who = (
        "every query has" if count == len(relevant) else f"{count} of {len(relevant)} queries have"
    )
    return f"{who} {word} than ten relevant items in the gallery"


def lookup_words(found: EvaluatedRun) -> str:
    """Return how many queries have no item within the radius of lookups; ``""`` if all have some.

    They count as 0, so that precision within a radius can be less than the share of relevant items.
    """
    parts, radius = [], found.results["protocol"].get("radius", Protocol.radius)
    name = f"P@r<={radius}"
    for way in reversed(DIRECTIONS):
        if name in found.results[way]:
            asked = ~np.isnan(found.queries[way].average_precision)
            nothing = empty_lookups(found.selection, way, radius)[asked]
            if nothing.any():
                parts.append(f"{nothing.sum()} of {len(nothing)} ({DIRECTION_WORDS[way]})")
    if not parts:
        return ""
    return (
        f"{name}: queries with no item within {counted(radius, 'bit')} count as 0: "
        f"{', '.join(parts)}."
    )


def class_rows(found: EvaluatedRun) -> list[ClassRow]:
    """Return mean average precision by class, the best class of both directions on top."""
    counts = {way: Counter(found.selection.queries[way].labels) for way in DIRECTIONS}
    values: Mapping[str, Mapping[str, float]] = {
        way: found.results[way].get("per_class", {}) for way in DIRECTIONS
    }
    chance: Mapping[str, Mapping[str, float]] = {
        way: found.results[way].get("per_class_chance", {}) for way in DIRECTIONS
    }
    labels = sorted({*counts[DIRECTIONS[0]], *counts[DIRECTIONS[1]]} - {""})
    rows = [
        ClassRow(
            label,
            {way: counts[way][label] for way in DIRECTIONS},
            {way: values[way].get(label) for way in DIRECTIONS},
            {way: chance[way].get(label) for way in DIRECTIONS},
        )
        for label in labels
    ]
    return sorted(rows, key=_mean_of_class, reverse=True)


def _mean_of_class(row: ClassRow) -> float:
    known = [value for value in row.values.values() if value is not None]
    return sum(known) / len(known) if known else -1.0


def published_rows(results: Mapping[str, Any]) -> list[PublishedRow]:
    """Return the published results on a known data set, by class relevance."""
    if not results.get("dataset") or results["protocol"]["relevance"] != "class":
        return []
    return [
        PublishedRow(
            row.method,
            tuple(row.metrics.get(f"{way}.mAP") for way in reversed(DIRECTIONS)),
            row.citation,
        )
        for row in published_results(results["dataset"])
    ]
