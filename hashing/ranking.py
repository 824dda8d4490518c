"""Hamming distances of packed codes, and the nearest items of a gallery.

A Hamming distance is an integer from 0 to the number of bits. Importing this module imports NumPy
only; FAISS is imported by the first search.
"""

from collections.abc import Iterator

import numpy as np

from ivr.errors import IvrError

# Cells [queries, gallery] held at once: 8 MiB per temporary array of int64.
CELLS = 1 << 20


class RankingError(IvrError):
    """Codes, labels or distances cannot be ranked; the message is one line that says why."""


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
    check_packed(queries, gallery)
    distance = np.empty((len(queries), len(gallery)), dtype=np.uint16)
    for rows, block in distance_blocks(queries, gallery):
        distance[rows] = block
    return distance


def top_k(queries: np.ndarray, gallery: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest gallery items of each query, nearest first, ties in gallery order.

    Exact, by FAISS (Douze et al., "The Faiss library", 2024): one pass over the gallery with one
    heap per query, which keeps the first of equal items.

    Args:
        queries: packed codes [q, bits / 8], uint8.
        gallery: packed codes [g, bits / 8], uint8.
        k: number of items; a gallery of fewer is returned whole.

    Returns:
        Gallery rows [q, min(k, g)], int64, and their distances [q, min(k, g)], uint16.

    Raises:
        RankingError: codes of different lengths, or k below 1.
    """
    import faiss

    check_packed(queries, gallery)
    if k < 1:
        raise RankingError(f"k must be 1 or more, got {k}")
    contiguous = np.ascontiguousarray(queries), np.ascontiguousarray(gallery)
    distance, rows = faiss.knn_hamming(*contiguous, min(k, len(gallery)), variant="hc")
    # A heap returns rows at equal distance in any order.
    order = np.lexsort((rows, distance), axis=1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(
        distance, order, axis=1
    ).astype(np.uint16)


def distance_blocks(queries: np.ndarray, gallery: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of queries with their distances [rows, g], uint16, at most CELLS at a time."""
    query_words, gallery_words = code_words(queries), word_columns(gallery)
    step = max(1, CELLS // len(gallery))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = query_words[rows]
        distance = np.zeros((len(block), len(gallery)), dtype=np.uint16)
        for word, column in enumerate(gallery_words):
            distance += np.bitwise_count(block[:, word, None] ^ column)
        yield rows, distance


def code_words(packed: np.ndarray) -> np.ndarray:
    """Return packed codes as uint64 [n, words], padded with zero bits, which never differ."""
    words = np.zeros((len(packed), -(-packed.shape[1] // 8)), dtype=np.uint64)
    words.view(np.uint8)[:, : packed.shape[1]] = packed
    return words


def word_columns(packed: np.ndarray) -> np.ndarray:
    """Return packed codes as uint64 [words, n], each word of all items side by side."""
    return np.ascontiguousarray(code_words(packed).T)


def check_packed(queries: np.ndarray, gallery: np.ndarray) -> None:
    """Raise :class:`RankingError` unless both are packed codes of one length."""
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
