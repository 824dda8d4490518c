"""How clearly the first hit of a search stands out from the other codes of the archive."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ivr.hashing.ranking import hamming_distance
from ivr.pipeline.packing.calibration import standing_out
from ivr.pipeline.runtime.words import counted

if TYPE_CHECKING:  # it imports h5py
    from ivr.pipeline.packing.search import EncodedQuery

SAMPLE = 1 << 14
"""Largest number of codes that a query is compared with for its confidence."""
UNCLEAR = 0.5
"""Confidence below which a query is probably about nothing known, for models without calibration.

These are runs, and models that an earlier version packed. Measured in docs/benchmarks.md.
"""
NOTHING = "probably about nothing known"


@dataclass(frozen=True)
class Confidence:
    """How clearly the first hit stands out.

    With a calibrated model, the query is compared with known items, the validation items of the
    model. The value depends neither on the size of the archive nor on what else is in it; a first
    hit that is farther than the nearest known item lowers it. Without calibration, the query is
    compared with the archive: there the first hit of any query gets nearer as the archive grows.

    Attributes:
        value: 1 - nearest / median, at least 0; 1 for equal codes. Nearest is the larger of
            ``first`` and ``known``.
        first: distance of the first hit, bits.
        median: median distance of the query to the known items, bits; without calibration, to the
            codes of the archive, or to a share of them that is spread over it where it is large.
        threshold: value below which the query is probably about nothing known.
        known: distance of the nearest known item, bits; None without calibration.
        unclear: whether the query is probably about nothing known.
        words: all of it in one line.
    """

    value: float
    first: int
    median: float
    threshold: float = UNCLEAR
    known: int | None = None
    unclear: bool = field(init=False)
    words: str = field(init=False)

    def __post_init__(self) -> None:
        """Compare the value with the threshold and say it in words."""
        line = f"confidence {self.value:.2f}: first hit at {counted(self.first, 'bit')}, "
        if self.known is None:
            line += f"half of the archive within {self.median:g}"
        else:
            line += f"nearest known item at {self.known}, half of these within {self.median:g}"
        unclear = self.value < self.threshold
        object.__setattr__(self, "unclear", unclear)
        object.__setattr__(self, "words", f"{line}; {NOTHING}" if unclear else line)

    def __repr__(self) -> str:
        """Return the confidence in one line."""
        return self.words


def confidence(code: np.ndarray, sample: np.ndarray, first: int) -> Confidence:
    """Return how clearly a hit at distance ``first`` stands out.

    Args:
        code: packed code of the query [bits / 8], uint8.
        sample: packed codes of the archive [n, bits / 8], uint8, at least one.
        first: distance of the nearest hit, bits.
    """
    median = float(np.median(hamming_distance(code[None], sample)[0]))
    return Confidence(float(standing_out(first, median)), first, median)


def against_known(found: Confidence | None, query: "EncodedQuery") -> Confidence | None:
    """Return ``found`` measured against the known items of the model of ``query``.

    Args:
        found: how clearly the first hit stands out from the archive; None without a hit.
        query: the query, with the calibration of its model; without one ``found`` is returned.
    """
    if found is None or query.calibration is None:
        return found
    known, median = query.calibration.distances(query.code)
    value = float(standing_out(max(found.first, known), median))
    return Confidence(value, found.first, median, query.calibration.threshold, known)
