"""Rasters read by GDAL in processes of their own, which are started when the first one is needed.

GDAL and its libraries are a million lines of C: a damaged file may crash them, occupy a processor
for hours or take all memory. A process of its own survives none of that, but its parent does, and
says which file it was. It sees no variables of the user that change what GDAL does (``GDAL_*``,
``CPL_*`` and others, and configuration files), no network, and no file but the one it is given.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from io import BufferedReader
from typing import Any, cast

import numpy as np

from ivr.errors import IvrError

from .image_bands import PixelConfig
from .media import MediaError

COMMAND = (sys.executable, "-P", "-m", "ivr.features.raster_worker")
# What programs need to run; the rest of the environment is left out.
_KEPT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONHOME",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
)
_SET = {
    "GDAL_CONFIG_FILE": os.devnull,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": "256",  # MB
    "GDAL_NUM_THREADS": "1",
    "OPJ_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PROJ_NETWORK": "OFF",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_OF_SCENES = {"GDAL_CACHEMAX": "64"}  # MB; a part of a scene is read once


def _environment() -> dict[str, str]:
    """Return the environment of a reader, which finds the same modules as this process."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_SET, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class RasterReaderError(IvrError):
    """A reader of rasters that does not start, in one line."""


class RasterReader:
    """One process that reads rasters, one after the other."""

    def __init__(self, files: Sequence[int] = ()) -> None:
        """Start the process.

        Args:
            files: handles of open files that it may read from.

        Raises:
            RasterReaderError: it does not start.
        """
        try:
            self.process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**_environment(), **(_OF_SCENES if files else {})},
                pass_fds=files,
                start_new_session=True,  # Ctrl-C is for the parent, which decides
            )
        except OSError as error:  # no more processes, no memory: no fault of the file
            raise RasterReaderError(
                f"the reader of TIFF and JPEG 2000 does not start ({error.strerror or error}); "
                "use fewer --jobs, or raise the limit on processes or memory"
            ) from error
        assert self.process.stdin and self.process.stdout
        self.requests = self.process.stdin
        self.replies = cast(BufferedReader, self.process.stdout)
        if self.replies.readline() != b"ready\n":
            self.close()
            raise RasterReaderError(
                "the reader of TIFF and JPEG 2000 does not start; see what is wrong with: "
                f"{sys.executable} -m ivr.features.raster_worker < {os.devnull}"
            )

    def ask(self, call: str, arguments: Mapping[str, Any], data: bytes = b"") -> None:
        """Send a request; its reply is to be taken before the next request."""
        request = {"call": call, **arguments, "length": len(data)}
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended: reply() says why
            self.requests.write(json.dumps(request).encode() + b"\n")
            self.requests.write(data)
            self.requests.flush()

    def reply(self) -> Any:
        """Return the value of the reply to the last request, or its pixels as an array of uint8.

        Raises:
            MediaError: what the reader says is wrong with the file, or that it ended on it.
        """
        reply = self._line()
        if reply and "error" in reply:
            raise MediaError(reply["error"])
        if reply and "value" in reply:
            return reply["value"]
        if reply and "shape" in reply:
            pixels = np.empty(reply["shape"], np.uint8)
            if self._fill(pixels):
                return pixels
        raise MediaError(_why_ended(self.process.wait()))

    def _line(self) -> Any:
        try:
            return json.loads(self.replies.readline() or "null")
        except (BrokenPipeError, ConnectionResetError):
            return None

    def _fill(self, pixels: np.ndarray) -> bool:
        with suppress(BrokenPipeError, ConnectionResetError):
            return self.replies.readinto(pixels.reshape(-1).data) == pixels.size
        return False

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.requests, self.replies):
            with suppress(BrokenPipeError):  # a part of a request that was never read
                pipe.close()


_lock = threading.Lock()
_idle: list[RasterReader] = []
_of_parent: list[RasterReader] = []


def read_raster_apart(
    data: bytes, driver: str, pages: Sequence[int], config: PixelConfig
) -> np.ndarray:
    """Return what :func:`ivr.features.raster_file.read_raster` returns, from another process.

    Any number of threads may call this; each has its own process meanwhile.

    Raises:
        MediaError: as there, or the file crashed the reader or took too long.
        RasterReaderError: the reader does not start.
    """
    arguments = {"driver": driver, "pages": list(pages), "config": asdict(config)}
    pixels: np.ndarray = _answer("picture", arguments, data)
    return pixels


def place_apart(data: bytes, driver: str, pages: Sequence[int]) -> dict[str, Any]:
    """Return what :func:`ivr.features.raster_georeference.georeference` returns of a file.

    Raises:
        MediaError: the file cannot be opened, or it crashed the reader.
        RasterReaderError: the reader does not start.
    """
    place: dict[str, Any] = _answer("place", {"driver": driver, "pages": list(pages)}, data)
    return place


def geotiff_apart(values: np.ndarray, **arguments: Any) -> bytes:
    """Return what :func:`ivr.features.raster_writing.geotiff` makes of ``values``.

    Args:
        values: float32 [bands, rows, columns].
        **arguments: as there, as JSON values.

    Raises:
        RasterReaderError: the reader does not start.
    """
    shaped = {**arguments, "shape": list(values.shape)}
    made: np.ndarray = _answer("geotiff", shaped, np.ascontiguousarray(values).tobytes())
    return made.tobytes()


def _answer(call: str, arguments: Mapping[str, Any], data: bytes) -> Any:
    reader = _take()
    try:
        reader.ask(call, arguments, data)
        found = reader.reply()
    except MediaError:
        _give_back(reader)
        raise
    except BaseException:
        reader.close()  # it may be in the middle of a reply
        raise
    _give_back(reader)
    return found


def _take() -> RasterReader:
    while True:
        with _lock:
            reader = _idle.pop() if _idle else None
        if reader is None:
            return RasterReader()
        if reader.is_alive():
            return reader
        reader.close()


def _give_back(reader: RasterReader) -> None:
    if not reader.is_alive():
        reader.close()
        return
    with _lock:
        _idle.append(reader)


def _why_ended(status: int) -> str:
    if status == -signal.SIGPROF:
        return "takes too long to decode; save it with another compression, or cut it into tiles"
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"the reader of rasters ended on it ({how}): damaged, or too large to decode"


@contextmanager
def raster_readers() -> Iterator[None]:
    """End the processes that wait for a raster when the block ends; the next one starts another."""
    try:
        yield
    finally:
        _close_idle()


def _close_idle() -> None:
    while True:
        with _lock:
            if not _idle:
                return
            reader = _idle.pop()
        reader.close()


def _forget() -> None:
    """Leave the readers of the parent to it, in a process that was forked."""
    global _lock
    _lock = threading.Lock()
    _of_parent.extend(_idle)  # kept, so that they are not ended here
    _idle.clear()


atexit.register(_close_idle)
os.register_at_fork(after_in_child=_forget)
