"""Messages and progress of long work, through the logger ``ivr``.

A library call is silent but for warnings. Three ways to hear more::

    logging.getLogger("ivr").setLevel("INFO")   # with handlers of the caller's own
    with console(): ...                         # lines on stderr, a bar on a terminal
    with reporting(callback): ...               # callback(what, done, total) after every value
"""

import logging
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from ivr.features.atomic_files import appended

from .visible_text import visible, visible_lines

Value = TypeVar("Value")
Callback = Callable[[str, int, int], None]
SECONDS_BETWEEN_LINES = 10.0
LOG = logging.getLogger("ivr")

_CALLBACK: ContextVar[Callback | None] = ContextVar("ivr_callback", default=None)
_FILE: ContextVar[logging.Handler | None] = ContextVar("ivr_log_file", default=None)


def detail(line: str) -> None:
    """Log ``line`` at DEBUG: what only the search for a fault needs."""
    _log(logging.DEBUG, line)


def say(line: str) -> None:
    """Log ``line`` at INFO."""
    _log(logging.INFO, line)


def warn(line: str) -> None:
    """Log ``line`` at WARNING: the result may differ from what the reader expects."""
    _log(logging.WARNING, line)


def progress(values: Iterable[Value], total: int, what: str) -> Generator[Value, None, None]:
    """Yield ``values`` and report how many are done: callback, bar and lines in the log.

    Lines come at INFO, every :data:`SECONDS_BETWEEN_LINES` and at the end. A :func:`console` on a
    terminal shows a bar in their place.

    Args:
        values: the work; each value counts one.
        total: how many there will be.
        what: the unit, in the plural, e.g. ``"images"``.
    """
    values = reported(values, total, what)
    if _bars():
        values = tqdm(values, total=total, unit=f" {what}", desc=what, dynamic_ncols=True)
    began = last = time.monotonic()
    for done, value in enumerate(values, 1):
        yield value
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            rate = done / (now - began)
            left = clock((total - done) / rate)
            _log(logging.INFO, f"{what}: {done} of {total}, {rate:.1f} a second, {left} left", True)
    if total:
        took = clock(time.monotonic() - began)
        _log(logging.INFO, f"{what}: {done} of {total} in {took}", True)


@contextmanager
def updating_line() -> Iterator[Callable[[str, bool], None]]:
    """Yield a function ``show(line, kept)`` that shows ``line`` in place of the one before it.

    On the terminal of a :func:`console` each line takes the place of the one before, and the last
    one stays. In a log the lines that are ``kept`` come at INFO and the others at DEBUG.
    """
    bar = tqdm(bar_format="{desc}", leave=True) if _bars() else None

    def show(line: str, kept: bool) -> None:
        if bar is not None:
            # A longer line would wrap, and the next one would stand below it.
            width = shutil.get_terminal_size().columns - 1
            bar.set_description_str(visible(line)[:width])
        _log(logging.INFO if kept else logging.DEBUG, line, True)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def reported(values: Iterable[Value], total: int, what: str) -> Generator[Value, None, None]:
    """Yield ``values`` and report to the callback alone how many are done, see :func:`progress`."""
    report = _CALLBACK.get() or (lambda what, done, total: None)
    report(what, 0, total)
    for done, value in enumerate(values, 1):
        yield value
        report(what, done, total)


@contextmanager
def reporting(callback: Callback) -> Iterator[None]:
    """Call ``callback(what, done, total)`` for the work that is done inside the block.

    It is called once before the first value and once after each value, in the thread that does the
    work. An exception that it raises ends the work. Processes that the work starts do not call it.

    Example::

        with reporting(lambda what, done, total: print(f"{what}: {done}/{total}")):
            ivr.extract("manifest.csv", "features")
    """
    token = _CALLBACK.set(callback)
    try:
        yield
    finally:
        _CALLBACK.reset(token)


@contextmanager
def console(level: int = logging.INFO) -> Iterator[None]:
    """Write messages of at least ``level`` to stderr, and show progress, inside the block.

    On a terminal progress is a bar, elsewhere plain lines; at WARNING and above there is neither.
    """
    handler, before = _Console(level), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(level)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append the messages of the block to ``path``, each with its time, and show them nowhere else.

    The file and its folder are made with the first message. Messages of other threads are not
    affected.
    """
    handler = _LogFile(path, delay=True, encoding="utf-8")
    handler.setFormatter(_VisibleFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    token = _FILE.set(handler)
    try:
        yield
    finally:
        _FILE.reset(token)
        handler.close()


def clock(seconds: float) -> str:
    """Return ``seconds`` as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Console(logging.Handler):
    """Writes plain lines to the stderr of the moment, above the bar where there is one."""

    def bars(self) -> bool:
        """Return whether progress is shown as a bar."""
        return self.level <= logging.INFO and sys.stderr.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message; a line of progress only where there is no bar."""
        if not (getattr(record, "of_progress", False) and self.bars()):
            tqdm.write(visible_lines(self.format(record)), file=sys.stderr)


class _VisibleFormatter(logging.Formatter):
    """Escapes control characters, which come from data."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as text that a terminal shows as it is."""
        return visible_lines(super().format(record))


class _LogFile(logging.FileHandler):
    """A log file whose folder is made when it is opened."""

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return TextIOWrapper(appended(Path(self.baseFilename)), encoding="utf-8")


def _bars() -> bool:
    consoles = (handler for handler in LOG.handlers if isinstance(handler, _Console))
    return _FILE.get() is None and any(handler.bars() for handler in consoles)


def _log(level: int, line: str, of_progress: bool = False) -> None:
    """Log ``line``, to the file of :func:`logging_to` alone where there is one."""
    file, extra = _FILE.get(), {"of_progress": of_progress}
    if file is None:
        LOG.log(level, line, extra=extra)
    elif level >= logging.INFO:
        file.handle(LOG.makeRecord(LOG.name, level, __file__, 0, line, (), None, extra=extra))
