"""Precision against recall, within each Hamming radius or within each rank."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .guides import SAME, Guide, draw_chance, draw_legend, line_label, percent_axis
from .style import LIGHT, Theme, line_style, marker_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall within growing radii or ranks.

    Attributes:
        label: name of the line: a direction or a method.
        within: ``radius`` for codes, ``rank`` for outputs.
        at: radii or ranks [p].
        precision: percent [p].
        recall: percent [p].
        queries: number of queries.
        chance: precision of a random order, percent.
    """

    label: str
    within: Literal["radius", "rank"]
    at: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    queries: int
    chance: float


def draw_precision_recall(
    axes: "Axes", curves: Sequence[PrecisionRecallCurve], theme: Theme = LIGHT
) -> "Axes":
    """Draw precision against recall, with chance; 100 % at 100 % can always be reached.

    Args:
        axes: what to draw into.
        curves: the lines.
        theme: colours.
    """
    ends = np.array([0.0, 100.0])
    draw_chance(axes, [Guide(ends, np.full(2, curve.chance)) for curve in curves], theme)
    shown = distinct_curves(curves)
    for number, curve in enumerate(shown):
        places = marker_places(number, len(curve.at), len(shown))
        label = line_label(f"{curve.label} (n = {curve.queries})")
        axes.plot(curve.recall, curve.precision, label=label, markevery=places, zorder=3,
                  **line_style(number, theme))  # fmt: skip
    names = {"radius": "Hamming radius", "rank": "rank"}
    within = " or ".join(names[kind] for kind in sorted({curve.within for curve in curves}))
    axes.set(xlabel=f"recall within each {within} (small numbers), %", ylabel="precision, %")
    percent_axis(axes, "x", "y")
    _number_points(axes, curves[0], theme)
    draw_legend(axes, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return axes


def distinct_curves(curves: Sequence[PrecisionRecallCurve]) -> list[PrecisionRecallCurve]:
    """Return ``curves``, or one for all where all have the same points and queries."""
    first = curves[0]
    same = all(_coincide(first, curve) for curve in curves[1:])
    if len(curves) == 1 or not same or len({curve.queries for curve in curves}) > 1:
        return list(curves)
    return [replace(first, label=" and ".join(curve.label for curve in curves))]


def _coincide(one: PrecisionRecallCurve, other: PrecisionRecallCurve) -> bool:
    return bool(
        np.array_equal(one.at, other.at)
        and np.allclose(one.precision, other.precision, atol=SAME)
        and np.allclose(one.recall, other.recall, atol=SAME)
    )


def _number_points(axes: "Axes", curve: PrecisionRecallCurve, theme: Theme) -> None:
    """Write the radius or rank beside the points of ``curve`` that have a marker."""
    last = None
    for point in marker_places(0, len(curve.at)):
        place = np.array([curve.recall[point], curve.precision[point]])
        if last is None or np.abs(place - last).max() > 6:  # numbers do not lie on each other
            axes.annotate(
                f"{curve.at[point]}",
                (place[0], place[1]),
                xytext=(4, 5),
                textcoords="offset points",
                fontsize=7,
                color=theme.guide,
            )
            last = place


def precision_recall_rows(curves: Sequence[PrecisionRecallCurve]) -> list[dict[str, Any]]:
    """Return the points of ``curves`` as rows of a table, in percent."""
    return [
        {
            "line": curve.label,
            "within": curve.within,
            "at": int(curve.at[point]),
            "precision": float(curve.precision[point]),
            "recall": float(curve.recall[point]),
            "chance": curve.chance,
            "queries": curve.queries,
        }
        for curve in curves
        for point in range(len(curve.at))
    ]
