"""Process that reads rasters for :mod:`ivr.features.raster_process`: requests in, replies out.

A request is a line of JSON: the name of a call, its arguments, and the length of the bytes that
follow (``length``). A reply is a line of JSON with a ``value``, or with the ``shape`` of the uint8
pixels that follow it, or with an ``error``. The process ends when its input ends, or when the
process that started it is gone.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from .image_bands import PixelConfig
from .media import MediaError
from .raster_file import opened_raster_of, read_raster
from .raster_georeference import georeference
from .raster_scene import SceneFile
from .raster_writing import geotiff

MAX_MEMORY = 3 << 30
"""Address space of the process, bytes."""
MAX_SECONDS = 120
"""Processor time for one file, or one piece of a scene; the process ends by SIGPROF after it."""


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
        length = request.pop("length", 0)
        data = sys.stdin.buffer.read(length)
        if len(data) == length:
            _answer(CALLS[request.pop("call")], request, data, replies)


def _answer(
    call: Callable[..., Any], arguments: dict[str, Any], data: bytes, replies: BinaryIO
) -> None:
    pixels = None
    _restart_clock()
    try:
        value = call(data, **arguments)
    except MediaError as error:
        reply: dict[str, Any] = {"error": str(error)}
    except MemoryError:
        reply = {"error": f"needs more than {MAX_MEMORY} bytes of memory; cut it into tiles"}
    else:
        pixels = value if isinstance(value, np.ndarray) else None
        reply = {"value": value} if pixels is None else {"shape": pixels.shape}
    _send(replies, reply, pixels)
    signal.setitimer(signal.ITIMER_PROF, 0)


def _send(replies: BinaryIO, reply: dict[str, Any], pixels: np.ndarray | None) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    if pixels is not None:
        replies.write(np.ascontiguousarray(pixels).data)
    replies.flush()


def _restart_clock() -> None:
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)


def _picture(data: bytes, driver: str, pages: list[int], config: dict[str, Any]) -> np.ndarray:
    return read_raster(data, driver, pages, PixelConfig(**config))


def _place(data: bytes, driver: str, pages: list[int]) -> dict[str, Any]:
    with opened_raster_of(data, driver, pages) as raster:
        return georeference(raster.datasets[0])


def _scene(data: bytes, file: int, config: dict[str, Any]) -> dict[str, Any]:
    while _scenes:
        _scenes.pop().close()
    _scenes.append(SceneFile(file, PixelConfig(**config), _restart_clock))
    return _scenes[0].place()


def _of_scene(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that answers with ``method`` of the open scene."""
    return lambda data, **arguments: method(_scenes[0], **arguments)


def _end_with(parent: int) -> None:
    """End this process once ``parent`` is gone, whatever it decodes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


_scenes: list[SceneFile] = []
CALLS: dict[str, Callable[..., Any]] = {
    "picture": _picture,
    "place": _place,
    "geotiff": geotiff,
    "scene": _scene,
    "stretch": _of_scene(SceneFile.stretch),
    "rows": _of_scene(SceneFile.rows),
    "part": _of_scene(SceneFile.part),
    "preview": _of_scene(SceneFile.preview),
    "degrees": _of_scene(SceneFile.degrees),
    "outlines": _of_scene(SceneFile.outlines),
}
"""What is done for each call; the first argument is the bytes that followed the request."""


if __name__ == "__main__":
    main()
