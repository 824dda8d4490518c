"""The page of a comparison: methods side by side, and queries that two of them answer otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ivr.hashing.bootstrap import Difference
from ivr.pipeline.comparison.columns import ARROWS
from ivr.pipeline.comparison.table import Gap, Spread
from ivr.pipeline.comparison.table_file import TableFile, TableLine, read_table_file, table_files
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runs.run_folder import read_config
from ivr.pipeline.runtime.words import counted

from .caveats import data_caveats
from .evaluated_run import EvaluatedRun, PageError, read_evaluation
from .query_cards import (
    DIRECTION_WORDS,
    KIND_WORDS,
    QueryCard,
    anchor,
    cards_of,
    classes_of,
)
from .report_config import ReportConfig
from .run_facts import date_of, digests, facts
from .shown_queries import ShownQuery

PAIRS = 10
"""Queries per direction that two methods answer most differently."""
SECTIONS = (
    ("summary", "Methods"),
    ("limits", "What these numbers do not show"),
    ("pictures", "Curves"),
    ("pairs", "The same queries, two methods"),
    ("notes", "Notes"),
    ("run", "What was run"),
)


@dataclass(frozen=True)
class TableCell:
    """One value of the table: mean with deviation or interval, and whether it is the best."""

    text: str
    best: bool


@dataclass(frozen=True)
class MethodRow:
    """One row of the table of a comparison."""

    kind: str
    heads: tuple[str, ...]
    cells: tuple[TableCell, ...]
    note: str


@dataclass(frozen=True)
class TablePart:
    """Columns of the table that stand side by side, with all rows."""

    caption: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[MethodRow, ...]


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


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison as it is read for a report.

    Attributes:
        folder: its folder.
        path: the file of its table.
        table: the table.
        lines: its rows.
        names: name of each row that has evaluations, unique.
        sides: the two runs whose answers are shown, by name; none if there are fewer.
    """

    folder: Path
    path: Path
    table: TableFile
    lines: Sequence[TableLine]
    names: Mapping[str, TableLine]
    sides: tuple[tuple[str, EvaluatedRun], ...]


def read_comparison(folder: Path, config: ReportConfig) -> Compared:
    """Return the comparison in ``folder`` with the two runs whose answers are shown.

    Raises:
        PageError: no such table or row, or rows without a common seed.
        CompareError, RunError, StoreError: files that are missing or damaged.
    """
    path = _table_path(folder, config.table)
    table, lines = read_table_file(path)
    heads = table["heads"]
    names: dict[str, TableLine] = {}
    for line in lines:
        if line["kind"] == "measured" and line["evaluations"]:
            names[_row_name(line, heads, lines)] = line
    if not names:
        raise PageError(f"{path}: no evaluated run; finish it with ivr compare")
    chosen = _chosen(names, config.methods, path)
    sides = _sides(folder, names, chosen) if chosen else ()
    return Compared(folder, path, table, lines, names, sides)


def comparison_pairs(found: Compared, config: ReportConfig) -> list[Pair]:
    """Return the queries that the two methods answer most differently, both ways."""
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
    return pairs


def comparison_page(found: Compared, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return what the template of a comparison reads, but for its media."""
    run = found.sides[0][1] if found.sides else first_run(found)
    seeds = sorted({int(seed) for line in found.names.values() for seed in line["evaluations"]})
    return {
        "title": found.table["title"],
        "kind": "Report of a comparison",
        "lead": f"{counted(len(found.names), 'row')}, {counted(len(seeds), 'seed')}; "
        f"{run.results['protocol_in_words']}. Evaluated {date_of(run.folder)}.",
        "sections": SECTIONS,
        "parts": _parts(found),
        "caveats": data_caveats(run),
        "notes": [
            *found.table["notes"],
            *dict.fromkeys(x["note"] for x in found.lines if x["note"]),
        ],
        "pairs": pairs,
        "pair_words": _pair_words(found, pairs),
        "classes": classes_of(pair.card for pair in pairs),
        "direction_words": DIRECTION_WORDS,
        "kind_words": KIND_WORDS,
        "facts": facts(run),
        "digests": digests(run),
    }


def first_run(found: Compared) -> EvaluatedRun:
    """Return the first run of the comparison."""
    line = next(iter(found.names.values()))
    return _read(found.folder, min(line["evaluations"].items(), key=lambda one: int(one[0]))[1])


def _table_path(folder: Path, name: str | None) -> Path:
    there = table_files(folder)
    known = ", ".join(path.stem for path in there) or "none"
    if name is not None:
        for path in there:
            if path.stem == name:
                return path
        raise PageError(f"{folder}: no table {name!r}; there are {known}")
    if not there:
        raise PageError(f"{folder}: no table; make it with ivr compare FEATURES --out {folder}")
    usual = [path for path in there if path.stem == "compare"]
    if not usual and len(there) > 1:
        raise PageError(f"{folder}: several tables ({known}); choose one with --table")
    return (usual or there)[0]


def _row_name(line: TableLine, heads: Sequence[str], lines: Sequence[TableLine]) -> str:
    """Return the text that tells a row from the others: its heads in which the rows differ."""
    values: Mapping[str, Any] = line
    measured = [other for other in lines if other["kind"] == "measured"]
    told = [
        str(values.get(head, ""))
        for head in heads
        if head == heads[0] or len({str(dict(other).get(head)) for other in measured}) > 1
        if head != "seeds"
    ]
    return ", ".join(told)


def _mean_map(line: TableLine) -> float:
    values = [line["figures"].get(f"{direction}.mAP") for direction in DIRECTIONS]
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else float("-inf")


def _chosen(
    names: Mapping[str, TableLine], methods: Sequence[str], path: Path
) -> tuple[str, str] | None:
    """Return the two rows that are put side by side; None if there is one row only."""
    if methods:
        for name in methods:
            if name not in names:
                raise PageError(f"{path}: no row {name!r}; there are {'; '.join(names)}")
        first, second = methods
        return first, second
    ordered = sorted(names, key=lambda name: -_mean_map(names[name]))
    return (ordered[0], ordered[1]) if len(ordered) > 1 else None


def _sides(
    folder: Path, names: Mapping[str, TableLine], chosen: tuple[str, str]
) -> tuple[tuple[str, EvaluatedRun], ...]:
    """Return the runs of the ``chosen`` rows with the first seed that both have."""
    lines = [names[name] for name in chosen]
    common = set(lines[0]["evaluations"]) & set(lines[1]["evaluations"])
    if not common:
        raise PageError(f"{folder}: {' and '.join(chosen)} have no seed in common")
    seed = min(common, key=int)
    return tuple(
        (name, _read(folder, line["evaluations"][seed]))
        for name, line in zip(chosen, lines, strict=True)
    )


def evaluation_folder(folder: Path, place: str) -> Path:
    """Return the folder of the evaluation at ``place`` below the comparison ``folder``.

    Raises:
        PageError: it leads elsewhere.
    """
    evaluation = folder / place
    if not evaluation.resolve().is_relative_to(folder.resolve()) or len(Path(place).parts) != 4:
        raise PageError(f"{folder}: its table names {place!r}, which is no run in it")
    return evaluation


def _read(folder: Path, place: str) -> EvaluatedRun:
    """Return the run of the evaluation at ``place`` below ``folder``."""
    evaluation = evaluation_folder(folder, place)
    run = evaluation.parent.parent
    return read_evaluation(run, read_config(run), evaluation)


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


def _parts(found: Compared) -> list[TablePart]:
    """Return the table in parts: metrics per direction, then the others and the differences."""
    columns = found.table["columns"]
    # Voices that ask come first, as on the page of a run.
    groups: dict[str, list[str]] = {direction: [] for direction in reversed(DIRECTIONS)}
    for key in columns:
        direction, _, name = key.rpartition(".")
        group = "differences" if name == "difference" else direction
        groups.setdefault(group, []).append(key)
    heads = tuple(found.table["heads"])
    return [
        TablePart(
            _caption(group), heads, tuple(_head(key) for key in keys), tuple(_rows(found, keys))
        )
        for group, keys in groups.items()
        if keys
    ]


def _caption(group: str) -> str:
    if group == "differences":
        return (
            "Difference of mAP from the best row, points, with the 95 % interval over queries, "
            "p, and the seeds in which the row is ahead"
        )
    words = DIRECTION_WORDS.get(group)
    mean = "mean ± standard deviation over seeds, the best in bold with a star"
    return f"{words[0].upper()}{words[1:]}, percent: {mean}" if words else f"Further: {mean}"


def _head(key: str) -> str:
    direction, _, name = key.rpartition(".")
    return f"{name} {ARROWS[direction]}" if direction in ARROWS else name


def _rows(found: Compared, keys: Sequence[str]) -> list[MethodRow]:
    rows = []
    for line in found.lines:
        values: Mapping[str, Any] = line
        if not any(line["figures"].get(key) is not None for key in keys):
            continue
        heads = tuple(str(values.get(head, "")) for head in found.table["heads"])
        cells = tuple(TableCell(_text(line["figures"], key), key in line["best"]) for key in keys)
        rows.append(MethodRow(line["kind"], heads, cells, line["note"]))
    return rows


def _text(figures: Mapping[str, Any], key: str) -> str:
    value = figures.get(key)
    if value is None:
        return ""
    if figures.get(f"{key}.low") is not None:
        ends = (float(figures[f"{key}.{name}"]) for name in ("low", "high", "p"))
        ahead, seeds = (int(figures[f"{key}.{name}"]) for name in ("seeds_ahead", "seeds"))
        return Gap(Difference(float(value), *ends), ahead, seeds).text
    return Spread(float(value), figures.get(f"{key}.deviation")).text


def _pair_words(found: Compared, pairs: Sequence[Pair]) -> str:
    if not found.sides:
        return "There is one row only, so no two answers can be compared."
    (first, one), (second, _) = found.sides
    if not pairs:
        return f"{first} and {second} answer every query equally well."
    return (
        f"{counted(len(pairs), 'query')} on which the average precision of {first} and of {second} "
        f"differs most, in both directions and both ways; the runs with seed {one.config['seed']}."
    )
