"""Precision and recall over the number of retrieved items, one line per direction or method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .guides import Guide, draw_ceiling, draw_chance, draw_legend, line_label, percent_axis
from .style import LIGHT, Theme, line_style, marker_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINEAR = 20
"""Retrieved items up to which the axis is linear; of more it is logarithmic."""


@dataclass(frozen=True, eq=False)
class RetrievedCurve:
    """Mean precision, or mean recall, among the first n items.

    Attributes:
        label: name of the line: a direction or a method.
        retrieved: numbers of retrieved items [p].
        values: percent [p], mean over the queries, and over the seeds where there are several.
        queries: number of queries, per seed.
        chance: percent [p] of a random order.
        ceiling: percent [p] of a perfect ranking: all relevant items first.
        deviation: standard deviation over the seeds, percent [p]; None for one seed.
        seeds: number of seeds.
    """

    label: str
    retrieved: np.ndarray
    values: np.ndarray
    queries: int
    chance: np.ndarray
    ceiling: np.ndarray
    deviation: np.ndarray | None = None
    seeds: int = 1


def draw_precision(
    axes: "Axes", curves: Sequence[RetrievedCurve], theme: Theme = LIGHT, *, legend: bool = True
) -> "Axes":
    """Draw mean precision over the number of retrieved items, with chance and ceiling.

    Args:
        axes: what to draw into.
        curves: the lines.
        theme: colours.
        legend: whether the legend stands in the panel.
    """
    return _draw(axes, curves, "precision, %", theme, legend)


def draw_recall(
    axes: "Axes", curves: Sequence[RetrievedCurve], theme: Theme = LIGHT, *, legend: bool = True
) -> "Axes":
    """Draw mean recall over the number of retrieved items, with chance and ceiling.

    Args:
        axes: what to draw into.
        curves: the lines.
        theme: colours.
        legend: whether the legend stands in the panel.
    """
    return _draw(axes, curves, "recall, %", theme, legend)


def retrieved_rows(curves: Sequence[RetrievedCurve], name: str) -> list[dict[str, Any]]:
    """Return the points of ``curves`` as rows of a table, in percent; ``name`` is the column."""
    return [
        {
            "line": curve.label,
            "retrieved": int(curve.retrieved[point]),
            name: float(curve.values[point]),
            "deviation": None if curve.deviation is None else float(curve.deviation[point]),
            "chance": float(curve.chance[point]),
            "ceiling": float(curve.ceiling[point]),
            "queries": curve.queries,
            "seeds": curve.seeds,
        }
        for curve in curves
        for point in range(len(curve.retrieved))
    ]


def _draw(
    axes: "Axes", curves: Sequence[RetrievedCurve], name: str, theme: Theme, legend: bool
) -> "Axes":
    draw_ceiling(axes, [Guide(curve.retrieved, curve.ceiling) for curve in curves], theme)
    draw_chance(axes, [Guide(curve.retrieved, curve.chance) for curve in curves], theme)
    for number, curve in enumerate(curves):
        style = line_style(number, theme)
        places = marker_places(number, len(curve.retrieved), len(curves))
        label = line_label(f"{curve.label} (n = {curve.queries})")
        axes.plot(curve.retrieved, curve.values, label=label, markevery=places, zorder=3, **style)
        if curve.deviation is not None:
            low, high = curve.values - curve.deviation, curve.values + curve.deviation
            axes.fill_between(curve.retrieved, low, high, color=style["color"], alpha=0.18,
                              linewidth=0, zorder=2)  # fmt: skip
    axes.set(xlabel="retrieved items, nearest first", ylabel=name)
    if max(int(curve.retrieved[-1]) for curve in curves) > LINEAR:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.xaxis.set_minor_formatter("")
    percent_axis(axes, "y")
    if legend:
        draw_legend(axes, loc="best")
    return axes
