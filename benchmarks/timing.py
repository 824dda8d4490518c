"""Helpers of the benchmarks: the time of a call, and a median with its range."""

import time
from collections.abc import Callable, Sequence

import numpy as np


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long ``work`` takes by ``clock``, in seconds."""
    start = clock()
    work()
    return clock() - start


def spread(values: Sequence[float] | np.ndarray) -> str:
    """Return the median with the least and the greatest."""
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
