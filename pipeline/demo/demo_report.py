"""The report of the demonstration: its page, and three of its queries in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivr.pipeline.report.query_cards import DIRECTION_WORDS, QueryCard
from ivr.pipeline.report.report import report
from ivr.pipeline.runtime.progress import say

REPORT = "report.html"
DIRECTION = "voice_to_image"
KIND_TOLD = {
    "worst": "the worst answer",
    "drawn": "a query drawn at random",
    "best": "the best answer",
}
"""Kinds of queries that are told, and how."""
HITS = 5
"""Hits of a query that are told in words."""
NEAR = 0.9
"""A value of this share of its ceiling or more is near it."""


def report_demo(folder: Path, run: Path, results: Mapping[str, Any]) -> None:
    """Write the report of ``run`` into ``folder``; say what three queries find.

    Args:
        folder: folder of the demonstration.
        run: its run, evaluated.
        results: content of its ``results.json``.
    """
    say("writing the report")
    written = report(run, folder / REPORT)
    cards = [card for card in written.cards if card.direction == DIRECTION]
    say(
        f"three spoken queries of the report, with the classes of the first {HITS} images that "
        "each finds and the bits in which codes differ:"
    )
    for kind in KIND_TOLD:
        some = [card for card in cards if card.kind == kind]
        if some:
            ranked = sorted(some, key=lambda card: card.average_precision)
            say(in_words({"worst": ranked[0], "best": ranked[-1]}.get(kind, some[0])))
    say(ceiling_in_words(results))
    say(f"report: {written!r}")


def in_words(card: QueryCard) -> str:
    """Return a query and its first hits as one line."""
    hits = ", ".join(
        f"{hit.medium.label} ({'right' if hit.right else 'wrong'}, {hit.distance})"
        for hit in card.hits[:HITS]
    )
    query = card.medium.caption or card.medium.name
    return (
        f'{KIND_TOLD[card.kind]}: "{query}" ({card.medium.label}, '
        f"AP {card.average_precision:.1f} %) finds {hits}"
    )


def ceiling_in_words(results: Mapping[str, Any], name: str = "P@10") -> str:
    """Return how far the metric ``name`` is from the most that the gallery allows."""
    value, most = results[DIRECTION][name], results["ceiling"][DIRECTION][name]
    told = f"{DIRECTION_WORDS[DIRECTION]}: {name} is {value:.1f} %"
    if most > 99.95:
        return f"{told} of 100 %"
    place = "near its ceiling" if value >= NEAR * most else "below its ceiling"
    return (
        f"{told}, {place} of {most:.1f} %: in this small set a query has fewer relevant images "
        "than 10"
    )
