"""How long a request may still take; what works for it gives up by then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LONGEST_RESERVE = 1.0
_end: ContextVar[float | None] = ContextVar("end of the request", default=None)


@contextmanager
def request_deadline(seconds: float) -> Iterator[None]:
    """Give the request that is answered inside the block ``seconds``; threads of it know them.

    A part of the time is kept for the answer that says that it is over.
    """
    reserve = min(_LONGEST_RESERVE, seconds / 10)
    before = _end.set(time.monotonic() + seconds - reserve)
    try:
        yield
    finally:
        _end.reset(before)


def seconds_left(otherwise: float) -> float:
    """Return the seconds that the request still has, ``otherwise`` if this is no request."""
    end = _end.get()
    return otherwise if end is None else max(0.0, end - time.monotonic())
