"""The items that chosen queries find first, ranked exactly as the metrics are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivr.hashing.distances import Measure
from ivr.hashing.metrics import scores
from ivr.pipeline.runs.codes_file import CodedItems

from .rank import Ranker, ranker_of
from .select import Selection


@dataclass(frozen=True, eq=False)
class RankedHits:
    """The first items of some queries of one direction, nearest first.

    Items at equal distance share ranks, and stand in the order of the gallery.

    Attributes:
        queries: the queries [q].
        gallery: the items that are searched [g].
        rows: gallery rows of the items [q, k], int64.
        distances: their distances [q, k]: bits, or the method's own.
        relevant: whether they are relevant, booleans [q, k].
        first_rank: the first of the ranks that the items at this distance share [q, k], from 1.
        last_rank: the last of these ranks [q, k].
        relevant_items: number of relevant items in the gallery [q].
        average_precision: [q], 0 to 1; NaN for a query that the protocol leaves out.
    """

    queries: CodedItems
    gallery: CodedItems
    rows: np.ndarray
    distances: np.ndarray
    relevant: np.ndarray
    first_rank: np.ndarray
    last_rank: np.ndarray
    relevant_items: np.ndarray
    average_precision: np.ndarray


def ranked_hits(
    selection: Selection,
    direction: str,
    measure: Measure | None,
    rows: Sequence[int],
    count: int,
) -> RankedHits:
    """Return the first ``count`` items of the queries in ``rows``; a smaller gallery is whole.

    Args:
        selection: queries and galleries.
        direction: image_to_voice or voice_to_image.
        measure: compares outputs; None ranks by the Hamming distance of the codes.
        rows: rows of the queries of this direction, at least one.
        count: number of items.
    """
    queries, gallery = selection.queries[direction].select(rows), selection.galleries[direction]
    ranker = ranker_of(selection, direction, measure)
    parts = [_ranked(ranker, block, gallery, count) for block in ranker.blocks(queries, gallery)]
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return RankedHits(queries, gallery, *columns)


def _ranked(
    ranker: Ranker, queries: CodedItems, gallery: CodedItems, count: int
) -> tuple[np.ndarray, ...]:
    """Return the columns of :class:`RankedHits` of one block of queries."""
    distances, relevant = ranker.distances(queries, gallery), ranker.relevant(queries, gallery)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    near = np.take_along_axis(distances, order, axis=1)
    ordered = np.sort(distances, axis=1)
    ranks = [
        np.stack([np.searchsorted(row, of, side) for row, of in zip(ordered, near, strict=True)])
        for side in ("left", "right")
    ]
    hist = ranker.ranked(queries, gallery, ranker.histograms(queries, gallery))
    protocol = ranker.protocol
    found = scores(
        hist,
        at=protocol.cutoff,
        denominator=protocol.denominator,
        empty=protocol.empty,
        metrics=("mAP",),
    )
    return (
        order,
        near,
        np.take_along_axis(relevant, order, axis=1),
        ranks[0] + 1,
        ranks[1],
        relevant.sum(axis=1),
        found.average_precision,
    )
