"""Titles and captions: what a picture shows, in words, with data set, n, bits, method and seeds."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .style import Theme, new_figure, shown_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARROWS = {"image_to_voice": "image → voice", "voice_to_image": "voice → image"}
"""Directions as pictures name them."""
LONGEST_DATA = 60
"""Characters of the name of a data set in a title."""
LONGEST_TITLE = 160
"""Characters of a title."""
CHARACTERS_PER_INCH = 13
"""Characters of a title that fit into one inch of its width."""


@dataclass(frozen=True)
class Subject:
    """What the pictures of an evaluation or a comparison are about.

    Attributes:
        data: name of the data set.
        methods: names of the methods, with their remarks, e.g. ``dvan (reconstruction)``.
        bits: length of the codes; None where methods differ or rank by outputs.
        seeds: seeds of the runs.
        queries: number of queries by direction.
        gallery: number of searched items by direction.
        protocol: the protocol in words; ``""`` for a picture without a ranking.
        chance: mAP of a random order by direction, percent.
    """

    data: str
    methods: tuple[str, ...]
    bits: int | None
    seeds: tuple[int, ...]
    queries: Mapping[str, int]
    gallery: Mapping[str, int]
    protocol: str
    chance: Mapping[str, float]


def title(kind: str, subject: Subject) -> str:
    """Return the neutral title of a picture, e.g. ``KIND, my-data, divh, 64 bits, seed 0``."""
    parts = [kind, shown_text(subject.data, LONGEST_DATA)]
    if len(subject.methods) == 1:  # a comparison names them in its legend
        parts.append(shown_text(subject.methods[0], LONGEST_DATA))
    if subject.bits is not None:
        parts.append(f"{subject.bits} bits")
    parts.append(_seeds(subject.seeds))
    return shown_text(", ".join(filter(None, parts)), LONGEST_TITLE)


def caption(kind: str, subject: Subject, *more: str) -> str:
    """Return the caption of a picture in sentences.

    Args:
        kind: what is drawn, e.g. ``Precision over retrieved items``.
        subject: what it is drawn of.
        more: further sentences, without the full stop.
    """
    methods = ", ".join(visible(method) for method in subject.methods)
    bits = "" if subject.bits is None else f", {subject.bits} bits"
    seeds = f", {_seeds(subject.seeds)}" if subject.seeds else ""
    head = f"{kind}, {visible(subject.data)}, {methods}{bits}{seeds}"
    return " ".join(filter(None, [_told(head), protocol_sentences(subject), _told(*more)]))


def protocol_sentences(subject: Subject) -> str:
    """Return what all captions of ``subject`` repeat: numbers of queries, chance and protocol."""
    counts = "; ".join(
        f"{arrow}: {counted(subject.queries[direction], 'query')} on "
        f"{counted(subject.gallery[direction], 'item')}, chance mAP "
        f"{subject.chance[direction]:.1f} %"
        for direction, arrow in ARROWS.items()
        if direction in subject.queries
    )
    return _told(counts, visible(subject.protocol[:1].upper() + subject.protocol[1:]))


def _told(*sentences: str) -> str:
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def put_title(figure: "Figure", text: str) -> None:
    """Write ``text`` above the panels, in as many lines as the width needs."""
    width = max(20, int(figure.get_figwidth() * CHARACTERS_PER_INCH))
    lines = textwrap.wrap(text, width, max_lines=3, placeholder=" …")
    figure.suptitle("\n".join(lines), fontsize=10.5, x=0.01, ha="left", parse_math=False)


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 1:
        return counted(len(seeds), "seed")
    return f"seed {seeds[0]}" if seeds else ""


def titled_axes(
    text: str,
    draw: Callable[..., object],
    theme: Theme,
    height: float = 4.0,
    width: float = 5.8,
) -> "Figure":
    """Return a picture of one panel with a title.

    Args:
        text: the title.
        draw: called with the axes and ``theme=``.
        theme: colours.
        height: inches.
        width: inches.
    """
    figure = new_figure(width, height)
    draw(figure.subplots(), theme=theme)
    put_title(figure, text)
    return figure
