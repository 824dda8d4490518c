"""Ranked lists as buckets of tied items, cut at k: what every metric is computed from.

A bucket has n items, r of them relevant; N items, R of them relevant, lie before it; m of its items
are among the first k; T items are relevant in all. The formulas of the metrics use these letters.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivr.errors import IvrError

from .histograms import Histograms

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


class MetricsError(IvrError):
    """A metric cannot be computed as asked; the message is one line that says why."""


@dataclass(frozen=True)
class Buckets:
    """Buckets of ranked lists, cut at k; arrays of one shape, which broadcast.

    Attributes:
        size: n, items.
        relevant: r, relevant items.
        before: N, items before the bucket.
        hits: R, relevant items before the bucket.
        kept: m, items among the first k.
    """

    size: Integers
    relevant: Integers
    before: Integers
    hits: Integers
    kept: Integers


def cut_buckets(hist: Histograms, k: int) -> Buckets:
    """Return the buckets [q, buckets] of ``hist``, cut at k."""
    before = np.cumsum(hist.items, axis=1) - hist.items
    return Buckets(
        size=hist.items,
        relevant=hist.relevant,
        before=before,
        hits=np.cumsum(hist.relevant, axis=1) - hist.relevant,
        kept=np.clip(k - before, 0, hist.items),
    )


def is_cut(buckets: Buckets) -> Booleans:
    """Return which buckets k cuts: only a part of their items is among the first k."""
    return (buckets.kept > 0) & (buckets.kept < buckets.size)


def bucket_cut(buckets: Buckets) -> Buckets:
    """Return the bucket of each list that k cuts [q, 1]; an empty one where k cuts none."""
    cut = is_cut(buckets)
    whole = buckets.kept == buckets.size
    return Buckets(
        size=(buckets.size * cut).sum(axis=1, keepdims=True),
        relevant=(buckets.relevant * cut).sum(axis=1, keepdims=True),
        before=(buckets.before * cut).sum(axis=1, keepdims=True),
        hits=(buckets.relevant * whole).sum(axis=1, keepdims=True),
        kept=(buckets.kept * cut).sum(axis=1, keepdims=True),
    )


def fewest_hits(buckets: Buckets) -> Integers:
    """Return the least number of relevant items among the items kept of each bucket."""
    return np.maximum(0, buckets.kept - (buckets.size - buckets.relevant))


def most_hits(buckets: Buckets) -> Integers:
    """Return the greatest number of relevant items among the items kept of each bucket."""
    return np.minimum(buckets.relevant, buckets.kept)


def hits_probability(bucket: Buckets, cases: int) -> Floats:
    """Return the hypergeometric probability of the fewest hits among the items kept, and so on.

    From the quotients of neighbouring probabilities, so that no factorial is ever formed.

    Args:
        bucket: the bucket cut [q, 1].
        cases: numbers of hits to give, from the fewest.

    Returns:
        Probabilities [q, cases], 0 past the greatest number of hits.
    """
    hits = fewest_hits(bucket) + np.arange(cases - 1)
    more = (bucket.relevant - hits) * (bucket.kept - hits)
    fewer = (hits + 1) * (bucket.size - bucket.relevant - bucket.kept + hits + 1)
    steps = np.full(hits.shape, -np.inf)
    np.log(ratio(more, fewer), out=steps, where=hits < most_hits(bucket))
    log = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    probability: Floats = weight / weight.sum(axis=1, keepdims=True)
    return probability


def ratio(numerator: Floats | Integers, denominator: Integers) -> Floats:
    """Return the quotient, 0 where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator != 0)


def check_cutoff(k: int) -> None:
    """Raise :class:`MetricsError` for a cut-off below 1."""
    if k < 1:
        raise MetricsError(f"a cut-off must be 1 or more, got {k}")
