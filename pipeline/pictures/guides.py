"""What every picture of a curve shares: chance, ceiling, legend and grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import LIGHT, Theme, shown_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 102
"""Upper end of an axis in percent, so that a line at 100 % is seen."""
SAME = 0.05
"""Percent by which two lines of chance or ceiling must differ to be drawn apart."""
HAIR_SPACE = "\u200a"
LEGEND_NAME = 48
"""Characters of a name in a legend."""


@dataclass(frozen=True, eq=False)
class Guide:
    """A line that a result is compared with: chance or ceiling.

    Attributes:
        at: places on the horizontal axis [p].
        values: percent [p].
    """

    at: np.ndarray
    values: np.ndarray


def draw_chance(axes: "Axes", guides: Sequence[Guide], theme: Theme = LIGHT) -> None:
    """Draw the chance of each line, one line for those that are equal."""
    for number, guide in enumerate(_different(guides)):
        label = "_" if number else f"chance{_percent(guide.values)}"
        axes.plot(guide.at, guide.values, color=theme.guide, linestyle=(0, (1, 2)),
                  linewidth=1.4, label=label, zorder=1.5)  # fmt: skip


def draw_ceiling(axes: "Axes", guides: Sequence[Guide], theme: Theme = LIGHT) -> None:
    """Draw the ceilings below 100 %, and shade what no ranking reaches."""
    lower = [guide for guide in guides if guide.values.min() < 100 - SAME]
    for number, guide in enumerate(_different(lower)):
        axes.plot(guide.at, guide.values, color=theme.guide, linestyle=(0, (7, 2, 1, 2)),
                  linewidth=1.2, label="_" if number else "ceiling: a perfect ranking",
                  zorder=1.4)  # fmt: skip
    if lower:
        highest = max(lower, key=lambda guide: float(guide.values.mean()))
        if len(lower) == len(guides):
            axes.fill_between(highest.at, highest.values, TOP, color=theme.out_of_reach,
                              linewidth=0, zorder=0.5)  # fmt: skip


def draw_legend(axes: "Axes", **options: Any) -> None:
    """Draw the legend of every line of ``axes`` that has a label; names are no formulas."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    # Lines of the legend are long enough to show a whole dash pattern.
    legend = axes.legend(handles, _shown(labels), handlelength=3.6, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def line_label(name: str) -> str:
    """Return ``name`` as the label of a line: Matplotlib leaves out those that begin with _."""
    return f"{HAIR_SPACE}{name}" if name.startswith("_") else name


def _shown(labels: Sequence[str]) -> list[str]:
    return [shown_text(label.removeprefix(HAIR_SPACE), LEGEND_NAME) for label in labels]


def outside_legend(figure: "Figure", axes: "Axes") -> None:
    """Draw the legend of the lines of ``axes`` to the right of all panels."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, _shown(labels), handlelength=3.6, loc="outside right center")
    for text in legend.get_texts():
        text.set_parse_math(False)


def percent_axis(axes: "Axes", *sides: str) -> None:
    """Give the axes in ``sides``, ``x`` or ``y``, the range of percentages, and draw a grid."""
    for side in sides:
        axes.set(**{f"{side}lim": (0, TOP), f"{side}ticks": range(0, 101, 20)})
    axes.grid(True)
    axes.set_axisbelow(True)


def _different(guides: Sequence[Guide]) -> list[Guide]:
    kept: list[Guide] = []
    for guide in guides:
        if not any(_equal(guide, other) for other in kept):
            kept.append(guide)
    return kept


def _equal(one: Guide, other: Guide) -> bool:
    if len(one.at) != len(other.at) or not np.array_equal(one.at, other.at):
        return bool(
            len(np.unique(one.values)) == 1 == len(np.unique(other.values))
            and abs(one.values[0] - other.values[0]) < SAME
        )
    return bool(np.abs(one.values - other.values).max() < SAME)


def _percent(values: np.ndarray) -> str:
    return f" ({values[0]:.1f} %)" if len(np.unique(values)) == 1 else ""
