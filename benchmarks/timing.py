"""Helpers of the benchmarks: the time of a call, and a median with its range."""

import time
from collections.abc import Callable, Sequence

import numpy as np


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float] | np.ndarray) -> str:
    """Return the median with the least and the greatest."""
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
