"""Confusion of classes: one square per class of the query and class found, with its ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import LIGHT, Theme, shown_text, text_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

NAMED = 64
"""Classes that a picture names one by one."""
NUMBERED = 32
"""Most classes of a picture that writes the percentages into its squares."""


@dataclass(frozen=True, eq=False)
class ClassConfusion:
    """The classes that the queries of each class find, or that items are taken for.

    Attributes:
        label: the direction, or the modality.
        classes: names of the classes, in the order of rows and columns.
        share: [classes, classes], percent of the row; NaN for a row without queries.
        queries: number of queries [classes].
        ceiling: greatest possible percentage on the diagonal [classes]; None if that is 100.
        chance: percentage of each column in a random order [classes]; None if it is unknown.
        nearest: number of first items that count; None for a classifier.
    """

    label: str
    classes: tuple[str, ...]
    share: np.ndarray
    queries: np.ndarray
    ceiling: np.ndarray | None
    chance: np.ndarray | None
    nearest: int | None


def draw_confusion(
    axes: "Axes", confusion: ClassConfusion, theme: Theme = LIGHT, *, names: bool = True
) -> "AxesImage":
    """Draw ``confusion`` and return the image, for a colour bar.

    A column on the right shows the ceiling of each row if one is below 100 %, a row below the
    chance of each column. On a light background the darkest shade is the greatest ceiling, so that
    a perfect ranking has a dark diagonal.

    Args:
        axes: what to draw into.
        confusion: the data.
        theme: colours.
        names: whether the rows are named, left out where another panel on the left names them.
    """
    from matplotlib.colors import PowerNorm

    classes = confusion.classes
    most = _most(confusion)
    # A root scale shows confusions of a few percent beside a diagonal of nearly 100 %.
    scale = PowerNorm(0.5, 0, most)
    shown, with_ceiling, has_chance = _with_edges(confusion)
    image = axes.imshow(shown, norm=scale, cmap=theme.shades, interpolation="nearest")
    step = -(-len(classes) // NAMED)
    ticks = [*range(0, len(classes), step)]
    columns = [shown_text(name) for name in classes[::step]]
    rows = [
        f"{shown_text(name)}, n = {int(n)}"
        for name, n in zip(classes[::step], confusion.queries[::step], strict=True)
    ]
    edge = len(classes) + 0.0
    axes.set_xticks([*ticks, edge] if with_ceiling else ticks,
                    [*columns, "ceiling"] if with_ceiling else columns,
                    rotation=90, parse_math=False)  # fmt: skip
    axes.set_yticks([*ticks, edge] if has_chance else ticks,
                    ([*rows, "chance"] if has_chance else rows) if names else [],
                    parse_math=False)  # fmt: skip
    for place in np.flatnonzero([with_ceiling, has_chance]):
        line = axes.axvline if place == 0 else axes.axhline
        line(len(classes) - 0.5, color=theme.ink, linewidth=1.2)
    if len(classes) <= NUMBERED:
        _write_numbers(axes, shown, image)
    for spine in axes.spines.values():
        spine.set_visible(True)
    return image


def draw_confusions(
    panels: "Sequence[Axes]", confusions: Sequence[ClassConfusion], theme: Theme = LIGHT
) -> None:
    """Draw ``confusions`` side by side with one colour bar.

    Args:
        panels: one axes per confusion; see :func:`confusions_size`.
        confusions: confusions of the same classes.
        theme: colours.
    """
    images = []
    for axes, confusion in zip(panels, confusions, strict=True):
        images.append(draw_confusion(axes, confusion, theme, names=axes is panels[0]))
        found = "taken for" if confusion.nearest is None else "class found"
        axes.set(xlabel=found)
        first = "" if confusion.nearest is None else f", among the first {confusion.nearest}"
        axes.set_title(f"{confusion.label}{first}, %", loc="left")
    panels[0].set_ylabel("class of the query" if confusions[0].nearest else "class")
    most = _most(confusions[0])
    ticks = [*(tick for tick in (0, 1, 5, 20, 50, 100) if tick < 0.9 * most), most]
    sheet = panels[0].figure
    bar = sheet.colorbar(images[0], ax=list(panels), shrink=0.6, aspect=30, ticks=ticks)
    bar.set_label("percent" if most > 99.95 else f"percent; at most {most:.0f} can be reached")
    bar.ax.set_yticklabels([f"{tick:.0f}" for tick in ticks])


def confusions_size(confusions: Sequence[ClassConfusion]) -> tuple[float, float]:
    """Return width and height in inches of a picture of ``confusions``."""
    size = 0.5 + 0.21 * max(13, min(NAMED, len(confusions[0].classes) + 1))
    return 3.2 + size * len(confusions), size + 2.4


def confusion_rows(confusions: Sequence[ClassConfusion]) -> list[dict[str, Any]]:
    """Return one row per class of the query and class found, in percent."""
    return [
        {
            "line": confusion.label,
            "class": name,
            "found": other,
            "share": float(confusion.share[row, column]),
            "queries": int(confusion.queries[row]),
            "ceiling": None if confusion.ceiling is None else float(confusion.ceiling[row]),
            "chance": None if confusion.chance is None else float(confusion.chance[column]),
        }
        for confusion in confusions
        for row, name in enumerate(confusion.classes)
        for column, other in enumerate(confusion.classes)
    ]


def _most(confusion: ClassConfusion) -> float:
    """Return the greatest percentage that a square of the diagonal can have."""
    if confusion.ceiling is None or not len(confusion.ceiling):
        return 100.0
    return max(1.0, float(np.nanmax(confusion.ceiling)))


def has_ceiling(confusion: ClassConfusion) -> bool:
    """Return whether a picture of ``confusion`` has a column of ceilings: some are below 100 %."""
    return confusion.ceiling is not None and bool(np.nanmin(confusion.ceiling) < 99.95)


def _with_edges(confusion: ClassConfusion) -> tuple[np.ndarray, bool, bool]:
    """Return the shares with a column of ceilings below 100 % and a row of chance."""
    ceiling, chance = confusion.ceiling, confusion.chance
    table = confusion.share
    low = has_ceiling(confusion)
    if ceiling is not None and low:
        table = np.column_stack([table, ceiling])
    if chance is not None:
        row = np.append(chance, np.nan) if low else chance
        table = np.vstack([table, row])
    return table, low, chance is not None


def _write_numbers(axes: "Axes", shown: np.ndarray, image: "AxesImage") -> None:
    for (row, column), value in np.ndenumerate(shown):
        if value > 0.5:  # an empty cell is easier to read than a 0
            red, green, blue, _ = image.to_rgba(value)
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                      color=text_colour(red, green, blue))  # fmt: skip
