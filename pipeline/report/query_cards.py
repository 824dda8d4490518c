"""Queries with their hits as a page shows them: cards, and the media that they need."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ivr.pipeline.evaluation.hits import RankedHits
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runs.codes_file import CodedItems
from ivr.pipeline.runtime.words import counted

from .evaluated_run import EvaluatedRun
from .report_config import ReportConfig
from .shown_queries import KINDS, ShownQuery, choose_queries

DIRECTION_WORDS = {
    "voice_to_image": "voice finds images",
    "image_to_voice": "image finds voices",
}
KIND_WORDS = {
    "worst": "worst of its class",
    "drawn": "drawn at random",
    "best": "best of its class",
}
FIRST_WORDS = {"right": "right", "wrong": "wrong", "tied": "tied: right and wrong"}
First = Literal["right", "wrong", "tied"]
LONG_WORD = 12
"""Characters of a word of a class name that fit below a small picture."""


@dataclass(frozen=True)
class Medium:
    """An image or voice that is shown.

    Attributes:
        name: its name in the manifest.
        is_voice: a voice, otherwise an image.
        label: class, ``""`` if unknown.
        caption: sentence of a voice, ``""`` if unknown.
        speaker: speaker of a voice, ``""`` if unknown.
    """

    name: str
    is_voice: bool
    label: str
    caption: str
    speaker: str


@dataclass(frozen=True)
class Hit:
    """One item that a query found.

    Attributes:
        medium: the item.
        distance: in words, ``3 bits`` or ``0.412``.
        rank: its rank, ``4``, or the ranks that it shares with items at equal distance, ``2-5``.
        right: whether it is relevant.
    """

    medium: Medium
    distance: str
    rank: str
    right: bool


@dataclass(frozen=True)
class QueryCard:
    """One query with its first hits.

    Attributes:
        anchor: its permanent link, the same in every report on these queries.
        direction: voice_to_image or image_to_voice.
        kind: worst, drawn or best.
        medium: the query.
        average_precision: percent.
        hits: nearest first.
        right: number of relevant ones among them, in the order shown.
        expected: mean of that number over all orders of the items at equal distance.
        cut: the tied ranks that the end of the hits cuts, ``9-12``; ``""`` if it cuts none.
        first: whether the first hit is right, wrong, or ``tied``: some of the items at the least
            distance are right and some wrong.
        nearest: number of items at the least distance.
        nearest_right: number of relevant ones among them.
        own: the image that a voice describes, as a hit; None for an image, or if it is not in the
            gallery.
        relevant: number of relevant items in the gallery.
        gallery: number of items that were searched.
    """

    anchor: str
    direction: str
    kind: str
    medium: Medium
    average_precision: float
    hits: tuple[Hit, ...]
    right: int
    expected: float
    cut: str
    first: First
    nearest: int
    nearest_right: int
    own: Hit | None
    relevant: int
    gallery: int

    def media(self) -> Iterable[Medium]:
        """Yield the query, its own image, then its hits."""
        yield self.medium
        if self.own is not None:
            yield self.own.medium
        yield from (hit.medium for hit in self.hits)


def shown_cards(found: EvaluatedRun, config: ReportConfig) -> list[QueryCard]:
    """Return the queries that the report of a run shows, with their hits, by direction and class.

    Raises:
        PageError: the codes give another ranking than the one that was evaluated.
    """
    cards = []
    for number, direction in enumerate(reversed(DIRECTIONS)):
        queries = found.selection.queries[direction]
        rng = np.random.default_rng([config.seed, number])
        chosen = choose_queries(
            queries.labels,
            found.queries[direction].average_precision,
            config.queries,
            config.most_queries,
            rng,
        )
        cards += cards_of(found, direction, chosen, config.hits)
    return cards


def cards_of(
    found: EvaluatedRun, direction: str, chosen: Sequence[ShownQuery], count: int, place: str = ""
) -> list[QueryCard]:
    """Return a card for each of the ``chosen`` queries, with ``count`` hits.

    Args:
        found: the run.
        direction: voice_to_image or image_to_voice.
        chosen: queries of this direction.
        count: number of hits.
        place: part of the permanent link, for pages that show a query twice.
    """
    if not chosen:
        return []
    hits = found.hits(direction, [one.row for one in chosen], count)
    asks_by_voice = direction == "voice_to_image"
    in_bits = found.measure is None
    return [
        QueryCard(
            anchor(direction, hits.queries.names[row], place),
            direction,
            one.kind,
            _medium(hits.queries, row, is_voice=asks_by_voice),
            100 * float(hits.average_precision[row]),
            tuple(_hits(hits, row, in_bits=in_bits, is_voice=not asks_by_voice)),
            int(hits.relevant[row].sum()),
            float(hits.expected_relevant[row]),
            _cut(hits, row),
            first_hit(hits, row),
            int(hits.nearest[row]),
            int(hits.nearest_relevant[row]),
            _own(hits, row, in_bits=in_bits) if asks_by_voice else None,
            int(hits.relevant_items[row]),
            len(hits.gallery.names),
        )
        for row, one in enumerate(chosen)
    ]


def anchor(direction: str, name: str, place: str = "") -> str:
    """Return the permanent link of a query: it follows from direction and name alone."""
    digest = hashlib.sha256(f"{direction}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"q-{place}{'voice' if direction == 'voice_to_image' else 'image'}-{digest[:10]}"


def media_of(cards: Iterable[QueryCard]) -> list[Medium]:
    """Return every medium of ``cards`` once: the queries first, then hits by their rank."""
    lists = [list(card.media()) for card in cards]
    longest = max(map(len, lists), default=0)
    ranked = (media[place] for place in range(longest) for media in lists if place < len(media))
    return list({(one.is_voice, one.name): one for one in ranked}.values())


def classes_of(cards: Iterable[QueryCard]) -> list[str]:
    """Return the classes of the queries of ``cards`` in alphabetical order, ``""`` left out."""
    return sorted({card.medium.label for card in cards} - {""})


def weakest(cards: Iterable[QueryCard], most: int = 5) -> list[QueryCard]:
    """Return the cards of least average precision, the least first, that show a wrong hit."""
    failed = (card for card in cards if card.right < len(card.hits))
    return sorted(failed, key=lambda card: card.average_precision)[:most]


def have_long_labels(cards: Iterable[QueryCard]) -> bool:
    """Return whether a class name among the hits has a word too long for ten hits in a row."""
    words = (word for card in cards for hit in card.hits for word in hit.medium.label.split())
    return any(len(word) > LONG_WORD for word in words)


def kinds_of(cards: Iterable[QueryCard]) -> list[str]:
    """Return the kinds of the queries of ``cards``, the worst first."""
    there = {card.kind for card in cards}
    return [kind for kind in KINDS if kind in there]


def _hits(hits: RankedHits, row: int, *, in_bits: bool, is_voice: bool) -> Iterable[Hit]:
    for place, item in enumerate(hits.rows[row].tolist()):
        first, last = int(hits.first_rank[row, place]), int(hits.last_rank[row, place])
        yield Hit(
            _medium(hits.gallery, item, is_voice=is_voice),
            _distance(hits.distances[row, place], in_bits=in_bits),
            _ranks(first, last),
            bool(hits.relevant[row, place]),
        )


def _own(hits: RankedHits, row: int, *, in_bits: bool) -> Hit | None:
    """Return the image that the voice in ``row`` describes; None if it is not searched."""
    item = int(hits.own[row])
    if item < 0:
        return None
    return Hit(
        _medium(hits.gallery, item, is_voice=False),
        _distance(hits.own_distance[row], in_bits=in_bits),
        _ranks(int(hits.own_first_rank[row]), int(hits.own_last_rank[row])),
        True,
    )


def first_hit(hits: RankedHits, row: int) -> First:
    """Return whether the first hit of the query in ``row`` is right, wrong or tied."""
    relevant = int(hits.nearest_relevant[row])
    if not relevant:
        return "wrong"
    return "right" if relevant == int(hits.nearest[row]) else "tied"


def _cut(hits: RankedHits, row: int) -> str:
    """Return the tied ranks of which the hits show only some; ``""`` if there are none."""
    first, last = int(hits.first_rank[row, -1]), int(hits.last_rank[row, -1])
    return _ranks(first, last) if last > hits.rows.shape[1] else ""


def _distance(distance: float, *, in_bits: bool) -> str:
    return counted(int(distance), "bit") if in_bits else f"{float(distance):.4g}"


def _ranks(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}\N{EN DASH}{last}"


def _medium(items: CodedItems, row: int, *, is_voice: bool) -> Medium:
    return Medium(
        items.names[row],
        is_voice,
        items.labels[row],
        items.captions[row] if is_voice else "",
        items.speakers[row] if is_voice else "",
    )
