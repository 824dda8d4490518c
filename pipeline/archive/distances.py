"""How clearly the first hit of a search stands out from the other codes of the archive."""

from dataclasses import dataclass

import numpy as np

from ivr.hashing.ranking import hamming_distance

SAMPLE = 1 << 14
"""Largest number of codes that a query is compared with for its confidence."""
UNCLEAR = 0.5
"""Confidence below which a query is probably about nothing that the archive knows.

Measured in docs/benchmarks.md: nine of ten sentences about known classes are above it; noise and
silence are below it for most methods, but not for csq.
"""


@dataclass(frozen=True)
class Confidence:
    """How clearly the first hit stands out.

    Attributes:
        value: 1 - first / median, from 0 (no nearer than half of the archive) to 1 (equal codes).
        first: distance of the first hit, bits.
        median: median distance of the query to the codes of the archive, bits; of a share of them
            that is spread over the archive where it is large.
    """

    value: float
    first: int
    median: float

    @property
    def unclear(self) -> bool:
        """Whether the query is probably about nothing that the archive knows."""
        return self.value < UNCLEAR

    def __repr__(self) -> str:
        """Return the confidence in one line."""
        line = (
            f"confidence {self.value:.2f}: first hit at {self.first} bits, half of the archive "
            f"within {self.median:g}"
        )
        return f"{line}; probably about nothing that the archive knows" if self.unclear else line


def confidence(code: np.ndarray, sample: np.ndarray, first: int) -> Confidence:
    """Return how clearly a hit at distance ``first`` stands out.

    Args:
        code: packed code of the query [bits / 8], uint8.
        sample: packed codes of the archive [n, bits / 8], uint8, at least one.
        first: distance of the nearest hit, bits.
    """
    median = float(np.median(hamming_distance(code[None], sample)[0]))
    return Confidence(max(0.0, 1 - first / median) if median else 0.0, first, median)
