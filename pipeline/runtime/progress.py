"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Generator, Iterable
from typing import TypeVar

from tqdm import tqdm

Value = TypeVar("Value")
SECONDS_BETWEEN_LINES = 10.0


def say(line: str) -> None:
    """Print a plain line to stderr, above the bar where there is one."""
    tqdm.write(line, file=sys.stderr)


def progress(values: Iterable[Value], total: int, what: str) -> Generator[Value, None, None]:
    """Yield ``values`` and show how far they are.

    Args:
        values: the work; each value counts one.
        total: how many there will be.
        what: the unit, in the plural, e.g. ``"images"``.
    """
    if sys.stderr.isatty():
        yield from tqdm(values, total=total, unit=f" {what}", desc=what, dynamic_ncols=True)
        return
    began = last = time.monotonic()
    done = 0
    for done, value in enumerate(values, 1):
        yield value
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            rate = done / (now - began)
            left = (total - done) / rate
            say(f"{what}: {done} of {total}, {rate:.1f} a second, {clock(left)} left")
    took = time.monotonic() - began
    if total:
        say(f"{what}: {done} of {total} in {clock(took)}")


def clock(seconds: float) -> str:
    """Return ``seconds`` as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
