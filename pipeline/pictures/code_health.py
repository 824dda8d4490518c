"""Health of codes: distances of relevant and other pairs, balance and correlation of bits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .guides import draw_legend
from .style import LIGHT, Theme, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


@dataclass(frozen=True, eq=False)
class PairDistances:
    """Hamming distances of pairs of query and item, one direction.

    Attributes:
        label: the direction.
        relevant: percent of the relevant pairs at each distance [bits + 1].
        other: percent of the other pairs at each distance [bits + 1].
        relevant_pairs: number of relevant pairs.
        other_pairs: number of other pairs.
        overlap: percent that both distributions share; None if one of them is empty.
    """

    label: str
    relevant: np.ndarray
    other: np.ndarray
    relevant_pairs: int
    other_pairs: int
    overlap: float | None


@dataclass(frozen=True, eq=False)
class BitBalance:
    """How often each bit is +1, one modality.

    Attributes:
        label: images or voices.
        positive: percent of the items whose bit is +1 [bits].
        items: number of items.
        dead: number of bits that are equal in all items.
    """

    label: str
    positive: np.ndarray
    items: int
    dead: int


def draw_distances(axes: "Axes", distances: PairDistances, theme: Theme = LIGHT) -> "Axes":
    """Draw the distances of relevant pairs and of other pairs, and the chance distance.

    Args:
        axes: what to draw into.
        distances: one direction.
        theme: colours.
    """
    edges = np.arange(len(distances.relevant) + 1) - 0.5
    bits = len(distances.relevant) - 1
    for number, (name, shares, pairs) in enumerate(
        (
            ("relevant", distances.relevant, distances.relevant_pairs),
            ("other", distances.other, distances.other_pairs),
        )
    ):
        style = line_style(number, theme)
        line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.6}
        axes.stairs(shares, edges, fill=True, color=style["color"], alpha=0.25,
                    hatch=("", "////")[number])  # fmt: skip
        axes.stairs(shares, edges, label=f"{name} pairs (n = {pairs:,})".replace(",", " "), **line)
    axes.axvline(bits / 2, color=theme.guide, linestyle=(0, (1, 2)), linewidth=1.4,
                 label="chance: half of the bits differ")  # fmt: skip
    overlap = "" if distances.overlap is None else f", overlap {distances.overlap:.1f} %"
    axes.set(xlabel=f"Hamming distance, of {bits} bits", ylabel="pairs of a kind, %",
             xlim=(-1, bits + 1), ylim=(0, None))  # fmt: skip
    axes.set_title(f"{distances.label}{overlap}", loc="left")
    axes.grid(True)
    axes.set_axisbelow(True)
    draw_legend(axes, loc="best")
    return axes


def distinct_distances(directions: Sequence[PairDistances]) -> list[PairDistances]:
    """Return ``directions``, or one for all where all have the same pairs."""
    first = directions[0]
    if len(directions) > 1 and all(
        np.array_equal(first.relevant, other.relevant) and np.array_equal(first.other, other.other)
        for other in directions[1:]
    ):
        return [replace(first, label="both directions: the same pairs")]
    return list(directions)


def draw_bit_balance(axes: "Axes", sides: Sequence[BitBalance], theme: Theme = LIGHT) -> "Axes":
    """Draw how often each bit is +1, the even share of 50 %, and its 95 % range by chance.

    Args:
        axes: what to draw into.
        sides: images and voices.
        theme: colours.
    """
    fewest = min(side.items for side in sides)
    spread = 1.96 * 50 / np.sqrt(max(1, fewest))
    axes.axhspan(50 - spread, 50 + spread, color=theme.out_of_reach, linewidth=0, zorder=0.5)
    axes.axhline(50, color=theme.guide, linestyle=(0, (1, 2)), linewidth=1.4,
                 label="balanced (grey: 95 % of fair coins)")  # fmt: skip
    for number, side in enumerate(sides):
        style = line_style(number, theme) | {"linestyle": "none", "markersize": 4.5}
        label = f"{side.label} (n = {side.items}), {side.dead} dead"
        axes.plot(side.positive, label=label, zorder=3, **style)
    axes.set(xlabel="bit", ylabel="items whose bit is +1, %", ylim=(-4, 104))
    axes.grid(True)
    axes.set_axisbelow(True)
    draw_legend(axes, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=1)
    return axes


def draw_bit_correlation(
    axes: "Axes", images: np.ndarray, voices: np.ndarray, theme: Theme = LIGHT
) -> "AxesImage":
    """Draw both halves of one square: images above the diagonal, voices below; return the image.

    Args:
        axes: what to draw into.
        images: correlation of the bits of images [bits, bits], -1 to 1.
        voices: correlation of the bits of voices [bits, bits], -1 to 1.
        theme: colours.
    """
    table = np.triu(np.abs(images), 1) + np.tril(np.abs(voices), -1)
    np.fill_diagonal(table, np.nan)
    image = axes.imshow(table, vmin=0, vmax=1, cmap="cividis", interpolation="nearest")
    axes.set(xlabel="bit", ylabel="bit")
    axes.set_title("images above, voices below the diagonal", loc="left", color=theme.ink)
    return image


def distance_rows(directions: Sequence[PairDistances]) -> list[dict[str, Any]]:
    """Return one row per direction and distance, in percent of the pairs of a kind."""
    return [
        {
            "line": direction.label,
            "distance": distance,
            "relevant": float(direction.relevant[distance]),
            "other": float(direction.other[distance]),
            "relevant_pairs": direction.relevant_pairs,
            "other_pairs": direction.other_pairs,
        }
        for direction in directions
        for distance in range(len(direction.relevant))
    ]


def balance_rows(sides: Sequence[BitBalance]) -> list[dict[str, Any]]:
    """Return one row per modality and bit, in percent."""
    return [
        {"line": side.label, "bit": bit, "positive": float(value), "items": side.items}
        for side in sides
        for bit, value in enumerate(side.positive)
    ]


def correlation_rows(images: np.ndarray, voices: np.ndarray) -> list[dict[str, Any]]:
    """Return one row per pair of bits, with the correlation among images and among voices."""
    rows, columns = np.triu_indices(len(images), 1)
    return [
        {
            "bit": int(row),
            "other_bit": int(column),
            "images": float(images[row, column]),
            "voices": float(voices[row, column]),
        }
        for row, column in zip(rows, columns, strict=True)
    ]
