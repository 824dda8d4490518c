"""Pictures of a comparison: precision over retrieved items of every method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ivr.pipeline.evaluation.curves import read_curves
from ivr.pipeline.evaluation.picture_subject import subject_of_methods
from ivr.pipeline.evaluation.protocol import DIRECTIONS
from ivr.pipeline.pictures.captions import ARROWS, Subject, caption, put_title
from ivr.pipeline.pictures.captions import title as title_of
from ivr.pipeline.pictures.guides import outside_legend
from ivr.pipeline.pictures.picture_files import FORMATS, Picture, write_picture
from ivr.pipeline.pictures.retrieved_curves import RetrievedCurve, draw_precision, retrieved_rows
from ivr.pipeline.pictures.style import Theme, new_figure
from ivr.pipeline.runs.run_folder import CURVES
from ivr.pipeline.runtime.digests import rewriting

from .evaluated_runs import ComparisonRow
from .mean_curves import mean_precision_curve
from .row_heads import row_name

if TYPE_CHECKING:
    from ivr.pipeline.pictures.style import Figure

PRECISION = "Precision over retrieved items"


def write_comparison_picture(folder: Path, picture: Picture) -> list[Path]:
    """Write ``picture`` into ``folder`` in every format, with its data; return the files."""
    files = [folder / f"{picture.name}.{kind}" for kind in (*FORMATS, "csv")]
    with rewriting(folder, [path.name for path in files]):
        write_picture(folder, picture, FORMATS)
    return files


def comparison_subject(rows: Sequence[ComparisonRow]) -> Subject:
    """Return what the pictures of ``rows``, of which at least one is evaluated, are about."""
    found = [evaluation.results for row in rows for evaluation in row.evaluations.values()]
    bits = {row.row.bits for row in rows}
    seeds = {seed for row in rows for seed in row.evaluations}
    names = dict.fromkeys(row_name(row, rows) for row in rows)
    return subject_of_methods(found[0], tuple(names), bits, seeds)


def precision_curves(rows: Sequence[ComparisonRow], direction: str) -> list[RetrievedCurve]:
    """Return the mean precision over the seeds of every evaluated row, in one direction."""
    several = len({row.row.bits for row in rows}) > 1
    return [
        mean_precision_curve(
            row_name(row, rows) + (f", {row.row.bits} bits" if several else ""),
            [(e.results, read_curves(e.folder / CURVES)) for e in row.evaluations.values()],
            direction,
        )
        for row in rows
        if row.evaluations
    ]


def precision_picture(name: str, rows: Sequence[ComparisonRow]) -> Picture:
    """Return precision over retrieved items of every row, one panel per direction.

    Args:
        name: stem of the files.
        rows: rows of a comparison, of which at least one is evaluated.
    """
    curves = {direction: precision_curves(rows, direction) for direction in DIRECTIONS}
    return methods_picture(name, comparison_subject(rows), curves)


def methods_picture(
    name: str, subject: Subject, curves: Mapping[str, Sequence[RetrievedCurve]]
) -> Picture:
    """Return precision over retrieved items of several methods, one panel per direction.

    Args:
        name: stem of the files.
        subject: what is compared.
        curves: one line per method, by direction.
    """

    def draw(theme: Theme) -> "Figure":
        lines = max(map(len, curves.values()))
        figure = new_figure(10.4, max(4.2, 1.6 + 0.2 * lines))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (direction, found) in zip(panels, curves.items(), strict=True):
            draw_precision(axes, found, theme, legend=False)
            axes.set_title(ARROWS[direction], loc="left")
            axes.label_outer()
        outside_legend(figure, panels[-1])
        put_title(figure, title_of(PRECISION, subject))
        return figure

    more = (
        "Precision in percent, mean over the queries and the seeds; bands: standard deviation over "
        "the seeds",
        "Dotted: chance, a random order",
        "Dash-dotted, grey above: the ceiling, a ranking with every relevant item first",
    )
    rows_of = [
        {"direction": direction} | row
        for direction, found in curves.items()
        for row in retrieved_rows(found, "precision")
    ]
    title = title_of(PRECISION, subject)
    return Picture(name, title, caption(PRECISION, subject, *more), rows_of, draw)
