"""Precision against recall, within each Hamming radius or within each rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .guides import Guide, draw_chance, draw_legend, percent_axis
from .style import LIGHT, Theme, line_style, marker_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall within growing radii or ranks.

    Attributes:
        label: what the line is of: a direction or a method.
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
    for number, curve in enumerate(curves):
        places = marker_places(number, len(curve.at), len(curves))
        label = f"{curve.label} (n = {curve.queries})"
        axes.plot(curve.recall, curve.precision, label=label, markevery=places, zorder=3,
                  **line_style(number, theme))  # fmt: skip
    names = {"radius": "Hamming radius", "rank": "rank"}
    within = " or ".join(names[kind] for kind in sorted({curve.within for curve in curves}))
    axes.set(xlabel=f"recall within each {within}, %", ylabel="precision, %")
    percent_axis(axes, "x", "y")
    draw_legend(axes, loc="best")
    return axes


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
