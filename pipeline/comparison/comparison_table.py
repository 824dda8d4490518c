"""The table of a comparison: mean and deviation over seeds, differences, chance, published rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ivr.hashing.metrics import metric_of
from ivr.pipeline.datasets.published_results import Kind, PublishedResult, published_results
from ivr.pipeline.evaluation.per_query import DIRECTIONS

from .columns import Column
from .differences import gaps_to_reference
from .evaluated_runs import ComparisonRow
from .grid import Grid
from .row_heads import head_cells, head_names, row_name
from .table import Cell, Spread, Table, TableRow
from .table_notes import (
    gap_notes,
    general_notes,
    missing_seeds_notes,
    reconstruction_note,
    settings_notes,
)
from .table_place import table_choices
from .training_lengths import training_length, training_notes


def metrics_of(row: ComparisonRow, columns: Sequence[Column]) -> dict[int, dict[str, float]]:
    """Return the metrics of ``row`` by seed and key of the column, as far as its results have them.

    Results of earlier versions lack some metrics.
    """
    return {
        seed: {
            column.key: float(found[column.name])
            for column in columns
            if column.name in (found := _results(evaluation.results, column))
        }
        for seed, evaluation in row.evaluations.items()
    }


def comparison_table(
    title: str,
    grid: Grid,
    rows: Sequence[ComparisonRow],
    columns: Sequence[Column],
    metrics: Sequence[Mapping[int, Mapping[str, float]]],
    *,
    reference: str | None = None,
    differences: bool = True,
    published: Kind | None = "methods",
    unit: str = "Percent",
    notes: Sequence[str] = (),
    label: str = "",
) -> Table:
    """Return the table of ``rows``.

    Args:
        title: its title.
        grid: what was compared.
        rows: the measured rows.
        columns: the metrics to show.
        metrics: values of each row, by seed and key of the column (:func:`metrics_of`).
        reference: label of the row that the others are compared with; None takes the row with the
            best mean mAP for each number of bits.
        differences: show the difference of the mAP of each row from that of the reference.
        published: kind of the published rows of a known data set that are shown, None for none.
        unit: unit of the values.
        notes: more notes.
        label: label for references in LaTeX.
    """
    heads = head_names(rows)
    measured = [
        TableRow(
            "measured",
            head_cells(row, heads),
            {column.key: cell for column in columns if (cell := _spread(values, column.key))},
            reconstruction_note(row),
            {seed: one.place for seed, one in row.evaluations.items()},
        )
        for row, values in zip(rows, metrics, strict=True)
    ]
    gaps, names = gaps_to_reference(rows, reference) if differences else ([], {})
    if any(gaps):
        columns = (*columns, *(Column("difference", d, block="differences") for d in DIRECTIONS))
        measured = [
            replace(row, cells={**row.cells, **gap})
            for row, gap in zip(measured, gaps, strict=True)
        ]
        notes = (*notes, *gap_notes(names, best=reference is None))
    # With checks, each row has a chance of its own.
    chance = _chance_rows(rows, columns) if "check" not in heads else []
    dataset = _dataset(rows)
    known = published_results(dataset, published) if dataset and published else ()
    return Table(
        title,
        heads,
        tuple(columns),
        (
            *_best_marked(measured, columns),
            *chance,
            *(_published_row(result, columns) for result in known),
        ),
        (
            *general_notes(grid, rows, unit, columns),
            *settings_notes(rows),
            *_training_notes(rows),
            *missing_seeds_notes(grid, rows),
            *notes,
        ),
        label,
        table_choices(grid),
    )


def _training_notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the notes on the epochs of all rows; distances and checks of one run count once."""
    runs: dict[tuple[Path, ...], tuple[str, str]] = {}
    several = len({row.row.bits for row in rows}) > 1
    for row in rows:
        name = row_name(row, rows)
        places = tuple(one.folder.parent.parent for one in row.evaluations.values())
        name = f"{name}, {row.row.bits} bits" if several else name
        runs.setdefault(places, (name, row.row.variant.method))
    found = (training_length(*told, places) for places, told in runs.items())
    return training_notes([one for one in found if one])


def spread(values: Sequence[float]) -> Spread | None:
    """Return mean and deviation (n - 1) of ``values``; None if there are none."""
    if not values:
        return None
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None)


def _spread(metrics: Mapping[int, Mapping[str, float]], key: str) -> Spread | None:
    return spread([found[key] for found in metrics.values() if key in found])


def _results(results: Mapping[str, Any], column: Column) -> Mapping[str, Any]:
    """Return the part of ``results`` that holds the metric of ``column``."""
    found: Mapping[str, Any] = results.get(column.direction or "matching", {})
    return found


def _best_marked(rows: Sequence[TableRow], columns: Sequence[Column]) -> list[TableRow]:
    """Return ``rows`` with the best and the second best cells of every column marked.

    A cell competes with those of the rows with as many bits and the same check, by values that are
    not rounded. Equal cells have the same mark.
    """
    marked = []
    for row in rows:
        group = [other for other in rows if _rivals(row, other)]
        cells = dict(row.cells)
        for column in columns:
            cell = cells.get(column.key)
            if column.ranked and isinstance(cell, Spread) and len(group) > 1:
                rivals = [o.cells[column.key] for o in group if column.key in o.cells]
                means = {rival.mean for rival in rivals if isinstance(rival, Spread)}
                first = sorted(means, reverse=not column.lowest)
                cells[column.key] = replace(
                    cell, best=cell.mean == first[0], second=cell.mean in first[1:2]
                )
        marked.append(replace(row, cells=cells))
    return marked


def _rivals(row: TableRow, other: TableRow) -> bool:
    return all(row.heads.get(head) == other.heads.get(head) for head in ("bits", "check"))


def _chance_rows(rows: Sequence[ComparisonRow], columns: Sequence[Column]) -> list[TableRow]:
    """Return the row of chance, which all methods share; from the row with the most seeds.

    Within a Hamming radius each method has a chance of its own: there it is of one row alone.
    """
    if not rows:
        return []
    fullest = max(rows, key=lambda row: len(row.evaluations))
    cells = {}
    for column in columns:
        metric = metric_of(column.name)
        if metric and metric.reads == "radius" and len(rows) > 1:
            continue
        values = [
            float(evaluation.results["chance"][column.direction][column.name])
            for evaluation in fullest.evaluations.values()
            if column.name in evaluation.results["chance"].get(column.direction, {})
        ]
        if values:
            cells[column.key] = Spread(fmean(values))
    return [TableRow("chance", {"method": "chance"}, cells)] if cells else []


def _published_row(result: PublishedResult, columns: Sequence[Column]) -> TableRow:
    metrics = result.metrics
    cells: dict[str, Cell] = {
        column.key: Spread(metrics[column.key]) for column in columns if column.key in metrics
    }
    note = f"published, on recorded voices: {result.citation}"
    return TableRow("published", {"method": result.method}, cells, note)


def _dataset(rows: Sequence[ComparisonRow]) -> str | None:
    """Return the known data set of all results, by class relevance; None if there is none."""
    found = {
        evaluation.results["dataset"]
        for row in rows
        for evaluation in row.evaluations.values()
        if evaluation.results["protocol"]["relevance"] == "class"
    }
    return found.pop() if len(found) == 1 else None
