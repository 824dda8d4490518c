"""mAP over one setting as curves, or over two settings as a table of shades."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ivr.pipeline.runtime.words import counted

from .guides import draw_legend, line_label
from .style import LIGHT, Theme, line_style, shown_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


@dataclass(frozen=True, eq=False)
class SweepCurve:
    """A metric at each value of one setting.

    Attributes:
        label: name of the line: a direction, or a method and a direction.
        values: values of the setting [v].
        means: percent [v], mean over the seeds; NaN where nothing was measured.
        deviations: standard deviation over the seeds, percent [v]; NaN for one seed.
        seeds: number of seeds.
        chance: percent of a random order; None if it is unknown.
    """

    label: str
    values: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    seeds: int
    chance: float | None


@dataclass(frozen=True, eq=False)
class SweepTable:
    """A metric at each pair of values of two settings.

    Attributes:
        label: the direction.
        names: names of both settings, of the rows and of the columns.
        rows: values of the first setting [r].
        columns: values of the second setting [c].
        means: percent [r, c], mean over the seeds; NaN where nothing was measured.
        deviations: standard deviation over the seeds, percent [r, c]; NaN for one seed.
        chance: percent of a random order; None if it is unknown.
    """

    label: str
    names: tuple[str, str]
    rows: np.ndarray
    columns: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    chance: float | None


def draw_sweep(
    axes: "Axes", curves: Sequence[SweepCurve], setting: str, metric: str, theme: Theme = LIGHT
) -> "Axes":
    """Draw ``metric`` over ``setting``, with the deviation over the seeds and chance.

    The horizontal axis is logarithmic if all values are positive and span a factor of ten.

    Args:
        axes: what to draw into.
        curves: the lines.
        setting: name of the setting.
        metric: name of the metric, with its unit.
        theme: colours.
    """
    for number, curve in enumerate(curves):
        style = line_style(number, theme)
        error = None if np.isnan(curve.deviations).all() else curve.deviations
        label = line_label(f"{curve.label} ({counted(curve.seeds, 'seed')})")
        axes.errorbar(curve.values, curve.means, yerr=error, capsize=3, elinewidth=1, label=label,
                      **style)  # fmt: skip
    chances = sorted({round(curve.chance, 1) for curve in curves if curve.chance is not None})
    for number, value in enumerate(chances):
        axes.axhline(value, color=theme.guide, linestyle=(0, (1, 2)), linewidth=1.4,
                     label="_" if number else f"chance ({value:.1f} %)")  # fmt: skip
    every = np.concatenate([curve.values for curve in curves])
    if every.min() > 0 and every.max() >= 10 * every.min():
        axes.set_xscale("log")
        axes.set_xticks(np.unique(every), [f"{value:g}" for value in np.unique(every)])
        axes.minorticks_off()
    axes.set_xlabel(shown_text(setting, 60), parse_math=False)
    axes.set(ylabel=metric, ylim=(0, None))
    axes.grid(True)
    axes.set_axisbelow(True)
    draw_legend(axes, loc="best")
    return axes


def draw_sweep_table(axes: "Axes", table: SweepTable, theme: Theme = LIGHT) -> "AxesImage":
    """Draw the means as shades with their numbers, and return the image, for a colour bar.

    Args:
        axes: what to draw into.
        table: the data.
        theme: colours.
    """
    image = axes.imshow(table.means, origin="lower", cmap="cividis", aspect="auto")
    middle = np.nanmean([np.nanmin(table.means), np.nanmax(table.means)])
    for (row, column), value in np.ndenumerate(table.means):
        if np.isfinite(value):
            colour = "#000000" if value > middle else "#ffffff"
            deviation = table.deviations[row, column]
            spread = f"\n± {deviation:.1f}" if np.isfinite(deviation) else ""
            axes.text(column, row, f"{value:.1f}{spread}", ha="center", va="center",
                      fontsize=8, color=colour)  # fmt: skip
    axes.set_xticks(range(len(table.columns)), [f"{value:g}" for value in table.columns])
    axes.set_yticks(range(len(table.rows)), [f"{value:g}" for value in table.rows])
    axes.set_xlabel(shown_text(table.names[1], 60), parse_math=False)
    axes.set_ylabel(shown_text(table.names[0], 60), parse_math=False)
    chance = "" if table.chance is None else f" (chance {table.chance:.1f} %)"
    axes.set_title(f"{table.label}{chance}", loc="left", color=theme.ink)
    return image


def sweep_rows(curves: Sequence[SweepCurve], setting: str) -> list[dict[str, Any]]:
    """Return one row per line and value of the setting, in percent."""
    return [
        {
            "line": curve.label,
            setting: float(curve.values[place]),
            "mean": float(curve.means[place]),
            "deviation": float(curve.deviations[place]),
            "seeds": curve.seeds,
            "chance": curve.chance,
        }
        for curve in curves
        for place in range(len(curve.values))
    ]


def sweep_table_rows(tables: Sequence[SweepTable]) -> list[dict[str, Any]]:
    """Return one row per direction and pair of values, in percent."""
    return [
        {
            "line": table.label,
            table.names[0]: float(table.rows[row]),
            table.names[1]: float(table.columns[column]),
            "mean": float(value),
            "deviation": float(table.deviations[row, column]),
            "chance": table.chance,
        }
        for table in tables
        for (row, column), value in np.ndenumerate(table.means)
    ]
