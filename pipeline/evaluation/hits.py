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
        nearest: number of items at the least distance [q].
        nearest_relevant: number of relevant ones among them [q].
        expected_relevant: number of relevant items among the first k, mean over all orders of the
            items at equal distance [q], float64.
        own: gallery row of the nearest item of the image of the query [q]; -1 if there is none.
        own_distance: its distance [q]; undefined if there is none.
        own_first_rank: the first of the ranks that it shares [q]; undefined if there is none.
        own_last_rank: the last of these ranks [q]; undefined if there is none.
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
    nearest: np.ndarray
    nearest_relevant: np.ndarray
    expected_relevant: np.ndarray
    own: np.ndarray
    own_distance: np.ndarray
    own_first_rank: np.ndarray
    own_last_rank: np.ndarray
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


def relevant_items(selection: Selection, direction: str) -> np.ndarray:
    """Return the number of relevant items of each query of ``direction`` [q], int64."""
    queries, gallery = selection.queries[direction], selection.galleries[direction]
    ranker = ranker_of(selection, direction, None)
    found = (ranker.histograms(part, gallery) for part in ranker.blocks(queries, gallery))
    return np.concatenate([hist.relevant.sum(axis=1) for hist in found])


def empty_lookups(selection: Selection, direction: str, radius: int) -> np.ndarray:
    """Return which queries of a direction have no item within a Hamming radius, booleans [q].

    Args:
        selection: queries and galleries.
        direction: image_to_voice or voice_to_image.
        radius: bits.
    """
    queries, gallery = selection.queries[direction], selection.galleries[direction]
    ranker = ranker_of(selection, direction, None)
    items = (ranker.histograms(block, gallery).items for block in ranker.blocks(queries, gallery))
    return np.concatenate([counts[:, : radius + 1].sum(axis=1) == 0 for counts in items])


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
        *_over_orders(distances, relevant, near),
        *_own_items(distances, queries, gallery),
        found.average_precision,
    )


def _over_orders(
    distances: np.ndarray, relevant: np.ndarray, near: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return ``nearest``, ``nearest_relevant`` and ``expected_relevant`` of :class:`RankedHits`."""
    least = distances == near[:, :1]
    last = near[:, -1:]
    within, at_last = distances < last, distances == last
    places = near.shape[1] - within.sum(axis=1)  # of the first k, for the items at ``last``
    share = (relevant & at_last).sum(axis=1) / at_last.sum(axis=1)
    expected = (relevant & within).sum(axis=1) + places * share
    return least.sum(axis=1), (relevant & least).sum(axis=1), expected


def _own_items(
    distances: np.ndarray, queries: CodedItems, gallery: CodedItems
) -> tuple[np.ndarray, ...]:
    """Return the columns ``own`` to ``own_last_rank`` of :class:`RankedHits`."""
    rows_of: dict[str, list[int]] = {}
    for row, image in enumerate(gallery.images):
        rows_of.setdefault(image, []).append(row)
    own = np.array(
        [
            min(rows_of.get(image, [-1]), key=of_query.__getitem__)
            for image, of_query in zip(queries.images, distances, strict=True)
        ],
        np.int64,
    )
    distance = np.take_along_axis(distances, own[:, None], axis=1)
    first, last = (distances < distance).sum(axis=1) + 1, (distances <= distance).sum(axis=1)
    return own, distance[:, 0], first, last
