"""Histograms from the arrays of a notebook: distances or codes, relevance or labels."""

from typing import TypeAlias

import numpy as np

from .buckets import MetricsError
from .codes import pack
from .histograms import Histograms, file_order_histograms, score_histograms
from .ranking import hamming_distance

Items: TypeAlias = np.ndarray | tuple[np.ndarray, np.ndarray]
"""Distances [q, g], or the codes of queries and gallery."""

Relevance: TypeAlias = np.ndarray | tuple[np.ndarray, np.ndarray]
"""Booleans [q, g], or the labels of queries [q] and gallery [g]."""


def packed_codes(codes: np.ndarray) -> np.ndarray:
    """Return codes of -1 and +1 [n, bits], or packed codes [n, bits / 8] of uint8, packed.

    Raises:
        CodesError: neither.
    """
    codes = np.asarray(codes)
    return codes if codes.dtype == np.uint8 else pack(codes)


def item_histograms(items: Items, relevance: Relevance, gallery_order: bool) -> Histograms:
    """Return the histograms of ``items``, with tied items in gallery order if asked."""
    make = file_order_histograms if gallery_order else score_histograms
    return make(_distances(items), _relevant(relevance))


def hamming_histograms(items: Items, relevance: Relevance) -> Histograms:
    """Return the histograms of ``items`` with bucket d for Hamming distance d.

    Raises:
        MetricsError: distances that are not integers from 0 on.
    """
    distance, relevant = _distances(items), _relevant(relevance)
    if not np.issubdtype(distance.dtype, np.integer) or (distance.size and distance.min() < 0):
        raise MetricsError(
            f"Hamming distances must be integers, 0 or more, got {distance.dtype}"
            + (f" from {distance.min()}" if distance.size else "")
        )
    compact = score_histograms(distance, relevant)  # checks the shapes
    queries, buckets = len(compact.items), int(distance.max()) + 1
    cell = np.arange(queries)[:, None] * buckets + distance.astype(np.int64)
    size, shape = queries * buckets, (queries, buckets)
    return Histograms(
        np.bincount(cell.ravel(), minlength=size).reshape(shape),
        np.bincount(cell[relevant], minlength=size).reshape(shape),
    )


def _distances(items: Items) -> np.ndarray:
    if isinstance(items, tuple):
        return hamming_distance(*(packed_codes(codes) for codes in items))
    return np.asarray(items)


def _relevant(relevance: Relevance) -> np.ndarray:
    if isinstance(relevance, tuple):
        queries, gallery = (np.asarray(labels) for labels in relevance)
        if queries.ndim != 1 or gallery.ndim != 1:
            raise MetricsError(
                "labels must be [q] and [g], got shapes "
                f"{list(queries.shape)} and {list(gallery.shape)}"
            )
        same: np.ndarray = queries[:, None] == gallery[None, :]
        return same
    return np.asarray(relevance)
