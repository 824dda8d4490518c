"""The pictures of codes: confusion, distances of pairs, balance and correlation of bits."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ivr.hashing.health import BitCounts
from ivr.pipeline.pictures.captions import ARROWS, Subject, caption, put_title, titled_axes
from ivr.pipeline.pictures.captions import title as title_of
from ivr.pipeline.pictures.code_health import (
    BitBalance,
    PairDistances,
    balance_rows,
    correlation_rows,
    distance_rows,
    distinct_distances,
    draw_bit_balance,
    draw_bit_correlation,
    draw_distances,
)
from ivr.pipeline.pictures.confusion import (
    ClassConfusion,
    confusion_rows,
    confusions_size,
    draw_confusions,
    has_ceiling,
)
from ivr.pipeline.pictures.picture_files import Picture
from ivr.pipeline.pictures.style import Theme, new_figure

from .protocol import DIRECTIONS

if TYPE_CHECKING:
    from ivr.pipeline.pictures.style import Figure


def code_pictures(
    subject: Subject, results: Mapping[str, Any], bits: tuple[BitCounts, BitCounts] | None = None
) -> list[Picture]:
    """Return the pictures of the section ``health`` of ``results``.

    Args:
        subject: what they are about.
        results: the content of results.json.
        bits: counts of the bits of images and of voices; None leaves the picture of their
            correlations out.
    """
    health = results["health"]
    found, shown = [], confusions(health)
    if shown:
        found.append(_confusion(subject, shown))
    found += [_distances(subject, pair_distances(health)), _balance(subject, bit_balances(health))]
    if bits is not None:
        found.append(_correlation(subject, *(counts.correlation for counts in bits)))
    return found


def confusions(health: Mapping[str, Any]) -> list[ClassConfusion]:
    """Return the confusion of classes of each direction; none where there are no classes."""
    return [
        ClassConfusion(
            label=ARROWS[direction],
            classes=tuple(health["classes"]),
            share=np.array(found["share"], float),
            queries=np.array(found["queries"]),
            ceiling=np.array(found["ceiling"], float),
            chance=np.array(found["chance"], float),
            nearest=found["nearest"],
        )
        for direction in DIRECTIONS
        if (found := health[direction]["confusion"])
    ]


def pair_distances(health: Mapping[str, Any]) -> list[PairDistances]:
    """Return the distances of relevant and other pairs, of both directions."""
    return [
        PairDistances(
            label=ARROWS[direction],
            relevant=_shares(found["relevant_share"]),
            other=_shares(found["other_share"]),
            relevant_pairs=sum(found["relevant"]),
            other_pairs=sum(found["other"]),
            overlap=found["overlap"],
        )
        for direction in DIRECTIONS
        for found in [health[direction]["distances"]]
    ]


def bit_balances(health: Mapping[str, Any]) -> list[BitBalance]:
    """Return how often each bit is +1, of images and voices."""
    return [
        BitBalance(
            label=kind,
            positive=_shares(health[kind]["positive"]),
            items=health[kind]["items"],
            dead=len(health[kind]["dead_bits"]),
        )
        for kind in ("images", "voices")
    ]


def _shares(values: list[float | None]) -> np.ndarray:
    return np.array([0.0 if value is None else value for value in values])


def _confusion(subject: Subject, shown: list[ClassConfusion]) -> Picture:
    kind = "Confusion of classes"

    def draw(theme: Theme) -> "Figure":
        figure = new_figure(*confusions_size(shown))
        draw_confusions(figure.subplots(1, len(shown), squeeze=False)[0], shown, theme)
        put_title(figure, title_of(kind, subject))
        return figure

    more = (
        f"Share of each class among the first {shown[0].nearest} items, percent, one row per class "
        "of the query",
        "Right column: the ceiling of the diagonal, lower than 100 % for a class with fewer items "
        "to find"
        if any(map(has_ceiling, shown))
        else "",
        "The shade follows the square root of the percentage, so that a few percent can be seen",
        "Lowest row: chance, the share of each class among the searched items",
    )
    return Picture(
        "confusion", title_of(kind, subject), caption(kind, subject, *more),
        confusion_rows(shown), draw,
    )  # fmt: skip


def _distances(subject: Subject, directions: list[PairDistances]) -> Picture:
    kind = "Distances of relevant and other pairs"

    shown = distinct_distances(directions)

    def draw(theme: Theme) -> "Figure":
        figure = new_figure(1.2 + 4.4 * len(shown), 3.6)
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, direction in zip(panels, shown, strict=True):
            draw_distances(axes, direction, theme)
            axes.label_outer()
        put_title(figure, title_of(kind, subject))
        return figure

    more = "Percent of the pairs of a kind at each Hamming distance, in bits"
    return Picture(
        "distances", title_of(kind, subject), caption(kind, subject, more),
        distance_rows(directions), draw,
    )  # fmt: skip


def _balance(subject: Subject, sides: list[BitBalance]) -> Picture:
    kind = "Balance of bits"

    def draw(theme: Theme) -> "Figure":
        return titled_axes(title_of(kind, subject), partial(draw_bit_balance, sides=sides), theme)

    more = (
        "Percent of the queries whose bit is +1",
        "Grey: the range of 95 % of balanced bits of as many items",
    )
    return Picture(
        "bit-balance", title_of(kind, subject), caption(kind, subject, *more),
        balance_rows(sides), draw,
    )  # fmt: skip


def _correlation(subject: Subject, images: np.ndarray, voices: np.ndarray) -> Picture:
    kind = "Correlation of bits"

    def draw(theme: Theme) -> "Figure":
        figure = new_figure(5.2, 4.6)
        axes = figure.subplots()
        image = draw_bit_correlation(axes, images, voices, theme)
        figure.colorbar(image, ax=axes, shrink=0.8, label="|correlation|")
        put_title(figure, title_of(kind, subject))
        return figure

    more = "Absolute correlation over the queries: images above, voices below the diagonal"
    return Picture(
        "bit-correlation", title_of(kind, subject), caption(kind, subject, more),
        correlation_rows(images, voices), draw,
    )  # fmt: skip
