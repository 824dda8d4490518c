"""Exact percentiles of more values than fit in memory, from counts of their bits.

Values are mapped to unsigned integers of the same order. The first pass counts the upper 16 bits,
which says in which of 65 536 bins each wanted value lies; each further pass counts the next 16 bits
within those bins. Values of 16 bits need one pass, float32 two, float64 four.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

LEVEL_BITS = 16


def exact_percentiles(
    blocks: Callable[[], Iterable[np.ndarray]], dtype: np.dtype[Any], percents: Sequence[float]
) -> list[float]:
    """Return what ``numpy.percentile`` returns for all values in float64, in bounded memory.

    Args:
        blocks: yields all values as arrays [n] of ``dtype`` without NaN; the same at each call.
        dtype: type of the values: integers or floats of 1 to 8 bytes.
        percents: from 0 to 100.

    Raises:
        ValueError: there are no values.
    """
    total, first = _counts(blocks, dtype, 0, (0,))
    if not total:
        raise ValueError("no values")
    places = [percent / 100 * (total - 1) for percent in percents]
    ranks = {min(int(place) + step, total - 1) for place in places for step in (0, 1)}
    values = _ranked(blocks, dtype, sorted(ranks), first)
    found = []
    for place in places:
        low = int(place)
        found.append(_between(values[low], values[min(low + 1, total - 1)], place - low))
    return found


def _between(low: float, high: float, share: float) -> float:
    """Interpolate linearly as numpy does, to the last bit."""
    step = high - low
    return high - step * (1 - share) if share >= 0.5 else low + step * share


def _ranked(
    blocks: Callable[[], Iterable[np.ndarray]],
    dtype: np.dtype[Any],
    ranks: Sequence[int],
    first: dict[int, np.ndarray],
) -> dict[int, float]:
    """Return the values at ``ranks`` (from 0) of the sorted values."""
    # Of each rank: the bits that are known, and the rank among the values that begin with them.
    known = {rank: (0, rank) for rank in ranks}
    counts = first
    for level in range(_levels(dtype)):
        if level:
            prefixes = tuple({prefix for prefix, _ in known.values()})
            _, counts = _counts(blocks, dtype, level, prefixes)
        for rank, (prefix, inner) in known.items():
            ends = np.cumsum(counts[prefix])
            digit = int(np.searchsorted(ends, inner, side="right"))
            before = int(ends[digit - 1]) if digit else 0
            known[rank] = (prefix << _level_bits(dtype) | digit, inner - before)
    return {rank: _value(key, dtype) for rank, (key, _) in known.items()}


def _counts(
    blocks: Callable[[], Iterable[np.ndarray]],
    dtype: np.dtype[Any],
    level: int,
    prefixes: Sequence[int],
) -> tuple[int, dict[int, np.ndarray]]:
    """Return the number of values, and per prefix how often each digit of ``level`` follows it."""
    bits = _level_bits(dtype)
    shift = 8 * dtype.itemsize - bits * (level + 1)
    found = {prefix: np.zeros(1 << bits, np.int64) for prefix in prefixes}
    total = 0
    for block in blocks():
        keys = _keys(block)
        total += len(keys)
        if shift:
            keys = keys >> np.array(shift, keys.dtype)
        if not level:  # no bits before these
            found[0] += np.bincount(keys, minlength=1 << bits)
            continue
        digits = keys & np.array((1 << bits) - 1, keys.dtype)
        before = keys >> np.array(bits, keys.dtype)
        for prefix, counts in found.items():
            counts += np.bincount(digits[before == prefix], minlength=len(counts))
    return total, found


def _level_bits(dtype: np.dtype[Any]) -> int:
    return min(LEVEL_BITS, 8 * dtype.itemsize)


def _levels(dtype: np.dtype[Any]) -> int:
    return 8 * dtype.itemsize // _level_bits(dtype)


def _keys(values: np.ndarray) -> np.ndarray:
    """Return unsigned integers in the order of ``values``."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    keys: np.ndarray = np.ascontiguousarray(values).view(f"u{size}")
    top = np.array(1 << (8 * size - 1), keys.dtype)
    if kind == "u":
        return keys
    if kind == "i":
        signed: np.ndarray = keys ^ top
        return signed
    ordered: np.ndarray = np.where(keys & top, ~keys, keys | top)
    return ordered


def _value(key: int, dtype: np.dtype[Any]) -> float:
    """Return the value whose key is ``key``."""
    size = dtype.itemsize
    top = 1 << (8 * size - 1)
    if dtype.kind == "i":
        key ^= top
    elif dtype.kind == "f":
        key = key ^ top if key & top else ~key & ((1 << 8 * size) - 1)
    return float(np.array(key, f"u{size}").view(dtype))
