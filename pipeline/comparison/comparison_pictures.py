"""Pictures of papers: precision over retrieved items of every method, and mAP over a grid."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from ivr.features.atomic_files import PNG, replaced, replaced_text
from ivr.pipeline.evaluation.curves import read_retrieved
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runs.run_folder import CURVES
from ivr.pipeline.runtime.digests import rewriting

from .columns import ARROWS
from .evaluated_runs import ComparisonRow
from .row_heads import row_name
from .table import Spread, Table

COLOURS = 10


def write_retrieved(path: Path, rows: Sequence[ComparisonRow]) -> Path:
    """Write mean precision over retrieved items of every row to the CSV file ``path``."""
    with rewriting(path.parent, [path.name]), replaced_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["method", "bits", "direction", "retrieved", "precision", "deviation", "seeds"]
        )
        for row in rows:
            for direction, curve in mean_precision(row).items():
                for count, values in curve.items():
                    deviation = f"{stdev(values):.4f}" if len(values) > 1 else ""
                    writer.writerow(
                        [
                            row_name(row, rows),
                            row.row.bits,
                            direction,
                            count,
                            f"{fmean(values):.4f}",
                            deviation,
                            len(values),
                        ]
                    )
    return path


def mean_precision(row: ComparisonRow) -> dict[str, dict[int, list[float]]]:
    """Return by direction the precision of each seed at numbers of retrieved items, percent.

    Only at numbers that all seeds have, since galleries differ by a few items.
    """
    found = [read_retrieved(e.folder / CURVES) for e in row.evaluations.values()]
    curves: dict[str, dict[int, list[float]]] = {}
    for direction in DIRECTIONS if found else ():
        common = set.intersection(*(set(curve[direction]) for curve in found))
        curves[direction] = {
            count: [curve[direction][count] for curve in found] for count in sorted(common)
        }
    return curves


def draw_retrieved(path: Path, rows: Sequence[ComparisonRow], title: str) -> Path:
    """Draw the mean precision over retrieved items of every row into the PNG file ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    bits = len({row.row.bits for row in rows}) > 1
    for axes, direction in zip(figure.subplots(1, 2), DIRECTIONS, strict=True):
        for number, row in enumerate(rows):
            curve = mean_precision(row).get(direction)
            if curve:
                name = row_name(row, rows) + (f", {row.row.bits} bits" if bits else "")
                style = ("-", "--", ":", "-.")[number // COLOURS % 4]
                means = [fmean(values) for values in curve.values()]
                axes.plot(list(curve), means, style, color=f"C{number % COLOURS}", label=name)
        axes.set(xlabel="retrieved items", ylabel="precision, %", ylim=(0, 102), xscale="log")
        axes.set_title(ARROWS[direction], fontsize=10)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    figure.suptitle(title)
    with rewriting(path.parent, [path.name]), replaced(path, PNG) as file:
        figure.savefig(file, dpi=120, format="png")
    return path


def draw_grid(
    path: Path, table: Table, places: Mapping[str, tuple[float, float]], names: tuple[str, str]
) -> Path:
    """Draw mAP over two settings, one panel per direction, into the PNG file ``path``.

    Args:
        path: the file.
        table: table with a measured row for every place; the first row with a label counts.
        places: label of the row -> both values.
        names: names of the two settings.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    heights, widths = (sorted({place[side] for place in places.values()}) for side in (0, 1))
    for axes, direction in zip(figure.subplots(1, 2), DIRECTIONS, strict=True):
        values = np.full((len(heights), len(widths)), np.nan)
        for row in reversed([row for row in table.rows if row.kind == "measured"]):
            cell = row.cells.get(f"{direction}.mAP")
            if isinstance(cell, Spread):
                height, width = places[row.heads["method"]]
                values[heights.index(height), widths.index(width)] = cell.mean
        axes.imshow(values, origin="lower", alpha=0.6)
        for (height, width), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(width, height, f"{value:.1f}", ha="center", va="center")
        axes.set_xticks(range(len(widths)), [f"{value:g}" for value in widths])
        axes.set_yticks(range(len(heights)), [f"{value:g}" for value in heights])
        axes.set(xlabel=names[1], ylabel=names[0])
        axes.set_title(f"mAP {ARROWS[direction]}, %", fontsize=10)
    figure.suptitle(table.title)
    with rewriting(path.parent, [path.name]), replaced(path, PNG) as file:
        figure.savefig(file, dpi=120, format="png")
    return path
