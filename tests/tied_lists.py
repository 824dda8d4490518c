"""Small ranked lists with ties, and all orders of their ties by brute force."""

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np

from ivr.hashing.histograms import Histograms, class_histograms_numpy

# One list of seven items: two at distance 0, four at 1 (two relevant), one at 2.
TIED = Histograms(np.array([[2, 4, 1]]), np.array([[1, 2, 0]]))


def histograms(*buckets: list[tuple[int, int]]) -> Histograms:
    """Return the histograms of lists of (items, relevant items)."""
    table = np.array(buckets, dtype=np.int64)
    return Histograms(table[:, :, 0], table[:, :, 1])


def orders(distance: list[int], relevant: list[bool]) -> Counter[tuple[bool, ...]]:
    """Return the relevance along the list in each order of its ties, and how often it occurs."""
    return Counter(
        tuple(relevant[item] for item in order)
        for order in itertools.permutations(range(len(distance)))
        if all(distance[a] <= distance[b] for a, b in itertools.pairwise(order))
    )


def mean_over(orders: Counter[tuple[bool, ...]], metric: Callable[..., float]) -> float:
    return sum(metric(ranked) * times for ranked, times in orders.items()) / orders.total()


def small_lists() -> tuple[np.ndarray, np.ndarray]:
    """Return distances and relevance of 60 lists of six items, from untied to all tied."""
    rng = np.random.default_rng(1)
    levels = np.resize([1, 2, 3, 6], 60)
    distance = np.stack([rng.integers(0, level, 6) for level in levels])
    return distance, rng.random((60, 6)) < rng.random((60, 1))


def ranked_by_hamming(seed: int) -> tuple[Histograms, np.ndarray, np.ndarray]:
    """Return histograms, distances and relevance of 20 queries among 300 items of 8 bits."""
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(0, 256, (n, 1), dtype=np.uint8) for n in (20, 300))
    labels, query_labels = rng.integers(0, 3, 300), rng.integers(0, 3, 20)
    hist = class_histograms_numpy(queries, query_labels, gallery, labels)
    distance = np.bitwise_count(queries ^ gallery.T)
    return hist, distance, query_labels[:, None] == labels
