"""Average precision of each class, both directions, with n, chance and ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .guides import SAME, draw_legend, percent_axis
from .style import LIGHT, Theme, line_style, shown_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 60
"""Classes that the picture shows; of more, the best and the worst. The table has all."""


@dataclass(frozen=True, eq=False)
class ClassPrecision:
    """Mean average precision of the queries of each class, one direction.

    Attributes:
        label: the direction.
        classes: names of the classes [c].
        precision: percent [c]; NaN for a class without a query.
        queries: number of queries [c].
        chance: percent of a random order [c].
        ceiling: percent of a perfect ranking [c].
    """

    label: str
    classes: tuple[str, ...]
    precision: np.ndarray
    queries: np.ndarray
    chance: np.ndarray
    ceiling: np.ndarray


def draw_class_precision(
    axes: "Axes", directions: Sequence[ClassPrecision], theme: Theme = LIGHT
) -> "Axes":
    """Draw one row per class, the best on top: a mark per direction, its chance and its ceiling.

    Args:
        axes: what to draw into; see :func:`class_precision_height`.
        directions: both directions, with the same classes in the same order.
        theme: colours.
    """
    shown = _shown(directions)
    rows = np.arange(len(shown))
    values = np.array([direction.precision[shown] for direction in directions])
    axes.hlines(rows, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=theme.guide,
                linewidth=1, zorder=2)  # fmt: skip
    for number, direction in enumerate(directions):
        style = line_style(number, theme) | {"linestyle": "none", "markersize": 6.5}
        n = int(direction.queries.sum())
        axes.plot(direction.precision[shown], rows, label=f"{direction.label} (n = {n})",
                  zorder=3, **style)  # fmt: skip
    first = "chance, by class"
    for direction in directions:
        axes.plot(direction.chance[shown], rows, "|", color=theme.guide, markersize=8,
                  label=first, zorder=2.5)  # fmt: skip
        first = "_"
    _draw_ceiling(axes, directions, shown, theme)
    axes.set_yticks(rows, [_name(directions, place) for place in shown], parse_math=False)
    axes.set(ylim=(len(shown) - 0.5, -0.5), xlabel="mean average precision, %")
    percent_axis(axes, "x")
    draw_legend(axes, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    return axes


def class_precision_height(classes: int) -> float:
    """Return the height in inches of a picture of so many classes."""
    return 1.7 + 0.21 * max(3, min(classes, MOST_CLASSES))


def class_precision_rows(directions: Sequence[ClassPrecision]) -> list[dict[str, Any]]:
    """Return all classes of both directions as rows of a table, in percent."""
    return [
        {
            "line": direction.label,
            "class": name,
            "average_precision": float(direction.precision[place]),
            "queries": int(direction.queries[place]),
            "chance": float(direction.chance[place]),
            "ceiling": float(direction.ceiling[place]),
        }
        for direction in directions
        for place, name in enumerate(direction.classes)
    ]


def _shown(directions: Sequence[ClassPrecision]) -> np.ndarray:
    """Return the places of the classes that are shown, best first; those without a query go."""
    asked = np.sum([direction.queries for direction in directions], axis=0) > 0
    known = np.flatnonzero(asked)
    means = np.nanmean([direction.precision[known] for direction in directions], axis=0)
    order: np.ndarray = known[np.argsort(-means, kind="stable")]
    if len(order) <= MOST_CLASSES:
        return order
    half = MOST_CLASSES // 2
    return np.concatenate([order[:half], order[-half:]])


def _name(directions: Sequence[ClassPrecision], place: int) -> str:
    """Return the name of a class with the queries of each direction."""
    counts = [int(direction.queries[place]) for direction in directions]
    n = str(counts[0]) if len(set(counts)) == 1 else " + ".join(map(str, counts))
    return f"{shown_text(directions[0].classes[place])}, n = {n}"


def _draw_ceiling(
    axes: "Axes", directions: Sequence[ClassPrecision], shown: np.ndarray, theme: Theme
) -> None:
    label = "ceiling: a perfect ranking"
    for direction in directions:
        ceiling = direction.ceiling[shown]
        low = np.flatnonzero(ceiling < 100 - SAME)
        if len(low):
            axes.plot(ceiling[low], low, marker="4", linestyle="none", color=theme.guide,
                      markersize=8, label=label, zorder=2.5)  # fmt: skip
            label = "_"
