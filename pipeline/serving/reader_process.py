"""One process that reads for the service, and this end of its pipe.

It is a program of its own: a process of ``multiprocessing`` would run the script again that serves
the archive, unless that script has a ``__main__`` guard.
"""

import os
import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from ivr.errors import IvrError
from ivr.features.media import MediaError

from .service_errors import OverloadedError

START_SECONDS = 120.0
"""Patience for a new process, which imports what it needs."""
_PROGRAM = "import sys; from ivr.pipeline.serving.reader_process import work; work(*sys.argv[1:])"


class ReaderProcess:
    """A process that does the tasks of :mod:`ivr.pipeline.serving.read_tasks` one by one."""

    def __init__(self, model: str) -> None:
        """Start no process yet.

        Args:
            model: folder of the packed model.
        """
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process unless it runs; it gets ready meanwhile.

        Raises:
            OverloadedError: there are no more processes, handles or memory.
        """
        if self._process is not None:
            return
        try:
            self._pipe, other = Pipe()
            with other:  # closed here, so that the end of the process ends the pipe
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM,
                     str(other.fileno()), str(os.getpid()), self._model],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    pass_fds=[other.fileno()],
                    start_new_session=True,  # Ctrl-C is for the parent, which decides
                )  # fmt: skip
        except (OSError, MemoryError) as error:
            raise OverloadedError(f"no reader can be started ({error}); come back later") from error
        self._begun, self._ready = time.monotonic(), False

    def get_ready(self, seconds: float) -> None:
        """Wait until the process can read.

        Raises:
            EOFError: it died.
            TimeoutError: it is ready neither within ``seconds`` nor within :data:`START_SECONDS`.
            OverloadedError: it is not ready within ``seconds``, and may be later.
        """
        if self._ready:
            return
        patience = self._begun + START_SECONDS - time.monotonic()
        try:
            self._take(min(seconds, patience))
        except TimeoutError as error:
            if seconds < patience:
                raise OverloadedError("the readers are not ready; come back in a while") from error
            raise
        self._ready = True

    def answer(self, request: tuple[Any, ...], time_limit: float) -> Any:
        """Return the answer of the process, which is ready, or raise the error that it ended in.

        Raises:
            EOFError: the process died.
            TimeoutError: it took longer than ``time_limit`` seconds.
        """
        try:
            self._pipe.send(request)
        except OSError as error:
            raise EOFError from error
        found = self._take(time_limit)
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """End the process; :meth:`start` starts another one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._pipe.close()
            self._process = None

    def _take(self, seconds: float) -> Any:
        try:
            if self._pipe.poll(seconds):
                return self._pipe.recv()
        except OSError as error:
            raise EOFError from error
        raise TimeoutError


def work(handle: str, parent: str, model: str) -> None:
    """Answer requests until the pipe ends; what the process of a reader does.

    Args:
        handle: number of the handle of the pipe.
        parent: number of the process whose end ends this one.
        model: folder of the packed model.
    """
    from .read_tasks import start_reader

    pipe = Connection(int(handle))
    start_reader(int(parent), model)
    pipe.send(True)
    while True:
        try:
            task, arguments, more = pipe.recv()
        except EOFError:
            return
        try:
            found: Any = task(*arguments, **more)
        except (IvrError, MemoryError) as error:
            found = error
        except OSError as error:
            found = MediaError(f"cannot be read: {error.strerror or type(error).__name__}")
        except Exception as error:  # a fault of ours: it is told, and the process goes on
            found = RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send(found)
