"""Packed codes to distances, and distances to the two histograms that every metric needs.

A Hamming distance is an integer from 0 to the number of bits. What a ranked list is worth follows
from two counts at each distance: how many gallery items lie there, and how many of them are
relevant. Items at one distance are tied; a bucket of a histogram is one such group of ties.

Importing this module imports NumPy only; numba and FAISS are imported by the first call that needs
them.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ivr.errors import IvrError

# Cells [queries, gallery] held at once: 8 MiB a temporary array of int64.
CELLS = 1 << 20

# Gallery items whose words stay in the second-level cache while the queries pass over them.
TILE = 1 << 14

# From so many items on, and for codes of 64 bits at the most, distances are counted in pairs: one
# addition to a table of 65 x 65 for two items. Below, adding the table up costs more than it saves.
PAIRED = 4096

# Queries handed to a thread at a time: enough to share each tile, few enough to balance threads.
QUERIES_A_TASK = 32


class RankingError(IvrError):
    """Codes, labels or distances that cannot be ranked, in one line that says why."""


@dataclass(frozen=True, eq=False)
class Histograms:
    """What lies at each distance from each query, nearest bucket first.

    Attributes:
        items: [q, buckets], int64, gallery items in each bucket.
        relevant: [q, buckets], int64, the relevant ones among them.
    """

    items: npt.NDArray[np.int64]
    relevant: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse counts that no gallery could have."""
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


def hamming_distance(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return the number of bits in which codes differ.

    Args:
        queries: packed codes [q, bits / 8], uint8.
        gallery: packed codes [g, bits / 8], uint8.

    Returns:
        Distances [q, g], uint16, from 0 to bits.

    Raises:
        RankingError: not packed codes, or of different lengths.
    """
    _check_packed(queries, gallery)
    distance = np.empty((len(queries), len(gallery)), dtype=np.uint16)
    for rows, block in _distance_blocks(queries, gallery):
        distance[rows] = block
    return distance


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
    _check_packed(queries, gallery)
    query_labels = _labels(query_labels, len(queries), "query")
    gallery_labels = _labels(gallery_labels, len(gallery), "gallery")
    # The narrowest type: NumPy sorts one or two bytes by radix, in time linear in the gallery.
    narrow = gallery_labels.astype(np.min_scalar_type(gallery_labels.max()))
    order = np.argsort(narrow, kind="stable")
    ranked = gallery_labels[order]
    starts = np.searchsorted(ranked, query_labels, side="left")
    stops = np.searchsorted(ranked, query_labels, side="right")
    return _count(queries, np.take(_columns(gallery), order, axis=1), starts, stops, threads)


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
    _check_packed(queries, gallery)
    query_labels = _labels(query_labels, len(queries), "query")
    gallery_labels = _labels(gallery_labels, len(gallery), "gallery")
    buckets = queries.shape[1] * 8 + 1
    counts = np.empty((len(queries), 2, buckets), dtype=np.int64)
    for rows, distance in _distance_blocks(queries, gallery):
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
    _check_packed(queries, gallery)
    query, row = _pairs(relevant, len(queries), len(gallery))
    nobody = np.zeros(len(queries), dtype=np.int64)
    items = _count(queries, _columns(gallery), nobody, nobody, threads).items
    buckets = items.shape[1]
    distance = np.bitwise_count(_words(queries)[query] ^ _words(gallery)[row]).sum(
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
    """Return histograms in which ties keep the order of the gallery: one item a bucket.

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


def top_k(queries: np.ndarray, gallery: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest gallery items of each query, nearest first, ties in gallery order.

    Exact, by FAISS (Douze et al., "The Faiss library", 2024): one pass over the gallery with a heap
    a query, which keeps the first of equal items.

    Args:
        queries: packed codes [q, bits / 8], uint8.
        gallery: packed codes [g, bits / 8], uint8.
        k: items wanted; a gallery of fewer is returned whole.

    Returns:
        Gallery rows [q, min(k, g)], int64, and their distances [q, min(k, g)], uint16.

    Raises:
        RankingError: codes of different lengths, or k below 1.
    """
    import faiss

    _check_packed(queries, gallery)
    if k < 1:
        raise RankingError(f"k must be 1 or more, got {k}")
    contiguous = np.ascontiguousarray(queries), np.ascontiguousarray(gallery)
    distance, rows = faiss.knn_hamming(*contiguous, min(k, len(gallery)), variant="hc")
    # Within one distance a heap hands out its rows in any order.
    order = np.lexsort((rows, distance), axis=1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(
        distance, order, axis=1
    ).astype(np.uint16)


def _distance_blocks(
    queries: np.ndarray, gallery: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of queries with their distances [rows, g], uint16, at most CELLS at a time."""
    query_words, gallery_words = _words(queries), _columns(gallery)
    step = max(1, CELLS // len(gallery))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = query_words[rows]
        distance = np.zeros((len(block), len(gallery)), dtype=np.uint16)
        for word, column in enumerate(gallery_words):
            distance += np.bitwise_count(block[:, word, None] ^ column)
        yield rows, distance


def _words(packed: np.ndarray) -> np.ndarray:
    """Return packed codes as uint64 [n, words], filled up with zero bits, which differ nowhere."""
    words = np.zeros((len(packed), -(-packed.shape[1] // 8)), dtype=np.uint64)
    words.view(np.uint8)[:, : packed.shape[1]] = packed
    return words


def _columns(packed: np.ndarray) -> np.ndarray:
    """Return packed codes as uint64 [words, n], one word of all items side by side."""
    return np.ascontiguousarray(_words(packed).T)


def _count(
    queries: np.ndarray,
    gallery_words: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    threads: int | None,
) -> Histograms:
    """Return the histograms where gallery items starts[i] to stops[i] are relevant to query i."""
    kernel = _kernel()
    query_words = _words(queries)
    shape = (len(queries), queries.shape[1] * 8 + 1)
    items, relevant = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)

    def count(first: int) -> None:
        rows = slice(first, first + QUERIES_A_TASK)
        kernel(
            query_words[rows], gallery_words, starts[rows], stops[rows], items[rows], relevant[rows]
        )

    with ThreadPoolExecutor(_cores() if threads is None else threads) as pool:
        list(pool.map(count, range(0, len(queries), QUERIES_A_TASK)))
    return Histograms(items=items, relevant=relevant)


@cache
def _kernel() -> Callable[..., None]:
    """Return :func:`_fused_counts` compiled; it runs without holding the interpreter's lock."""
    import numba

    signature = "void(u8[:,::1],u8[:,::1],i8[::1],i8[::1],i8[:,::1],i8[:,::1])"
    try:
        kernel = numba.njit(signature, nogil=True, cache=True)(_fused_counts)
    except RuntimeError as error:
        # numba's words where neither __pycache__ nor the user's cache folder can be written.
        if "no locator available" not in str(error):
            raise
        kernel = numba.njit(signature, nogil=True)(_fused_counts)
    compiled: Callable[..., None] = kernel
    return compiled


def _cores() -> int:
    import joblib

    return int(joblib.cpu_count())


def _fused_counts(
    queries: np.ndarray,
    gallery: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    items: np.ndarray,
    relevant: np.ndarray,
) -> None:
    """Add to ``items`` and ``relevant`` [q, buckets] the counts at each distance.

    Compiled by :func:`_kernel`. For each tile of the gallery and each query: the distances go into
    a buffer (a loop without branches, which the compiler turns into vector instructions and, where
    the processor has it, population count), then into several histograms in turn, since adding
    twice running to one counter waits for the first store: two tables of pairs of distances, or
    four of single ones.

    Args:
        queries: words [q, words], uint64.
        gallery: words [words, g], uint64; items of one class side by side.
        starts: first relevant gallery column [q].
        stops: one past the last [q].
        items: [q, buckets], zeros.
        relevant: [q, buckets], zeros.
    """
    words, size = gallery.shape
    buckets = items.shape[1]
    distance = np.empty(TILE, dtype=np.uint16)
    counts = np.empty((4, buckets), dtype=np.uint32)
    in_pairs = buckets <= 65
    # A tile has at most 2^14 items, so that no count of pairs passes 2^16.
    table = np.empty((2, 65, 65), dtype=np.uint16)
    pairs = table.reshape(2, 65 * 65)
    for first in range(0, size, TILE):
        tile = min(TILE, size - first)
        for i in range(len(queries)):
            distance[:tile] = 0
            for word in range(words):
                code = queries[i, word]
                column = gallery[word, first : first + tile]
                for j in range(tile):
                    # Bits summed in pairs, fours and bytes; the product adds the bytes up.
                    x = code ^ column[j]
                    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
                    x = (x & np.uint64(0x3333333333333333)) + (
                        (x >> np.uint64(2)) & np.uint64(0x3333333333333333)
                    )
                    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                    distance[j] += np.uint16((x * np.uint64(0x0101010101010101)) >> np.uint64(56))
            start = min(max(starts[i] - first, 0), tile)
            stop = min(max(stops[i] - first, 0), tile)
            for target, low, high in (
                (items[i], 0, start),
                (relevant[i], start, stop),
                (items[i], stop, tile),
            ):
                if low == high:
                    continue
                if in_pairs and high - low >= PAIRED:
                    table[:] = 0
                    quarter = (high - low) // 4
                    a = distance[low : low + quarter]
                    b = distance[low + quarter : low + 2 * quarter]
                    c = distance[low + 2 * quarter : low + 3 * quarter]
                    e = distance[low + 3 * quarter : low + 4 * quarter]
                    for j in range(quarter):
                        pairs[0, a[j] * np.uint16(65) + b[j]] += np.uint16(1)
                        pairs[1, c[j] * np.uint16(65) + e[j]] += np.uint16(1)
                    for j in range(low + 4 * quarter, high):
                        target[distance[j]] += 1
                    for d in range(buckets):
                        row = np.int64(0)
                        for other in range(buckets):
                            row += np.int64(table[0, d, other]) + np.int64(table[1, d, other])
                        target[d] += row
                    for d in range(buckets):
                        for other in range(buckets):
                            target[other] += np.int64(table[0, d, other])
                            target[other] += np.int64(table[1, d, other])
                    continue
                counts[:] = 0
                fours = low + (high - low) // 4 * 4
                for j in range(low, fours, 4):
                    counts[0, distance[j]] += 1
                    counts[1, distance[j + 1]] += 1
                    counts[2, distance[j + 2]] += 1
                    counts[3, distance[j + 3]] += 1
                for j in range(fours, high):
                    counts[0, distance[j]] += 1
                for d in range(buckets):
                    target[d] += counts[0, d] + counts[1, d] + counts[2, d] + counts[3, d]
    items += relevant


def _check_packed(queries: np.ndarray, gallery: np.ndarray) -> None:
    for name, packed in (("query", queries), ("gallery", gallery)):
        if packed.ndim != 2 or packed.dtype != np.uint8 or 0 in packed.shape:
            raise RankingError(
                f"{name} codes must be packed uint8 [n, bits / 8], at least one, "
                f"got {packed.dtype} {list(packed.shape)}"
            )
    bits = [8 * packed.shape[1] for packed in (queries, gallery)]
    if bits[0] != bits[1]:
        raise RankingError(f"query codes have {bits[0]} bits, gallery codes {bits[1]}")
    if bits[0] > np.iinfo(np.uint16).max:
        raise RankingError(f"codes may have up to 65528 bits, got {bits[0]}")


def _labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise RankingError(
            f"{name} labels must be {count} integers, one a code, "
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
