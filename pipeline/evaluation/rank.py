"""Step 2 of an evaluation: the ranking of a gallery for queries, as histograms of distances."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ivr.hashing.distances import Measure
from ivr.hashing.histograms import (
    Histograms,
    chance_histograms,
    class_histograms,
    file_order_histograms,
    pair_histograms,
    score_histograms,
)
from ivr.hashing.ranking import hamming_distance
from ivr.pipeline.runs.codes_file import CodedItems

from .protocol import Protocol
from .select import EvaluateError, Selection

QUERIES_AT_ONCE = 16_384
CELLS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Ranker:
    """How the queries of one direction are ranked.

    Attributes:
        protocol: every choice.
        class_numbers: number of each class by name.
        distance: distances [q, g] of the outputs of queries and gallery; None to rank by codes.
    """

    protocol: Protocol
    class_numbers: Mapping[str, int]
    distance: Callable[[CodedItems, CodedItems], np.ndarray] | None

    def blocks(self, queries: CodedItems, gallery: CodedItems) -> Iterator[CodedItems]:
        """Yield the queries in blocks that fit in memory."""
        if self.protocol.ties == "expectation" and self.distance is None:
            return query_blocks(queries, QUERIES_AT_ONCE)
        # These need the distances [q, g] of a block at once.
        return query_blocks(queries, max(1, CELLS_AT_ONCE // len(gallery.names)))

    def histograms(self, queries: CodedItems, gallery: CodedItems) -> Histograms:
        """Return how many items, and relevant ones, lie at each distance from each query."""
        if self.distance is not None:
            return score_histograms(
                self.distance(queries, gallery), self.relevant(queries, gallery)
            )
        if self.protocol.relevance == "pair":
            return pair_histograms(queries.codes, gallery.codes, pairs(queries, gallery))
        return class_histograms(
            queries.codes,
            self.classes(queries),
            gallery.codes,
            self.classes(gallery),
        )

    def ranked(
        self, queries: CodedItems, gallery: CodedItems, by_distance: Histograms
    ) -> Histograms:
        """Return ``by_distance`` with ties as the protocol says: as they are, or in file order."""
        if self.protocol.ties == "expectation":
            return by_distance
        return file_order_histograms(
            self.distances(queries, gallery), self.relevant(queries, gallery)
        )

    def distances(self, queries: CodedItems, gallery: CodedItems) -> np.ndarray:
        """Return the distances [q, g] that the ranking is by."""
        if self.distance is None:
            return hamming_distance(queries.codes, gallery.codes)
        return self.distance(queries, gallery)

    def relevant(self, queries: CodedItems, gallery: CodedItems) -> np.ndarray:
        """Return which items are relevant to which query, booleans [q, g]."""
        if self.protocol.relevance == "class":
            same: np.ndarray = self.classes(queries)[:, None] == self.classes(gallery)[None, :]
            return same
        relevant = np.zeros((len(queries.names), len(gallery.names)), bool)
        for row, rows in enumerate(pairs(queries, gallery)):
            relevant[row, rows] = True
        return relevant

    def classes(self, items: CodedItems) -> np.ndarray:
        """Return the class numbers of ``items`` [n]."""
        return np.array([self.class_numbers[label] for label in items.labels], np.int64)

    def pooled(self, hist: Histograms, rows: np.ndarray) -> Histograms:
        """Return the sum [1, buckets] over the queries in ``rows`` (booleans [q]).

        Hamming distances of different queries compare, so their buckets stay apart; other distances
        do not, so all items fall into one bucket.
        """
        hist = hist if self.distance is None else chance_histograms(hist)
        return Histograms(
            hist.items[rows].sum(0, keepdims=True), hist.relevant[rows].sum(0, keepdims=True)
        )

    def by_codes(self) -> "Ranker":
        """Return the ranker of the same protocol that ranks by the Hamming distance of codes."""
        return replace(self, distance=None)

    def pooled_by_codes(self, queries: CodedItems, gallery: CodedItems) -> Histograms:
        """Return the Hamming distances of all queries, one row [bits + 1] per block of queries."""
        ranker = self.by_codes()
        blocks = (
            ranker.histograms(block, gallery) for block in query_blocks(queries, QUERIES_AT_ONCE)
        )
        return stacked([ranker.pooled(hist, np.ones(len(hist.items), bool)) for hist in blocks])

    def without_itself(self, queries: CodedItems, gallery: CodedItems) -> Histograms:
        """Return the Hamming distances of a gallery of the same modality, less the query itself."""
        hist = self.by_codes().histograms(queries, gallery)
        names = set(gallery.names)
        own = np.array([name in names for name in queries.names])
        # Of its own class; its own pair only if the image is known.
        found = own & (np.array([image != "" for image in queries.images])
                       | (self.protocol.relevance == "class"))  # fmt: skip
        items, relevant = hist.items.copy(), hist.relevant.copy()
        items[own, 0] -= 1
        relevant[found, 0] -= 1
        return Histograms(items, relevant)


def ranker_of(selection: Selection, direction: str, measure: Measure | None) -> Ranker:
    """Return the ranker of one direction; ``measure`` compares outputs, None ranks by codes."""
    distance = None if measure is None else _of_outputs(direction, measure)
    return Ranker(selection.protocol, selection.class_numbers, distance)


def _of_outputs(direction: str, measure: Measure) -> Callable[[CodedItems, CodedItems], np.ndarray]:
    """Return ``measure``, which takes images first, as a function of queries and gallery."""
    if direction == "image_to_voice":
        return lambda queries, gallery: measure(outputs_of(queries), outputs_of(gallery))
    return lambda queries, gallery: measure(outputs_of(gallery), outputs_of(queries)).T


def outputs_of(items: CodedItems) -> np.ndarray:
    """Return the outputs of ``items`` [n, width].

    Raises:
        EvaluateError: the codes have none.
    """
    if items.outputs is None:
        raise EvaluateError("the codes have no outputs to rank by; make them with ivr encode")
    return items.outputs


def pairs(queries: CodedItems, gallery: CodedItems) -> list[np.ndarray]:
    """Return the gallery rows of the image of each query; none for a query without an image."""
    rows: dict[str, list[int]] = {}
    for row, image in enumerate(gallery.images):
        if image:
            rows.setdefault(image, []).append(row)
    return [np.array(rows.get(image, []), np.int64) for image in queries.images]


def query_blocks(queries: CodedItems, step: int) -> Iterator[CodedItems]:
    """Yield the queries, at most ``step`` at a time."""
    for start in range(0, len(queries.names), step):
        yield queries.select(range(start, min(start + step, len(queries.names))))


def stacked(parts: Sequence[Histograms]) -> Histograms:
    """Return the rows of all ``parts``."""
    return Histograms(
        np.concatenate([hist.items for hist in parts]),
        np.concatenate([hist.relevant for hist in parts]),
    )
