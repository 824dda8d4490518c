"""Process that reads rasters for :mod:`ivr.features.raster_process`: one request, one reply.

A request is a line of JSON with the driver, the pages, the choices and the length of the file,
followed by the file. A reply is a line of JSON with the shape of the picture, followed by it, or
with the error. The process ends when its input ends, or when the process that started it is gone.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO

from .image_bands import PixelConfig
from .media import MediaError
from .raster_file import read_raster

MAX_MEMORY = 3 << 30
"""Address space of the process, bytes."""
MAX_SECONDS = 120
"""Processor time for one file; the process ends by SIGPROF after it."""


def main() -> None:
    """Answer requests until the input ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the replies
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with suppress(ValueError, OSError):  # the limit is lower already, or the system has none
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    replies.write(b"ready\n")
    replies.flush()
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        data = sys.stdin.buffer.read(request["length"])
        if len(data) == request["length"]:
            signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
            _answer(request, data, replies)
            signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(request: dict[str, object], data: bytes, replies: BinaryIO) -> None:
    try:
        config = PixelConfig(**request["config"])  # type: ignore[arg-type]
        driver, pages = str(request["driver"]), request["pages"]
        pixels = read_raster(data, driver, pages, config)  # type: ignore[arg-type]
    except MediaError as error:
        reply: dict[str, object] = {"error": str(error)}
    except MemoryError:
        reply = {"error": f"needs more than {MAX_MEMORY} bytes of memory; cut it into tiles"}
    else:
        replies.write(json.dumps({"shape": pixels.shape}).encode() + b"\n")
        replies.write(pixels.data)
        replies.flush()
        return
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _end_with(parent: int) -> None:
    """End this process once ``parent`` is gone, whatever it decodes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
