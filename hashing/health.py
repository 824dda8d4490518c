"""Whether codes use their bits: balance, dead bits, correlation, distinct codes, and confusion.

A bit that is the same on every item carries no information, one that is +1 on half of them
carries most, and two bits that always agree carry as much as one. Codes are packed ([n, bits / 8],
uint8) and unpacked in blocks; counts are exact integers, so they do not depend on the blocks.
Shares are from 0 to 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivr.errors import IvrError

from .codes import unpack
from .histograms import Histograms

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Entries unpacked at once: 16 MiB of float32, and counts in it that float32 holds exactly (2^24).
ENTRIES = 1 << 22


class HealthError(IvrError):
    """The health of codes cannot be computed; the message is one line that says why."""


@dataclass(frozen=True, eq=False)
class BitCounts:
    """How often bits are +1, alone and two at a time; counts of more items add up.

    Attributes:
        items: n.
        both: [bits, bits], int64, items on which both bits are +1; the diagonal counts one bit.
    """

    items: int
    both: Integers

    def __add__(self, other: "BitCounts") -> "BitCounts":
        """Return the counts of the items of both."""
        return BitCounts(self.items + other.items, self.both + other.both)

    @property
    def positive(self) -> Floats:
        """Share of items on which each bit is +1 [bits]."""
        share: Floats = np.diagonal(self.both) / self.items
        return share

    @property
    def dead(self) -> Integers:
        """Places, from 0, of the bits that are the same on every item."""
        count = np.diagonal(self.both)
        return np.flatnonzero((count == 0) | (count == self.items))

    @property
    def imbalance(self) -> float:
        """Mean over bits of |2p - 1|, p the share of +1: 0 all balanced, 1 all dead."""
        return float(np.abs(2 * self.positive - 1).mean())

    @property
    def correlation(self) -> Floats:
        """Pearson's correlation of every two bits [bits, bits]; NaN if one of them is dead."""
        count = np.diagonal(self.both)
        covariance = self.items * self.both - np.outer(count, count)
        variance = (count * (self.items - count)).astype(np.float64)
        # The root of the product is exact for a bit and its copy, so they are correlated by 1.
        scale = np.sqrt(np.outer(variance, variance))
        found = np.full(scale.shape, np.nan)
        np.divide(covariance, scale, out=found, where=scale > 0)
        return found

    def absolute_correlations(self) -> Floats:
        """Return |correlation| of every two different living bits [pairs], each pair once."""
        alive = np.setdiff1d(np.arange(len(self.both)), self.dead)
        upper = np.triu_indices(len(alive), 1)
        pairs: Floats = np.abs(self.correlation[np.ix_(alive, alive)][upper])
        return pairs


def bit_counts(packed: np.ndarray) -> BitCounts:
    """Return the counts of ``packed`` codes [n, bits / 8].

    Raises:
        HealthError: no codes. CodesError: not packed codes.
    """
    if not len(packed):
        raise HealthError("the health of codes needs at least one code")
    bits = 8 * packed.shape[1]
    both = np.zeros((bits, bits), np.int64)
    step = max(1, ENTRIES // bits)
    for start in range(0, len(packed), step):
        positive = (unpack(packed[start : start + step], bits) == 1).astype(np.float32)
        both += (positive.T @ positive).astype(np.int64)
    return BitCounts(len(packed), both)


def code_counts(packed: np.ndarray) -> Integers:
    """Return how many items have each of the distinct codes among ``packed`` [n, bits / 8].

    Raises:
        HealthError: no codes.
    """
    if not len(packed):
        raise HealthError("counting distinct codes needs at least one code")
    ranked = packed[np.lexsort(packed.T)]
    starts = np.flatnonzero((ranked[1:] != ranked[:-1]).any(axis=1)) + 1
    return np.diff(np.concatenate([[0], starts, [len(packed)]]))


def entropy(counts: Integers) -> float:
    """Return the entropy, in bits, of the shares of ``counts``, each 1 or more.

    log2(n) if all n items have different codes, 0 if all have the same.
    """
    share = counts / counts.sum()
    return float(np.abs((share * np.log2(share)).sum()))


def agreement(packed: np.ndarray, others: np.ndarray) -> float:
    """Return the share of bits that are equal in codes and their partners, row for row.

    Args:
        packed: [n, bits / 8], uint8.
        others: [n, bits / 8], uint8.

    Raises:
        HealthError: other shapes, or no pair.
    """
    if packed.shape != others.shape or not packed.size:
        raise HealthError(
            f"pairs need codes of one shape, got {list(packed.shape)} and {list(others.shape)}"
        )
    step = max(1, ENTRIES // packed.shape[1])
    differing = sum(
        int(np.bitwise_count(packed[rows] ^ others[rows]).sum(dtype=np.int64))
        for rows in (slice(start, start + step) for start in range(0, len(packed), step))
    )
    return 1 - differing / (8 * packed.size)


def quantisation_errors(outputs: np.ndarray) -> Floats:
    r"""Return the quantisation error of ``outputs``, for the first 8, 16, ... bits.

    With the outputs :math:`u` of all items for the first b bits, the least error over scales a,

    .. math:: \min_a \|u - a\,\mathrm{sign}(u)\|^2 / \|u\|^2 = 1 - (\sum|u|)^2 / (K \sum u^2),

    with K the number of entries and a = mean :math:`|u|`. It does not depend on the scale of u.
    0: all outputs are equally large; 0.25: uniform around 0; 1 - 2 / pi = 0.363: normal.

    Args:
        outputs: [n, bits], real, bits a multiple of 8.

    Returns:
        Errors [bits / 8], from 0 to 1; NaN if all outputs are 0 or one is infinite.

    Reference:
        The criterion of Gong and Lazebnik, "Iterative Quantization", CVPR 2011, eq. 2, with the
        best scale and divided by the norm, so that methods compare.
    """
    absolute, square = np.zeros((2, outputs.shape[1]))
    step = max(1, ENTRIES // max(1, outputs.shape[1]))
    for start in range(0, len(outputs), step):
        block = np.abs(outputs[start : start + step].astype(np.float64))
        absolute += block.sum(axis=0)
        square += (block**2).sum(axis=0)
    absolute, square = np.cumsum(absolute)[7::8], np.cumsum(square)[7::8]
    entries = len(outputs) * 8 * np.arange(1, len(absolute) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors: Floats = np.maximum(0, 1 - absolute**2 / (entries * square))
    return errors


@dataclass(frozen=True, eq=False)
class PairDistances:
    """Hamming distances of queries and gallery, pairs of all queries together.

    Attributes:
        relevant: [bits + 1], int64, relevant pairs at each distance.
        other: [bits + 1], int64, the other pairs.
    """

    relevant: Integers
    other: Integers

    @property
    def overlap(self) -> float:
        """Sum over distances of the lesser share, from 0 to 1; NaN if a kind has no pair.

        0 if a radius separates all relevant pairs from all others.
        """
        return float(np.minimum(shares(self.relevant), shares(self.other)).sum())

    @property
    def means(self) -> tuple[float, float]:
        """Mean distance of relevant and of other pairs, in bits; NaN if there is none."""
        distance = np.arange(len(self.relevant))
        relevant, other = (shares(counts) @ distance for counts in (self.relevant, self.other))
        return float(relevant), float(other)


def pair_distances(hist: Histograms) -> PairDistances:
    """Return the distances in ``hist`` [q, bits + 1], bucket d for distance d, of all queries."""
    relevant = hist.relevant.sum(axis=0)
    return PairDistances(relevant, hist.items.sum(axis=0) - relevant)


def shares(counts: Integers) -> Floats:
    """Return ``counts`` divided by their sum; NaN if that is 0."""
    total = counts.sum()
    return counts / total if total else np.full(counts.shape, np.nan)


def confusion(
    distance: Callable[[Integers], np.ndarray],
    query_labels: Integers,
    gallery_labels: Integers,
    classes: int,
    *,
    nearest: int,
    pairs: int,
    at_once: int = 1 << 20,
) -> tuple[Floats, Integers]:
    """Return the classes that the queries of each class find first, and how many were used.

    The number of items of each class among the first ``nearest`` of a query, divided by
    ``nearest`` (by the size of the gallery, if that is smaller). Ties count by the mean over their
    orders: m / n for each of the n items at a distance of which m are among the first. Then the
    mean over the queries of a class. The diagonal is precision at ``nearest`` by class.

    If queries times gallery are more than ``pairs``, every s-th query of each class is used, from
    its first one on, with the least s that keeps to ``pairs`` (at least one query per class).

    Args:
        distance: returns the distances [r, g] of the queries in the rows [r].
        query_labels: classes [q], integers from 0; a query below 0 has no class and is not used.
        gallery_labels: classes [g]; items below 0 take their places and have no class.
        classes: number of classes.
        nearest: number of first items that count.
        pairs: greatest number of distances to compute.
        at_once: greatest number of distances held in memory.

    Returns:
        Shares [classes, classes], one row per class of the query, NaN in a row without a query;
        and the number of queries used [classes].

    Raises:
        HealthError: an empty gallery, or ``nearest`` below 1.
    """
    if not len(gallery_labels) or nearest < 1:
        raise HealthError(
            f"nothing among the first {nearest} of a gallery of {len(gallery_labels)}"
        )
    rows = _thinned(query_labels, max(1, pairs // len(gallery_labels)))
    kept = min(nearest, len(gallery_labels))
    column = np.where(gallery_labels < 0, classes, gallery_labels)
    found = np.zeros((classes, classes + 1))
    step = max(1, at_once // len(gallery_labels))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        query, item, weight = _expected_first(distance(block), kept)
        cell = query_labels[block][query] * (classes + 1) + column[item]
        found += np.bincount(cell, weight, found.size).reshape(found.shape)
    asked = np.bincount(query_labels[rows], minlength=classes)
    with np.errstate(invalid="ignore"):
        return found[:, :classes] / (kept * asked[:, None]), asked


def _thinned(labels: Integers, most: int) -> Integers:
    """Return the rows of every s-th item of each class, about ``most``; none of a class below 0."""
    rows: Integers = np.argsort(labels, kind="stable")
    rows = rows[labels[rows] >= 0]
    ranked = labels[rows]
    within = np.arange(len(rows)) - np.searchsorted(ranked, ranked)
    step = max(1, -(-len(rows) // most))
    kept: Integers = rows[within % step == 0]
    return kept


def _expected_first(distance: np.ndarray, kept: int) -> tuple[Integers, Integers, Floats]:
    """Return the items among the first ``kept`` of each row: row, item and probability."""
    last = np.partition(distance, kept - 1, axis=1)[:, kept - 1]
    query, item = np.divmod(np.flatnonzero(distance <= last[:, None]), distance.shape[1])
    tied = distance[query, item] == last[query]
    at_last = np.bincount(query[tied], minlength=len(distance))
    before = np.bincount(query[~tied], minlength=len(distance))
    return query, item, np.where(tied, ((kept - before) / at_last)[query], 1.0)
