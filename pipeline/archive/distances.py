"""How clearly the first hit of a search stands out from the other codes of the archive."""

from dataclasses import dataclass

import numpy as np

from ivr.hashing.ranking import hamming_distance

SAMPLE = 1 << 16
"""Largest number of codes that a query is compared with for its confidence."""


@dataclass(frozen=True)
class Confidence:
    """How clearly the first hit stands out.

    Attributes:
        value: from 0 to 1.
        first: distance of the first hit, bits.
        median: median distance of the query to the codes of the archive, bits.
    """

    value: float
    first: int
    median: float


def confidence(code: np.ndarray, codes: np.ndarray, first: int) -> Confidence:
    """Return how clearly a hit at distance ``first`` stands out among ``codes``.

    Args:
        code: packed code of the query [bits / 8], uint8.
        codes: packed codes of the archive [n, bits / 8], uint8.
        first: distance of the nearest of them, bits.
    """
    step = -(-len(codes) // SAMPLE)
    distances = hamming_distance(code[None], codes[::step])[0]
    median = float(np.median(distances))
    value = max(0.0, (median - first) / median) if median else 0.0
    return Confidence(value, first, median)
