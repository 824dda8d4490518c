"""Histograms of ranked lists: the two counts at each distance that every metric needs.

The value of a ranked list follows from two counts at each distance: the number of gallery items
there, and the number of relevant ones among them. Items at equal distance are tied; a bucket of a
histogram is one such group of ties.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .counting_kernel import count_distances
from .ranking import RankingError, check_packed, code_words, distance_blocks, word_columns


@dataclass(frozen=True, eq=False)
class Histograms:
    """Number of items and of relevant items at each distance from each query, nearest first.

    Attributes:
        items: [q, buckets], int64, gallery items in each bucket.
        relevant: [q, buckets], int64, the relevant ones among them.
    """

    items: npt.NDArray[np.int64]
    relevant: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse counts that no gallery can have."""
        shape = self.items.shape
        if self.items.ndim != 2 or 0 in shape or shape != self.relevant.shape:
            raise RankingError(
                "histograms must both be [q, buckets], at least one of each, got "
                f"{list(self.items.shape)} and {list(self.relevant.shape)}"
            )
        if self.items.dtype != np.int64 or self.relevant.dtype != np.int64:
            raise RankingError(
                f"histograms must be int64, got {self.items.dtype} and {self.relevant.dtype}"
            )
        if (self.relevant < 0).any() or (self.relevant > self.items).any():
            raise RankingError("a bucket must hold from 0 to all of its items as relevant ones")


def class_histograms(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    threads: int | None = None,
) -> Histograms:
    """Return the histograms where an item is relevant if it has the query's class.

    One fused numba kernel, linear in the gallery, without a table of distances: the gallery is
    sorted by class, so that the relevant items of a query are one run of it.

    Args:
        queries: packed codes [q, bits / 8], uint8.
        query_labels: classes [q], integers from 0.
        gallery: packed codes [g, bits / 8], uint8.
        gallery_labels: classes [g], integers from 0.
        threads: threads to count with; ``None`` for the cores this process may use
            (``joblib.cpu_count``, which heeds affinity and container limits).

    Returns:
        Histograms of bits + 1 buckets, bucket d for distance d.

    Raises:
        RankingError: codes of different lengths, or labels that do not fit them.
    """
    check_packed(queries, gallery)
    query_labels = _labels(query_labels, len(queries), "query")
    gallery_labels = _labels(gallery_labels, len(gallery), "gallery")
    # The narrowest type: NumPy sorts one or two bytes by radix, in time linear in the gallery.
    narrow = gallery_labels.astype(np.min_scalar_type(gallery_labels.max()))
    order = np.argsort(narrow, kind="stable")
    ranked = gallery_labels[order]
    starts = np.searchsorted(ranked, query_labels, side="left")
    stops = np.searchsorted(ranked, query_labels, side="right")
    words = np.take(word_columns(gallery), order, axis=1)
    return _counted(queries, words, starts, stops, threads)


def class_histograms_numpy(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
) -> Histograms:
    """Return the same integers as :func:`class_histograms`, in plain NumPy and bounded memory.

    Args:
        queries: packed codes [q, bits / 8], uint8.
        query_labels: classes [q], integers from 0.
        gallery: packed codes [g, bits / 8], uint8.
        gallery_labels: classes [g], integers from 0.

    Returns:
        Histograms of bits + 1 buckets, bucket d for distance d.

    Raises:
        RankingError: codes of different lengths, or labels that do not fit them.
    """
    check_packed(queries, gallery)
    query_labels = _labels(query_labels, len(queries), "query")
    gallery_labels = _labels(gallery_labels, len(gallery), "gallery")
    buckets = queries.shape[1] * 8 + 1
    counts = np.empty((len(queries), 2, buckets), dtype=np.int64)
    for rows, distance in distance_blocks(queries, gallery):
        relevant = query_labels[rows, None] == gallery_labels
        cell = np.arange(len(distance))[:, None] * 2 + relevant
        cell *= buckets
        cell += distance
        size = len(distance) * 2 * buckets
        counts[rows] = np.bincount(cell.ravel(), minlength=size).reshape(-1, 2, buckets)
    return Histograms(items=counts.sum(axis=1), relevant=counts[:, 1].copy())


def pair_histograms(
    queries: np.ndarray,
    gallery: np.ndarray,
    relevant: Sequence[np.ndarray],
    threads: int | None = None,
) -> Histograms:
    """Return the histograms where each query names its relevant items (the pairs).

    Args:
        queries: packed codes [q, bits / 8], uint8.
        gallery: packed codes [g, bits / 8], uint8.
        relevant: q arrays of gallery rows, each row at most once; an array may be empty.
        threads: threads to count with, as in :func:`class_histograms`.

    Returns:
        Histograms of bits + 1 buckets, bucket d for distance d.

    Raises:
        RankingError: codes of different lengths, or rows that the gallery does not have.
    """
    check_packed(queries, gallery)
    query, row = _pairs(relevant, len(queries), len(gallery))
    none = np.zeros(len(queries), dtype=np.int64)
    items = _counted(queries, word_columns(gallery), none, none, threads).items
    buckets = items.shape[1]
    distance = np.bitwise_count(code_words(queries)[query] ^ code_words(gallery)[row]).sum(
        axis=1, dtype=np.int64
    )
    counts = np.bincount(query * buckets + distance, minlength=items.size)
    return Histograms(items=items, relevant=counts.reshape(items.shape))


def score_histograms(distance: np.ndarray, relevant: np.ndarray) -> Histograms:
    """Return the histograms of real-valued distances: a bucket for each distinct value of a row.

    For methods that rank by Euclidean distance or by the probability of a match (give the negative
    of the probability). Only exactly equal values are ties.

    Args:
        distance: [q, g], real, smaller is nearer.
        relevant: booleans [q, g].

    Returns:
        Histograms with as many buckets as the row of most values has; other rows end in empty ones.

    Raises:
        RankingError: shapes that differ, NaN, or relevance that is not boolean.
    """
    distance, relevant = _check_scores(distance, relevant)
    order = np.argsort(distance, axis=1, kind="stable")
    ranked = np.take_along_axis(distance, order, axis=1)
    bucket = np.zeros(ranked.shape, dtype=np.int64)
    np.cumsum(ranked[:, 1:] != ranked[:, :-1], axis=1, out=bucket[:, 1:])
    shape = (len(distance), int(bucket.max()) + 1)
    bucket += np.arange(shape[0])[:, None] * shape[1]
    hits = bucket[np.take_along_axis(relevant, order, axis=1)]
    size = shape[0] * shape[1]
    return Histograms(
        items=np.bincount(bucket.ravel(), minlength=size).reshape(shape),
        relevant=np.bincount(hits, minlength=size).reshape(shape),
    )


def file_order_histograms(distance: np.ndarray, relevant: np.ndarray) -> Histograms:
    """Return histograms in which ties keep the order of the gallery: one item per bucket.

    Args:
        distance: [q, g], integer or real, smaller is nearer.
        relevant: booleans [q, g].

    Returns:
        Histograms of g buckets, each of one item.

    Raises:
        RankingError: shapes that differ, NaN, or relevance that is not boolean.
    """
    distance, relevant = _check_scores(distance, relevant)
    order = np.argsort(distance, axis=1, kind="stable")
    ranked = np.take_along_axis(relevant, order, axis=1).astype(np.int64)
    return Histograms(items=np.ones_like(ranked), relevant=ranked)


def chance_histograms(hist: Histograms) -> Histograms:
    """Return histograms in which all items are tied: the metrics of these are those of chance.

    Args:
        hist: histograms [q, buckets].

    Returns:
        Histograms [q, 1] of the same items.
    """
    return Histograms(
        items=hist.items.sum(axis=1, keepdims=True),
        relevant=hist.relevant.sum(axis=1, keepdims=True),
    )


def spread_histograms(hist: Histograms) -> Histograms:
    """Return histograms whose shares are those of a random order at the distances of ``hist``.

    Which items are relevant is drawn anew, while the distances stay: each bucket then has its share
    of the relevant items. Metrics within a radius of these are those of chance.

    Args:
        hist: histograms [q, buckets].

    Returns:
        Histograms [q, buckets] of items * n items and items * T relevant ones, with n the items and
        T the relevant items of a query: whole numbers whose quotients are the expected ones.
    """
    return Histograms(
        items=hist.items * hist.items.sum(axis=1, keepdims=True),
        relevant=hist.items * hist.relevant.sum(axis=1, keepdims=True),
    )


def perfect_histograms(hist: Histograms) -> Histograms:
    """Return histograms of a perfect ranking: the metrics of these are the ceilings.

    Args:
        hist: histograms [q, buckets].

    Returns:
        Histograms of the same items with the relevant ones in the first bucket and all others in
        the last one, of as many buckets, at least two.
    """
    shape = len(hist.items), max(2, hist.items.shape[1])
    items, relevant = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    items[:, 0] = relevant[:, 0] = hist.relevant.sum(axis=1)
    items[:, -1] = hist.items.sum(axis=1) - items[:, 0]
    return Histograms(items, relevant)


def best_order(hist: Histograms) -> Histograms:
    """Return the histograms of the order that puts the relevant items of each bucket first."""
    none = np.zeros_like(hist.relevant)
    other = hist.items - hist.relevant
    return Histograms(_alternating(hist.relevant, other), _alternating(hist.relevant, none))


def worst_order(hist: Histograms) -> Histograms:
    """Return the histograms of the order that puts the relevant items of each bucket last."""
    none = np.zeros_like(hist.relevant)
    other = hist.items - hist.relevant
    return Histograms(_alternating(other, hist.relevant), _alternating(none, hist.relevant))


def _alternating(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the columns of ``first`` and ``second`` [q, n] in turn [q, 2 n]."""
    return np.stack([first, second], axis=2).reshape(len(first), -1)


def _counted(
    queries: np.ndarray,
    gallery_words: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    threads: int | None,
) -> Histograms:
    """Return the histograms where gallery items starts[i] to stops[i] are relevant to query i."""
    buckets = queries.shape[1] * 8 + 1
    words = code_words(queries)
    return Histograms(*count_distances(words, gallery_words, starts, stops, buckets, threads))


def _labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise RankingError(
            f"{name} labels must be {count} integers, one per code, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    if labels.min() < 0:
        raise RankingError(f"{name} labels must be 0 or more; leave out items without a class")
    return labels


def _pairs(relevant: Sequence[np.ndarray], queries: int, gallery: int) -> tuple[np.ndarray, ...]:
    """Return the query and the gallery row of every pair."""
    if len(relevant) != queries:
        raise RankingError(f"relevant items are given for {len(relevant)} of {queries} queries")
    rows = [np.asarray(row, dtype=np.int64).reshape(-1) for row in relevant]
    query = np.repeat(np.arange(queries), [len(row) for row in rows])
    row = np.concatenate(rows)
    if len(row) and not 0 <= row.min() <= row.max() < gallery:
        raise RankingError(
            f"relevant rows must lie from 0 to {gallery - 1}, got {row.min()} to {row.max()}"
        )
    if len(np.unique(query * gallery + row)) != len(row):
        raise RankingError("a query names the same relevant row twice")
    return query, row


def _check_scores(distance: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance, relevant = np.asarray(distance), np.asarray(relevant)
    if distance.ndim != 2 or 0 in distance.shape or distance.shape != relevant.shape:
        raise RankingError(
            "distance and relevant must both be [q, g], at least one item, "
            f"got {list(distance.shape)} and {list(relevant.shape)}"
        )
    if relevant.dtype != np.bool_:
        raise RankingError(f"relevant must be boolean, got {relevant.dtype}")
    if np.isnan(distance).any():
        raise RankingError("NaN among the distances; a NaN has no rank")
    return distance, relevant
