"""Figures of many runs as one table: mean and deviation over seeds, differences, published rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import numpy as np

from ivr.hashing.bootstrap import RESAMPLES, Difference, paired_bootstrap
from ivr.hashing.methods import method_entry
from ivr.pipeline.datasets.published import DATASETS, PublishedResult
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.extraction.feature_dataset import STREAMS

from .compare import ComparisonRow
from .grid import Grid, streams_name

ARROWS = {"image_to_voice": "I→V", "voice_to_image": "V→I"}
PRECISION = {"P@1": 0, "P@5": 1, "P@10": 2}  # places in a published row
RANKED_BY = {"hamming": "codes", "euclidean": "Euclidean", "matching": "matching"}
RECORDED = "published, on recorded voices, single runs"


@dataclass(frozen=True)
class Column:
    """One figure.

    Attributes:
        name: of the figure: mAP, P@1 ..., accuracy, ms, or difference.
        direction: image_to_voice or voice_to_image; ``""`` for a figure of both.
        block: columns of one block stand side by side.
        lowest: the least value is the best.
        ranked: a value is better than another.
    """

    name: str
    direction: str = ""
    block: str = ""
    lowest: bool = False
    ranked: bool = True

    @property
    def key(self) -> str:
        """Name in CSV and JSON."""
        return f"{self.direction}.{self.name}" if self.direction else self.name

    @property
    def head(self) -> str:
        """Name in a table that is read."""
        return f"{self.name} {ARROWS[self.direction]}" if self.direction else self.name


@dataclass(frozen=True)
class Spread:
    """A figure over seeds.

    Attributes:
        mean: of the seeds.
        deviation: standard deviation (n - 1), None of a single value.
        best: of its column, among the rows of as many bits.
    """

    mean: float
    deviation: float | None = None
    best: bool = False

    @property
    def text(self) -> str:
        """Return mean and deviation with two decimals."""
        return f"{self.mean:.2f}" + ("" if self.deviation is None else f" ± {self.deviation:.2f}")

    def values(self) -> dict[str, float | None]:
        """Return what CSV and JSON hold, by the end of the name."""
        return {"": self.mean, ".deviation": self.deviation}


@dataclass(frozen=True)
class Gap:
    """A difference from the reference, in percent points.

    Attributes:
        difference: with the interval of the bootstrap over queries.
        ahead: seeds in which the row is ahead of the reference.
        seeds: that both have.
    """

    difference: Difference
    ahead: int
    seeds: int
    best: bool = False

    @property
    def text(self) -> str:
        """Return difference, interval, p and seeds."""
        found = self.difference
        p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
        mean, low, high = (
            f"{round(value, 2) + 0.0:+.2f}" for value in (found.mean, found.low, found.high)
        )
        return f"{mean} [{low}, {high}], {p}, ahead {self.ahead}/{self.seeds}"

    def values(self) -> dict[str, float | None]:
        """Return what CSV and JSON hold, by the end of the name."""
        found = self.difference
        return {
            "": found.mean,
            ".low": found.low,
            ".high": found.high,
            ".p": found.p,
            ".seeds_ahead": self.ahead,
            ".seeds": self.seeds,
        }


Cell = Spread | Gap


@dataclass(frozen=True)
class TableRow:
    """One line.

    Attributes:
        kind: measured, chance or published.
        heads: by name of the head column.
        cells: by key of the column; what is lacking is not known.
        note: a footnote, ``""`` for none.
    """

    kind: str
    heads: Mapping[str, str]
    cells: Mapping[str, Cell]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table, to be written in any form.

    Attributes:
        title: what it shows.
        heads: names of the columns that say what a line is.
        columns: figures.
        lines: measured, then chance, then published.
        notes: what holds for the whole table.
    """

    title: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()


def retrieval_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Return ``names`` in both directions, in a block a direction where there are many."""
    if len(names) <= 4:
        return tuple(Column(name, direction) for name in names for direction in DIRECTIONS)
    return tuple(
        Column(name, direction, block=ARROWS[direction])
        for direction in DIRECTIONS
        for name in names
    )


def figures_of(line: ComparisonRow, columns: Sequence[Column]) -> dict[int, dict[str, float]]:
    """Return the figures of the seeds of ``line`` by key of the column, those that it has."""
    return {
        seed: {
            column.key: _value(evaluation.results, column)
            for column in columns
            if column.name in _figures(evaluation.results, column)
        }
        for seed, evaluation in line.evaluations.items()
    }


def comparison_table(
    title: str,
    grid: Grid,
    lines: Sequence[ComparisonRow],
    columns: Sequence[Column],
    figures: Sequence[Mapping[int, Mapping[str, float]]],
    *,
    reference: str | None = None,
    differences: bool = True,
    published: str | None = "",
    unit: str = "Percent",
    notes: Sequence[str] = (),
) -> Table:
    """Return the table of ``lines``.

    Args:
        title: what it shows.
        grid: what was compared.
        lines: rows by one distance.
        columns: figures.
        figures: of each line, by seed and key of the column (:func:`figures_of`).
        reference: label of the row that the others are compared with; None takes the best mean mAP
            of each number of bits.
        differences: show how far the mAP of each row is from that of the reference.
        published: beginning of the names of the published rows of a known data set that are
            printed, None for none.
        unit: of the figures.
        notes: more of them.
    """
    heads = _heads(lines)
    measured = [
        TableRow(
            "measured",
            _head_cells(line, heads),
            {column.key: cell for column in columns if (cell := _spread(found, column.key))},
            _reconstruction(line),
        )
        for line, found in zip(lines, figures, strict=True)
    ]
    gaps, names = _gaps(lines, reference) if differences else ([], {})
    difference = tuple(Column("difference", d, block="differences") for d in DIRECTIONS)
    if any(gaps):
        columns = (*columns, *difference)
        measured = [
            replace(line, cells={**line.cells, **gap})
            for line, gap in zip(measured, gaps, strict=True)
        ]
        notes = (*notes, *_gap_notes(names))
    chance = _chance_lines(lines, columns) if "check" not in heads else []  # each has its own
    rows = [*_best_marked(measured, columns), *chance]
    dataset = _dataset(lines)
    if dataset and published is not None:
        rows += [
            _published_line(figure, columns)
            for figure in DATASETS[dataset].published
            if figure.method.startswith(published)
        ]
        notes = (*notes, f"† {RECORDED}: {DATASETS[dataset].published[0].source}")
    about = (*_about(grid, lines, unit), *_settings_notes(lines), *_lacking_notes(grid, lines))
    return Table(title, heads, tuple(columns), tuple(rows), (*about, *notes))


def spread(values: Sequence[float]) -> Spread | None:
    """Return mean and deviation (n - 1) of ``values``; None of none."""
    if not values:
        return None
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None)


def gaps_to(line: ComparisonRow, reference: ComparisonRow) -> dict[str, Gap]:
    """Return how far ``line`` is from ``reference`` by direction, over the seeds that both have.

    A query is paired with itself in the same seed. Queries of one image are drawn together,
    whatever the seed: they are not independent of each other.
    """
    seeds = sorted(set(line.evaluations) & set(reference.evaluations))
    found = {}
    for direction in DIRECTIONS:
        images, parts = [], []
        for seed in seeds:
            names, difference = _paired(line, reference, seed, direction)
            images += names
            parts.append(difference)
        if images:
            units = np.unique(images, return_inverse=True)[1]
            rows = 100 * np.concatenate(parts)[:, None]
            (gap,) = paired_bootstrap(rows, units, np.random.default_rng(0))
            ahead = sum(bool(part.mean() > 0) for part in parts if len(part))
            found[direction] = Gap(gap, ahead, len(seeds))
    return found


def _paired(
    line: ComparisonRow, reference: ComparisonRow, seed: int, direction: str
) -> tuple[list[str], np.ndarray]:
    """Return the images of the queries that both were asked, and the differences [n]."""
    ours = line.evaluations[seed].queries[direction]
    theirs = reference.evaluations[seed].queries[direction]
    value = dict(zip(theirs.names, theirs.average_precision, strict=True))
    both = [
        (image, own - value[name])
        for name, image, own in zip(ours.names, ours.images, ours.average_precision, strict=True)
        if name in value and not np.isnan(own - value[name])
    ]
    return [image for image, _ in both], np.array([gap for _, gap in both])


def _gaps(
    lines: Sequence[ComparisonRow], reference: str | None
) -> tuple[list[dict[str, Gap]], dict[int, str]]:
    """Return the gap of each line to the reference of its bits, and what that is by bits."""
    chosen = {
        bits: _reference([line for line in lines if line.row.bits == bits], reference)
        for bits in {line.row.bits for line in lines}
    }
    found = []
    for line in lines:
        other = chosen[line.row.bits]
        gaps = {} if other is None or other is line else gaps_to(line, other)
        found.append({f"{direction}.difference": gap for direction, gap in gaps.items()})
    names = {bits: line_name(line, lines) for bits, line in sorted(chosen.items()) if line}
    return found, names


def _reference(lines: Sequence[ComparisonRow], name: str | None) -> ComparisonRow | None:
    there = [
        line
        for line in lines
        if line.evaluations and (name is None or line.row.variant.label == name)
    ]
    return max(there, key=_mean_map) if there else None


def _mean_map(line: ComparisonRow) -> float:
    return fmean(
        evaluation.results[direction]["mAP"]
        for evaluation in line.evaluations.values()
        for direction in DIRECTIONS
    )


def line_name(line: ComparisonRow, lines: Sequence[ComparisonRow]) -> str:
    """Return what tells ``line`` from the others of as many bits."""
    heads = _head_cells(line, _heads(lines))
    told = [text for name, text in heads.items() if name not in ("bits", "seeds", "ranked by")]
    return ", ".join([*told, "after sign"] if line.by_sign else told)


def _heads(lines: Sequence[ComparisonRow]) -> tuple[str, ...]:
    streams = ("streams",) if len({line.row.streams for line in lines}) > 1 else ()
    voices = ("voices",) if len({line.row.voices for line in lines}) > 1 else ()
    checks = ("check",) if len({line.check for line in lines}) > 1 else ()
    return ("method", "bits", *streams, *voices, *checks, "ranked by", "seeds")


def _head_cells(line: ComparisonRow, heads: Sequence[str]) -> dict[str, str]:
    ranked_by = RANKED_BY[line.distance] + (", after sign" if line.by_sign else "")
    cells = {
        "method": line.row.variant.label,
        "bits": str(line.row.bits),
        "streams": streams_name(line.row.streams),
        "voices": line.row.voices,
        "check": line.check.label,
        "ranked by": ranked_by,
        "seeds": str(len(line.evaluations)),
    }
    return {head: cells[head] for head in heads}


def _spread(figures: Mapping[int, Mapping[str, float]], key: str) -> Spread | None:
    return spread([found[key] for found in figures.values() if key in found])


def _value(results: Mapping[str, Any], column: Column) -> float:
    return float(_figures(results, column)[column.name])


def _figures(results: Mapping[str, Any], column: Column) -> Mapping[str, Any]:
    figures: Mapping[str, Any] = results.get(column.direction or "matching", {})
    return figures


def _best_marked(lines: Sequence[TableRow], columns: Sequence[Column]) -> list[TableRow]:
    """Return ``lines`` with the best cells of every column marked.

    They are compared with those of lines of as many bits, by the same check.
    """
    marked = []
    for line in lines:
        group = [other for other in lines if _rivals(line, other)]
        cells = dict(line.cells)
        for column in columns:
            cell = cells.get(column.key)
            if column.ranked and isinstance(cell, Spread) and len(group) > 1:
                rivals = [o.cells[column.key] for o in group if column.key in o.cells]
                means = [rival.mean for rival in rivals if isinstance(rival, Spread)]
                best = min(means) if column.lowest else max(means)
                cells[column.key] = replace(cell, best=cell.text != "" and cell.mean == best)
        marked.append(replace(line, cells=cells))
    return marked


def _rivals(line: TableRow, other: TableRow) -> bool:
    return all(line.heads.get(head) == other.heads.get(head) for head in ("bits", "check"))


def _chance_lines(lines: Sequence[ComparisonRow], columns: Sequence[Column]) -> list[TableRow]:
    """Return the line of chance: the same for all methods, of the line with the most seeds."""
    if not lines:
        return []
    fullest = max(lines, key=lambda line: len(line.evaluations))
    cells = {}
    for column in columns:
        values = [
            float(evaluation.results["chance"][column.direction][column.name])
            for evaluation in fullest.evaluations.values()
            if column.name in evaluation.results["chance"].get(column.direction, {})
        ]
        if values:
            cells[column.key] = Spread(fmean(values))
    return [TableRow("chance", {"method": "chance"}, cells)] if cells else []


def _published_line(figure: PublishedResult, columns: Sequence[Column]) -> TableRow:
    precision = {
        "image_to_voice": figure.image_to_voice_precision,
        "voice_to_image": figure.voice_to_image_precision,
    }
    whole = {"image_to_voice": figure.image_to_voice, "voice_to_image": figure.voice_to_image}
    cells: dict[str, Cell] = {}
    for column in columns:
        if column.name == "mAP" and column.direction:
            cells[column.key] = Spread(whole[column.direction])
        elif column.name in PRECISION and precision[column.direction]:
            cells[column.key] = Spread(precision[column.direction][PRECISION[column.name]])
    return TableRow("published", {"method": f"{figure.method} †"}, cells)


def _dataset(lines: Sequence[ComparisonRow]) -> str | None:
    """Return the known data set that all figures are of, by class relevance; None without one."""
    found = {
        evaluation.results["dataset"]
        for line in lines
        for evaluation in line.evaluations.values()
        if evaluation.results["protocol"]["relevance"] == "class"
    }
    return found.pop() if len(found) == 1 else None


def _reconstruction(line: ComparisonRow) -> str:
    text = method_entry(line.row.variant.method).build.reconstruction
    return f"{line.row.variant.method} is a reconstruction, {text}" if text else ""


def _about(grid: Grid, lines: Sequence[ComparisonRow], unit: str) -> list[str]:
    results = next((e.results for line in lines for e in line.evaluations.values()), None)
    streams = {line.row.streams for line in lines}
    voices = {line.row.voices for line in lines}
    told = [f"protocol {grid.protocol}", f"split {grid.share()}"]
    if len(streams) == 1 and streams != {STREAMS}:
        told.append(f"voices by {streams_name(streams.pop())}")
    if len(voices) == 1:
        trained = {"one": "one voice an image", "all": "all voices"}
        told.append(f"trained on {trained[voices.pop()]}")
    about = [f"{unit}; {', '.join(told)}; mean ± standard deviation (n - 1) over seeds."]
    if results:
        queries = ", ".join(
            f"{results[d]['queries']} queries on {results[d]['gallery']} ({ARROWS[d]})"
            for d in DIRECTIONS
        )
        weights = results["features"]["images"].get("encoder", "unknown")
        check = lines[0].check.label + ": " if len({line.check for line in lines}) > 1 else ""
        about.append(f"{check}{queries}; image vectors of {weights}.")
    return about


def _settings_notes(lines: Sequence[ComparisonRow]) -> list[str]:
    """Return every setting that a label does not say, with the rows that have it."""
    labels = dict.fromkeys(line.row.variant.label for line in lines)
    rows: dict[str, dict[str, None]] = {}
    for line in lines:
        variant = line.row.variant
        for setting in variant.last_settings():
            if setting not in variant.label:
                rows.setdefault(setting, {})[variant.label] = None
    return [
        f"{setting}: {'all rows' if len(found) == len(labels) else '; '.join(found)}."
        for setting, found in rows.items()
    ]


def _lacking_notes(grid: Grid, lines: Sequence[ComparisonRow]) -> list[str]:
    lacking = [line for line in lines if len(line.evaluations) < len(grid.seeds)]
    names = dict.fromkeys(f"{line_name(line, lines)}, {line.row.bits} bits" for line in lacking)
    asked = len(grid.seeds)
    return [f"Fewer finished seeds than asked for ({asked}): {'; '.join(names)}."] if names else []


def _gap_notes(names: Mapping[int, str]) -> list[str]:
    references = ", ".join(f"{name} ({bits} bits)" for bits, name in names.items())
    return [
        f"Differences are those of mAP from {references}, in points, with the 95 % interval and "
        f"the two-sided p of a paired bootstrap of {RESAMPLES} resamples: a query is paired with "
        "itself in the same seed, all queries of an image are drawn together. That is what other "
        "queries might have given; for other trainings, see in how many seeds a row is ahead. "
        "p is not corrected for the number of comparisons."
    ]
