"""One answer of all commands to SIGINT, SIGTERM and SIGHUP: one line, and exit status 75."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_came = threading.Event()


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block when a signal comes; a second one ends the process.

    A signal that the caller has ignored, as ``nohup`` does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _came.clear()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] != signal.SIG_IGN]

    def interrupt(number: int, frame: object) -> None:
        _came.set()
        for each in taken:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def signal_came() -> bool:
    """Return whether a signal interrupted the block of :func:`signals_interrupt`."""
    return _came.is_set()
