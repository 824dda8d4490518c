"""Tasks of a reader process that end badly; a module of its own, which imports next to nothing."""

import os
import signal
import time

from ivr.features.raster_process import RasterReaderError


def die(_: object) -> None:
    """End the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds: float) -> float:
    """Return ``seconds`` after as many seconds."""
    time.sleep(seconds)
    return seconds


def take(count: int) -> int:
    """Return ``count`` after taking as many bytes of memory."""
    return len(bytearray(count))


def fail(_: object) -> None:
    """Fail as a fault of ours would."""
    raise KeyError("a fault")


def refuse(_: object) -> None:
    """Fail as a reader of rasters that does not start does."""
    raise RasterReaderError("the reader does not start")
