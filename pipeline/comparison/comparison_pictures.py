"""What papers draw: precision over retrieved items of every method, and mAP over a grid."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from ivr.features.atomic_files import replaced
from ivr.pipeline.evaluation.curves import read_retrieved
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runs.run_folder import CURVES
from ivr.pipeline.runtime.digests import record_digests

from .compare import ComparisonRow
from .comparison_table import ARROWS, Spread, Table, line_name

COLOURS = 10


def write_retrieved(path: Path, lines: Sequence[ComparisonRow]) -> Path:
    """Write mean precision over retrieved items of every line to the CSV file ``path``."""
    with replaced(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["method", "bits", "direction", "retrieved", "precision", "deviation", "seeds"]
        )
        for line in lines:
            for direction, curve in mean_precision(line).items():
                for count, values in curve.items():
                    deviation = f"{stdev(values):.4f}" if len(values) > 1 else ""
                    writer.writerow(
                        [
                            line_name(line, lines),
                            line.row.bits,
                            direction,
                            count,
                            f"{fmean(values):.4f}",
                            deviation,
                            len(values),
                        ]
                    )
    record_digests(path.parent, [path.name])
    return path


def mean_precision(line: ComparisonRow) -> dict[str, dict[int, list[float]]]:
    """Return by direction the precision of each seed at numbers of retrieved items, percent.

    At numbers that all seeds have: galleries of a few items more or less end elsewhere.
    """
    found = [read_retrieved(e.folder / CURVES) for e in line.evaluations.values()]
    curves: dict[str, dict[int, list[float]]] = {}
    for direction in DIRECTIONS if found else ():
        common = set.intersection(*(set(curve[direction]) for curve in found))
        curves[direction] = {
            count: [curve[direction][count] for curve in found] for count in sorted(common)
        }
    return curves


def draw_retrieved(path: Path, lines: Sequence[ComparisonRow], title: str) -> Path:
    """Draw the mean precision over retrieved items of every line into the PNG file ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    bits = len({line.row.bits for line in lines}) > 1
    for axes, direction in zip(figure.subplots(1, 2), DIRECTIONS, strict=True):
        for number, line in enumerate(lines):
            curve = mean_precision(line).get(direction)
            if curve:
                name = line_name(line, lines) + (f", {line.row.bits} bits" if bits else "")
                style = ("-", "--", ":", "-.")[number // COLOURS % 4]
                means = [fmean(values) for values in curve.values()]
                axes.plot(list(curve), means, style, color=f"C{number % COLOURS}", label=name)
        axes.set(xlabel="retrieved items", ylabel="precision, %", ylim=(0, 102), xscale="log")
        axes.set_title(ARROWS[direction], fontsize=10)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    figure.suptitle(title)
    with replaced(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
    record_digests(path.parent, [path.name])
    return path


def draw_grid(
    path: Path, table: Table, places: Mapping[str, tuple[float, float]], names: tuple[str, str]
) -> Path:
    """Draw mAP over two settings, a panel a direction, into the PNG file ``path``.

    Args:
        path: to write.
        table: with a measured line for every place; of several with one label the first counts.
        places: both values by label of the line.
        names: of the two settings.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    rows, columns = (sorted({place[side] for place in places.values()}) for side in (0, 1))
    for axes, direction in zip(figure.subplots(1, 2), DIRECTIONS, strict=True):
        values = np.full((len(rows), len(columns)), np.nan)
        for line in reversed([line for line in table.lines if line.kind == "measured"]):
            cell = line.cells.get(f"{direction}.mAP")
            if isinstance(cell, Spread):
                row, column = places[line.heads["method"]]
                values[rows.index(row), columns.index(column)] = cell.mean
        axes.imshow(values, origin="lower", alpha=0.6)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(column, row, f"{value:.1f}", ha="center", va="center")
        axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
        axes.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
        axes.set(xlabel=names[1], ylabel=names[0])
        axes.set_title(f"mAP {ARROWS[direction]}, %", fontsize=10)
    figure.suptitle(table.title)
    with replaced(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
    record_digests(path.parent, [path.name])
    return path
