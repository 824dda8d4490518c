"""What the confidence of an answer is measured against: known items and known queries.

Imports no torch. ``ivr pack`` computes it from the validation split of a run
(:mod:`ivr.pipeline.packing.calibrate`) and keeps it in ``model.json``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from ivr.hashing.ranking import hamming_distance

QUANTILE = 0.05
"""Share of known queries that may be called unknown."""
LEAST = 20
"""Smallest number of known queries and of known items; a quantile of fewer says nothing."""


class StoredCalibration(TypedDict):
    """A :class:`Calibration` in ``model.json``: its codes are hexadecimal digits."""

    threshold: float
    quantile: float
    queries: int
    computed: str
    codes: list[str]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Known items of one modality, and the confidence of known queries of the other.

    Attributes:
        codes: packed codes of known items [m, bits / 8], uint8.
        threshold: confidence below which a query is probably about nothing known.
        quantile: share of the known queries that may lie below the threshold.
        queries: number of known queries that it was computed from.
    """

    codes: np.ndarray
    threshold: float
    quantile: float
    queries: int

    def distances(self, code: np.ndarray) -> tuple[int, float]:
        """Return the least and the median distance of ``code`` to the known items, bits.

        Args:
            code: packed code [bits / 8] or [1, bits / 8], uint8.
        """
        found = hamming_distance(code.reshape(1, -1), self.codes)[0]
        return int(found.min()), float(np.median(found))


def standing_out(nearest: float | np.ndarray, median: float | np.ndarray) -> Any:
    """Return 1 - nearest / median, at least 0; 0 where the median is 0.

    Args:
        nearest: distance of the nearest item, bits: a number or an array.
        median: median distance of all items, bits: the same shape.
    """
    nearest, median = np.asarray(nearest, np.float64), np.asarray(median, np.float64)
    share = np.divide(nearest, median, out=np.ones(np.shape(median)), where=median > 0)
    return np.maximum(0.0, 1.0 - share)


def calibrated(
    queries: np.ndarray, items: np.ndarray, own: np.ndarray, quantile: float = QUANTILE
) -> Calibration | None:
    """Return the calibration by known queries, None if these or the items are fewer than 20.

    The threshold is the confidence of a known query: at most the share ``quantile`` of them lies
    below it.

    Args:
        queries: packed codes of known queries [n, bits / 8], uint8.
        items: packed codes of known items of the other modality [m, bits / 8], uint8.
        own: booleans [n, m], pairs of a query and its own item, which are not compared: later
            queries are about other items.
        quantile: share of the known queries that may lie below the threshold, 0 to 1.
    """
    if min(len(queries), len(items)) < LEAST:
        return None
    values = np.empty(len(queries))
    for row, query in enumerate(queries):
        found = hamming_distance(query[None], items)[0][~own[row]]
        values[row] = standing_out(found.min(), np.median(found)) if len(found) else np.nan
    values = values[~np.isnan(values)]
    if len(values) < LEAST:
        return None
    # An attained value: the codes of some methods have so few distances that interpolation
    # between two of them would put many queries below the threshold.
    threshold = float(np.quantile(values, quantile, method="lower"))
    return Calibration(np.ascontiguousarray(items), threshold, quantile, len(values))


def as_stored(found: Calibration, computed: str) -> StoredCalibration:
    """Return ``found`` as ``model.json`` has it; ``computed`` says in words how it was computed."""
    return {
        "threshold": found.threshold,
        "quantile": found.quantile,
        "queries": found.queries,
        "computed": computed,
        "codes": [code.tobytes().hex() for code in found.codes],
    }


def from_stored(stored: Mapping[str, StoredCalibration], bits: int) -> dict[str, Calibration]:
    """Return the calibrations of ``model.json`` by the modality of the query.

    Args:
        stored: calibrations by modality, ``voice`` or ``image``.
        bits: bits per code of the model.

    Raises:
        ValueError: codes of another length, no code, or a threshold outside 0 to 1.
    """
    return {name: _from_stored(one, bits) for name, one in stored.items()}


def _from_stored(stored: StoredCalibration, bits: int) -> Calibration:
    try:
        rows = [bytes.fromhex(code) for code in stored["codes"]]
    except ValueError as error:
        raise ValueError("codes of known items that are not hexadecimal") from error
    if not rows or {8 * len(row) for row in rows} != {bits}:
        raise ValueError(f"codes of known items that have not {bits} bits")
    if not 0 <= stored["threshold"] <= 1:
        raise ValueError("a threshold outside 0 to 1")
    codes = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    return Calibration(codes, stored["threshold"], stored["quantile"], stored["queries"])
