"""The compiled count of distances: how many gallery items lie at each distance from each query.

numba is imported by the first call, not by importing this module.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

# Gallery items whose words stay in the second-level cache while the queries pass over them.
TILE = 1 << 14

# From this number of items on, and for codes of up to 64 bits, distances are counted in pairs: one
# addition to a table of 65 x 65 for two items. Below, adding the table up costs more than it saves.
PAIRED = 4096

# Queries per task of a thread: enough to share each tile, few enough to balance threads.
QUERIES_PER_TASK = 32


def count_distances(
    query_words: np.ndarray,
    gallery_words: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    buckets: int,
    threads: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many items, and how many relevant ones, lie at each distance from each query.

    Args:
        query_words: codes [q, words], uint64.
        gallery_words: codes [words, g], uint64.
        starts: first gallery column that is relevant to each query [q].
        stops: one past the last [q].
        buckets: number of distances, bits + 1.
        threads: threads to count with, ``None`` for the cores that this process may use.

    Returns:
        Two arrays [q, buckets], int64.
    """
    kernel = _kernel()
    shape = (len(query_words), buckets)
    items, relevant = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)

    def count(first: int) -> None:
        rows = slice(first, first + QUERIES_PER_TASK)
        kernel(
            query_words[rows], gallery_words, starts[rows], stops[rows], items[rows], relevant[rows]
        )

    with ThreadPoolExecutor(_cores() if threads is None else threads) as pool:
        list(pool.map(count, range(0, len(query_words), QUERIES_PER_TASK)))
    return items, relevant


@cache
def _kernel() -> Callable[..., None]:
    """Return :func:`_fused_counts` compiled; it runs without holding the interpreter's lock."""
    import numba

    signature = "void(u8[:,::1],u8[:,::1],i8[::1],i8[::1],i8[:,::1],i8[:,::1])"
    try:
        kernel = numba.njit(signature, nogil=True, cache=True)(_fused_counts)
    except RuntimeError as error:
        # numba's message if neither __pycache__ nor the user's cache folder can be written.
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
    a buffer (a loop without branches, which the compiler turns into vector instructions and, if the
    processor has it, population count), then into several histograms in turn: two tables of pairs
    of distances, or four tables of single ones. Two additions in a row to one counter would wait
    for the first store.

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
    # A tile has at most 2^14 items, so no count of pairs exceeds 2^16.
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
