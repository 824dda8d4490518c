"""Notes below a comparison table: protocol, settings, missing seeds, and what differences mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from ivr.features.voice_streams import STREAMS
from ivr.hashing.bootstrap import RESAMPLES
from ivr.hashing.methods import method_entry
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runtime.words import counted

from .columns import ARROWS, Column, units_in_words
from .evaluated_runs import ComparisonRow
from .grid import Grid, streams_name
from .row_heads import row_name, told_once


def reconstruction_note(row: ComparisonRow) -> str:
    """Return the footnote of a method that is a reconstruction, ``""`` for other methods."""
    text = method_entry(row.row.variant.method).build.reconstruction
    return f"{row.row.variant.method} is a reconstruction, {text}" if text else ""


def general_notes(
    grid: Grid, rows: Sequence[ComparisonRow], unit: str, columns: Sequence[Column]
) -> list[str]:
    """Return unit, protocol, split and numbers of queries, in the order of ``columns``."""
    results = next((e.results for row in rows for e in row.evaluations.values()), None)
    streams = {row.row.streams for row in rows}
    voices = {row.row.voices for row in rows}
    told = [f"protocol {grid.protocol}", f"split {grid.share()}"]
    if len(streams) == 1 and streams != {STREAMS}:
        told.append(f"voices by {streams_name(streams.pop())}")
    told += told_once(rows)
    if len(voices) == 1:
        trained = {"one": "one voice per image", "all": "all voices"}
        told.append(f"trained on {trained[voices.pop()]}")
    units = units_in_words(unit, [column.name for column in columns])
    notes = [f"{units}; {', '.join(told)}; mean ± standard deviation (n - 1) over {_seeds(rows)}."]
    if results:
        queries = query_counts(results, columns)
        weights = results["features"]["images"].get("encoder", "unknown")
        check = rows[0].check.label + ": " if len({row.check for row in rows}) > 1 else ""
        notes.append(f"{check}{queries}; image vectors of {weights}.")
    return notes


def query_counts(results: Mapping[str, Any], columns: Sequence[Column]) -> str:
    """Return the numbers of queries and items of ``results`` in the order of ``columns``."""
    ways = dict.fromkeys(column.direction for column in columns if column.direction) or DIRECTIONS
    told = {
        way: f"{counted(results[way]['queries'], 'query')} on {results[way]['gallery']}"
        for way in ways
    }
    if len(told) > 1 and len(set(told.values())) == 1:
        return f"{next(iter(told.values()))} in each direction"
    return ", ".join(f"{text} ({ARROWS[way]})" for way, text in told.items())


def _seeds(rows: Sequence[ComparisonRow]) -> str:
    numbers = {len(row.evaluations) for row in rows}
    return counted(numbers.pop(), "seed") if len(numbers) == 1 else "seeds"


def settings_notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return every setting that is not in a label, with the rows that have it."""
    labels = dict.fromkeys(row.row.variant.label for row in rows)
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        variant = row.row.variant
        for setting in variant.last_settings():
            if setting not in variant.label:
                found.setdefault(setting, {})[variant.label] = None
    return [
        f"{setting}: {'all rows' if len(having) == len(labels) else '; '.join(having)}."
        for setting, having in found.items()
    ]


def missing_seeds_notes(grid: Grid, rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the rows that lack finished runs of some seeds, as one note."""
    lacking = [row for row in rows if len(row.evaluations) < len(grid.seeds)]
    names = dict.fromkeys(f"{row_name(row, rows)}, {row.row.bits} bits" for row in lacking)
    asked = len(grid.seeds)
    return [f"Fewer finished seeds than asked for ({asked}): {'; '.join(names)}."] if names else []


def gap_notes(names: Mapping[int, str], *, best: bool) -> list[str]:
    """Return how to read the differences from the references ``names``, by bits.

    Args:
        names: reference for each number of bits.
        best: they are the best rows, and not chosen by name.
    """
    references = ", ".join(f"{name} ({bits} bits)" for bits, name in names.items())
    why = ", the best by the mean of the mAP of both directions" if best else ""
    return [
        f"Differences are those of mAP from {references}{why}, in points, with the 95 % interval "
        f"and the two-sided p of a paired bootstrap of {RESAMPLES} resamples: a query is paired "
        "with itself in the same seed, and all queries of one image are drawn together. The "
        "interval covers other queries of the same kind; for other trainings, see the number of "
        "seeds in which a row is ahead. p is not corrected for the number of comparisons."
    ]
