"""Pictures of a sweep: mAP over one option as curves, or over two as a table of shades."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ivr.pipeline.evaluation.protocol import DIRECTIONS
from ivr.pipeline.pictures.captions import ARROWS, caption, put_title
from ivr.pipeline.pictures.captions import title as title_of
from ivr.pipeline.pictures.picture_files import Picture
from ivr.pipeline.pictures.style import Theme, new_figure
from ivr.pipeline.pictures.sweep import (
    SweepCurve,
    SweepTable,
    draw_sweep,
    draw_sweep_table,
    sweep_rows,
    sweep_table_rows,
)

from .comparison_pictures import comparison_subject
from .evaluated_runs import ComparisonRow
from .sweep import Sweep
from .table import Spread, Table

if TYPE_CHECKING:
    from ivr.pipeline.pictures.style import Figure

MORE = "Percent, mean and standard deviation over the seeds"


def sweep_picture(name: str, table: Table, sweep: Sweep, rows: Sequence[ComparisonRow]) -> Picture:
    """Return mAP over the options of ``sweep``, one panel per direction.

    One option gives one curve per method and number of bits, two give a table of shades for the
    first number of bits.

    Args:
        name: stem of the files.
        table: table with a measured row for every point; the first row with a label counts.
        sweep: where each row stands.
        rows: rows of the comparison, of which at least one is evaluated.
    """
    if len(sweep.names) == 1:
        return _curves_picture(name, table, sweep, rows)
    return _grid_picture(name, table, sweep, rows)


def _curves_picture(
    name: str, table: Table, sweep: Sweep, rows: Sequence[ComparisonRow]
) -> Picture:
    (option,) = sweep.names
    kind, subject = f"mAP over {option}", comparison_subject(rows)
    seeds = max(len(row.evaluations) for row in rows)
    curves = {d: _curves(table, sweep, d, seeds, subject.chance[d]) for d in DIRECTIONS}
    labels = _labels(sweep.values[0])

    def draw(theme: Theme) -> "Figure":
        figure = new_figure(10.0, 4.4)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (direction, found) in zip(panels, curves.items(), strict=True):
            draw_sweep(axes, found, option, "mAP, %", theme)
            axes.set_title(ARROWS[direction], loc="left")
            if labels:
                axes.set_xticks(range(len(labels)), labels, parse_math=False)
            axes.label_outer()
        put_title(figure, title_of(kind, subject))
        return figure

    rows_of = [
        {"direction": direction} | _with_value(row, option, labels)
        for direction, found in curves.items()
        for row in sweep_rows(found, option)
    ]
    return Picture(name, title_of(kind, subject), caption(kind, subject, MORE), rows_of, draw)


def _grid_picture(name: str, table: Table, sweep: Sweep, rows: Sequence[ComparisonRow]) -> Picture:
    first, second = sweep.names
    kind, subject = f"mAP over {first} and {second}", comparison_subject(rows)
    tables = [_sweep_table(table, sweep, d, subject.chance[d]) for d in DIRECTIONS]
    heights, widths = map(_labels, sweep.values)

    def draw(theme: Theme) -> "Figure":
        figure = new_figure(10.0, 4.6)
        panels = figure.subplots(1, 2)
        for axes, found in zip(panels, tables, strict=True):
            image = draw_sweep_table(axes, found, theme)
            if heights:
                axes.set_yticks(range(len(heights)), heights, parse_math=False)
            if widths:
                axes.set_xticks(range(len(widths)), widths, parse_math=False)
            figure.colorbar(image, ax=axes, label="mAP, %")
        put_title(figure, title_of(kind, subject))
        return figure

    rows_of = [
        _with_value(_with_value(row, first, heights), second, widths)
        for row in sweep_table_rows(tables)
    ]
    return Picture(name, title_of(kind, subject), caption(kind, subject, MORE), rows_of, draw)


def _curves(
    table: Table, sweep: Sweep, direction: str, seeds: int, chance: float
) -> list[SweepCurve]:
    """Return one curve per method and number of bits."""
    values = sweep.values[0]
    places = _places(values)
    found: dict[tuple[str, str], dict[str, Spread]] = {}
    for row in table.rows:
        cell, point = row.cells.get(f"{direction}.mAP"), sweep.points.get(row.heads["method"])
        if isinstance(cell, Spread) and point is not None and row.kind == "measured":
            own = found.setdefault((point.method, row.heads["bits"]), {})
            own.setdefault(point.values[0], cell)
    order = sorted(range(len(values)), key=lambda place: places[place])
    return [
        SweepCurve(
            f"{method}, {bits} bits",
            places[order],
            np.array([_mean(own.get(values[place])) for place in order]),
            np.array([_deviation(own.get(values[place])) for place in order]),
            seeds,
            chance,
        )
        for (method, bits), own in found.items()
    ]


def _sweep_table(table: Table, sweep: Sweep, direction: str, chance: float) -> SweepTable:
    heights, widths = sweep.values
    means = np.full((len(heights), len(widths)), np.nan)
    deviations = means.copy()
    for row in reversed([row for row in table.rows if row.kind == "measured"]):
        cell, point = row.cells.get(f"{direction}.mAP"), sweep.points.get(row.heads["method"])
        if isinstance(cell, Spread) and point is not None:
            place = heights.index(point.values[0]), widths.index(point.values[1])
            means[place], deviations[place] = cell.mean, _deviation(cell)
    first, second = sweep.names
    return SweepTable(
        ARROWS[direction], (first, second), _places(heights), _places(widths), means, deviations,
        chance,
    )  # fmt: skip


def _places(values: Sequence[str]) -> np.ndarray:
    """Return the numbers that ``values`` are [v], or their positions if some are words."""
    return np.array(range(len(values)) if _labels(values) else values, float)


def _labels(values: Sequence[str]) -> list[str]:
    """Return ``values`` if some of them are words, nothing if all are numbers."""
    try:
        finite = np.isfinite(np.array(values, float)).all()
    except ValueError:
        return list(values)
    return [] if finite else list(values)


def _with_value(row: dict[str, object], option: str, labels: Sequence[str]) -> dict[str, object]:
    """Return ``row`` with the word in place of its position, where values are words."""
    place = row[option]
    return row | {option: labels[int(place)]} if labels and isinstance(place, float) else row


def _mean(cell: Spread | None) -> float:
    return np.nan if cell is None else cell.mean


def _deviation(cell: Spread | None) -> float:
    return np.nan if cell is None or cell.deviation is None else cell.deviation
