"""Processes that read for the service; one that dies or hangs is replaced and harms one request.

Each has a pipe of its own. A pool of ``concurrent.futures`` or of pebble shares its pipes: there, a
process that dies at a bad moment breaks the pool for every later request.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from ivr.features.media import MediaError

from .read_tasks import start_reader

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")
_SPAWN = multiprocessing.get_context("spawn")
START_SECONDS = 120.0
"""Patience for a new process, which imports what it needs."""


class _Reader:
    """One process, and this end of its pipe."""

    def __init__(self, model: str) -> None:
        self.pipe, other = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(other, os.getpid(), model), daemon=True)
        self.process.start()
        other.close()  # so that the end of the process ends the pipe
        self.ready = False

    def answer(self, request: tuple[Any, ...], time_limit: float) -> Any:
        """Return the answer to ``request``, or raise the error that it ended in.

        Raises:
            EOFError: the process died.
            TimeoutError: it took longer than ``time_limit`` seconds.
        """
        if not self.ready:
            self._take(START_SECONDS)
            self.ready = True
        try:
            self.pipe.send(request)
        except OSError as error:
            raise EOFError from error
        found = self._take(time_limit)
        if isinstance(found, BaseException):
            raise found
        return found

    def _take(self, seconds: float) -> Any:
        try:
            if self.pipe.poll(seconds):
                return self.pipe.recv()
        except OSError as error:
            raise EOFError from error
        raise TimeoutError

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection, parent: int, model: str) -> None:
    """Answer requests until the pipe ends; the process of a reader."""
    start_reader(parent, model)
    pipe.send(True)
    while True:
        try:
            task, arguments, more = pipe.recv()
        except EOFError:
            return
        try:
            found: Any = task(*arguments, **more)
        except (MediaError, MemoryError) as error:
            found = error
        except Exception as error:  # a fault of ours: it is told, and the process goes on
            found = RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send(found)


class Turns:
    """Hands out readers in the order in which they are asked for, so that no request waits long.

    A queue of the standard library gives a reader to whichever thread comes first.
    """

    def __init__(self, readers: Iterable[Any]) -> None:
        """Hand out ``readers``."""
        self._lock = Lock()
        self._free = deque(readers)
        self._waiting: deque[SimpleQueue[Any]] = deque()

    def take(self) -> Any:
        """Return a reader, once those who asked before have got theirs."""
        with self._lock:
            if self._free:
                return self._free.popleft()
            mine: SimpleQueue[Any] = SimpleQueue()
            self._waiting.append(mine)
        return mine.get()

    def give(self, reader: Any) -> None:
        """Give a reader back."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().put(reader)
            else:
                self._free.append(reader)


class Readers:
    """A few processes that decode what strangers send.

    Attributes:
        lost: number of processes that died or were ended.
    """

    def __init__(self, count: int, time_limit: float, model: str) -> None:
        """Start ``count`` processes.

        Args:
            count: number of processes.
            time_limit: seconds after which a file is given up.
            model: folder of the packed model.
        """
        self.time_limit, self.model, self.lost = time_limit, model, 0
        self._lock = Lock()
        self._all = [_Reader(model) for _ in range(count)]
        self._turns = Turns(self._all)

    def read(
        self,
        task: Callable[Parameters, Value],
        *arguments: Parameters.args,
        **more: Parameters.kwargs,
    ) -> Value:
        """Return what ``task`` of :mod:`ivr.pipeline.serving.read_tasks` returns.

        Raises:
            MediaError: as the task, or the process died, took too long or too much memory.
        """
        reader: _Reader = self._turns.take()
        whole = False
        try:
            found: Value = reader.answer((task, arguments, more), self.time_limit)
            whole = True
            return found
        except (MediaError, MemoryError, RuntimeError) as error:
            whole = True
            if isinstance(error, MemoryError):
                raise MediaError("takes too much memory to decode") from error
            raise
        except TimeoutError as error:
            raise MediaError(f"takes longer than {self.time_limit:g} s to read") from error
        except EOFError as error:
            raise MediaError("the reader ended on it: damaged, or too large to decode") from error
        finally:
            self._turns.give(reader if whole else self._replaced(reader))

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            for reader in self._all:
                reader.close()
            self._all.clear()

    def _replaced(self, reader: _Reader) -> _Reader:
        """Return a new process in the place of ``reader``."""
        reader.close()
        new = _Reader(self.model)
        with self._lock:
            self.lost += 1
            self._all = [new if one is reader else one for one in self._all]
        return new
