"""When long work has to end early: a signal, or a time limit."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Tells when to stop in good order: a signal came, or the time is up.

    Attributes:
        acted_on: work was stopped because of it, and nothing more is to be begun.
    """

    def __init__(self, time_limit: float) -> None:
        """Start the clock; ``time_limit`` in seconds, 0 for none."""
        self.acted_on = False
        self._signalled = threading.Event()
        self._deadline = time.monotonic() + time_limit if time_limit else float("inf")

    def __bool__(self) -> bool:
        """Return whether to stop now."""
        return self.signalled or time.monotonic() > self._deadline

    @property
    def signalled(self) -> bool:
        """Whether a signal came."""
        return self._signalled.is_set()

    @contextmanager
    def ending(self, *lost: type[Exception]) -> Iterator[None]:
        """End the block in good order on Ctrl-C or an error of ``lost``, if it is time to stop.

        A terminal and a batch system signal the helper processes as well as this one: that these
        are lost is then no fault. Without a reason to stop, the error is raised.
        """
        ends: tuple[type[BaseException], ...] = (KeyboardInterrupt, *lost)
        try:
            yield
        except ends:
            if not self:
                raise
            self.acted_on = True

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGINT, SIGTERM and SIGHUP as a wish to stop; a second one acts as usual.

        A signal that the caller has ignored, as ``nohup`` does, stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        before = {n: handler for n, handler in handlers.items() if handler != signal.SIG_IGN}

        def note(number: int, frame: object) -> None:
            self._signalled.set()
            signal.signal(number, before[signal.Signals(number)])
            # Past Python's buffers: the signal may have interrupted a write to one of them.
            with suppress(OSError):  # the terminal is gone, or the disk of a log is full
                os.write(2, b"stopping after this batch; nothing is lost\n")

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
