"""The nearest items of a gallery from codes as arrays, for a notebook: ``ivr.rank``."""

from typing import NamedTuple

import numpy as np

from .array_inputs import packed_codes
from .ranking import top_k


class Ranking(NamedTuple):
    """The nearest gallery items of each query, nearest first.

    Attributes:
        rows: gallery rows [q, min(k, g)], int64.
        distances: their Hamming distances [q, min(k, g)], uint16, in bits.
    """

    rows: np.ndarray
    distances: np.ndarray


def rank(queries: np.ndarray, gallery: np.ndarray, k: int) -> Ranking:
    """Return the ``k`` nearest gallery items of each query; equal distances keep gallery order.

    Args:
        queries: codes of -1 and +1 [q, bits], or packed codes [q, bits / 8] of uint8.
        gallery: codes of -1 and +1 [g, bits], or packed codes [g, bits / 8] of uint8.
        k: number of items; a gallery of fewer is returned whole.

    Returns:
        Gallery rows and their Hamming distances, nearest first.

    Raises:
        CodesError: neither codes of -1 and +1 nor packed codes.
        RankingError: codes of different lengths, or ``k`` below 1.
    """
    return Ranking(*top_k(packed_codes(queries), packed_codes(gallery), k))
