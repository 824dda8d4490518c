"""Processes that read for the service; one that dies or hangs is replaced and harms one request.

Each has a pipe of its own. A pool of ``concurrent.futures`` or of pebble shares its pipes: there, a
process that dies at a bad moment breaks the pool for every later request.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from ivr.errors import IvrError
from ivr.features.media import MediaError

from .deadline import seconds_left
from .reader_process import START_SECONDS, ReaderProcess
from .service_errors import OverloadedError

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


class Turns:
    """Hands out readers in the order in which they are asked for, so that no request waits long.

    A queue of the standard library gives a reader to whichever thread comes first.
    """

    def __init__(self, readers: Iterable[Any]) -> None:
        """Hand out ``readers``."""
        self._lock = Lock()
        self._free = deque(readers)
        self._waiting: deque[SimpleQueue[Any]] = deque()

    def take(self, seconds: float) -> Any:
        """Return a reader, once those who asked before have got theirs.

        Raises:
            OverloadedError: none is free within ``seconds``; the others no longer wait for this.
        """
        with self._lock:
            if self._free:
                return self._free.popleft()
            mine: SimpleQueue[Any] = SimpleQueue()
            self._waiting.append(mine)
        with suppress(Empty):
            return mine.get(timeout=seconds)
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise OverloadedError("all readers are at work; come back in a while")
        return mine.get_nowait()  # it came at the last moment

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

        Raises:
            OverloadedError: they cannot be started.
        """
        self.time_limit, self.lost = time_limit, 0
        self._lock = Lock()
        self._closed = False
        self._all = [ReaderProcess(model) for _ in range(count)]
        self._turns = Turns(self._all)
        try:
            for reader in self._all:
                reader.start()
        except OverloadedError:
            self.close()
            raise

    def read(
        self,
        task: Callable[Parameters, Value],
        *arguments: Parameters.args,
        **more: Parameters.kwargs,
    ) -> Value:
        """Return what ``task`` of :mod:`ivr.pipeline.serving.read_tasks` returns.

        Raises:
            MediaError: as the task, or the process died, took too long or too much memory.
            OverloadedError: no process is free, or one cannot be started, before the request ends.
            IvrError: as the task.
        """
        reader: ReaderProcess = self._turns.take(seconds_left(START_SECONDS))
        whole = False
        try:
            self._ready(reader)
            found: Value = reader.answer((task, arguments, more), self.time_limit)
            whole = True
            return found
        except (IvrError, MemoryError, RuntimeError) as error:
            whole = True
            if isinstance(error, MemoryError):
                raise MediaError("takes too much memory to decode") from error
            raise
        except TimeoutError as error:
            raise MediaError(f"takes longer than {self.time_limit:g} s to read") from error
        except EOFError as error:
            raise MediaError("the reader ended on it: damaged, or too large to decode") from error
        finally:
            if not whole:
                self._replace(reader)
            self._turns.give(reader)

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._closed = True
            for reader in self._all:
                reader.close()

    def _ready(self, reader: ReaderProcess) -> None:
        """Have ``reader`` ready before the request ends; its process may be a new one.

        Raises:
            OverloadedError: it is not, or cannot be started; a later request tries again.
        """
        with self._lock:
            if self._closed:
                raise OverloadedError("the service ends")
            reader.start()
        try:
            reader.get_ready(seconds_left(START_SECONDS))
        except (EOFError, TimeoutError) as error:
            self._replace(reader)
            raise OverloadedError("a reader did not start; come back in a while") from error

    def _replace(self, reader: ReaderProcess) -> None:
        """End the process of ``reader``, and start another one if that is possible now."""
        with self._lock:
            self.lost += 1
            reader.close()
            if not self._closed:
                with suppress(OverloadedError):  # the next request tries again
                    reader.start()
