"""Confusion of classes as a picture: one square per class of the query and class found."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

NAMED = 64
"""Classes that a picture names one by one."""
LONGEST = 24
"""Characters of a name in a picture."""
NUMBERED = 32
"""Most classes of a picture that writes the percentages into its squares."""


def draw_confusion(axes: "Axes", classes: Sequence[str], share: np.ndarray) -> "AxesImage":
    """Draw ``share`` into ``axes`` and return the picture, for a colour bar.

    Args:
        axes: what to draw into.
        classes: names, in the order of rows and columns.
        share: [classes, classes], percent of the row's items; NaN for a row without items.
    """
    from matplotlib.colors import PowerNorm

    step = -(-len(classes) // NAMED)
    ticks, names = range(0, len(classes), step), [_drawn_name(name) for name in classes[::step]]
    # A root scale shows confusions of a few percent beside a diagonal of nearly 100 %.
    scale = PowerNorm(0.5, 0, 100)
    picture = axes.imshow(share, norm=scale, cmap="Blues", interpolation="nearest")
    # A class name is no formula, even with dollar signs in it.
    axes.set_xticks(ticks, names, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(ticks, names, fontsize=8, parse_math=False)
    if len(classes) <= NUMBERED:
        for (row, column), value in np.ndenumerate(share):
            if value > 0.5:  # an empty cell is easier to read than a 0
                colour = "white" if value > 40 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                          color=colour)  # fmt: skip
    return picture


def _drawn_name(name: str) -> str:
    """Return ``name``, cut to the length that a picture has room for."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
