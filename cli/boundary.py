"""The last boundary of the program ``ivr``: what reaches it becomes one line and an exit status.

It stands around the command line when that runs as a program. A caller of :func:`ivr.cli.main` with
arguments, such as a test, gets the exception instead.
"""

import io
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from ivr.pipeline.runtime.visible_text import visible

FAULT = 70
"""Exit status of a fault of ``ivr`` itself (EX_SOFTWARE)."""


class ForgivingStream(io.TextIOWrapper):
    """Text written to a handle; what cannot be written, for example on a full disk, is lost."""

    def __init__(self, handle: int) -> None:
        """Write to the open file ``handle``, line by line."""
        binary = io.BufferedWriter(io.FileIO(handle, "w", closefd=False))
        super().__init__(binary, "utf-8", errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        """Write ``text`` if that is possible."""
        with suppress(OSError, ValueError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is waiting if that is possible."""
        with suppress(OSError, ValueError):
            super().flush()


def guarded(program: Callable[[], Any]) -> NoReturn:
    """Run ``program`` and exit with its status; no exception becomes a traceback.

    A result that cannot be written to stdout is an error; messages that cannot be written to stderr
    are lost, and the work goes on.
    """
    _open_standard_handles()
    status = _status(program)
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _say(f"Error: the result cannot be written to stdout ({reason})")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more at exit
        status = status or 1
    sys.exit(status)


def _open_standard_handles() -> None:
    """Give the standard handles that the caller closed to nothing.

    Otherwise the next file that is opened gets the number 2, and messages are written into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = ForgivingStream(2)


def _status(program: Callable[[], Any]) -> int:
    try:
        program()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        _say(str(ended.code))
        return 1
    except KeyboardInterrupt:
        _say("stopped; nothing that was finished is lost: call again")
        return 75
    except BaseException as error:
        if "--verbose" in sys.argv:
            traceback.print_exc()
        line = " ".join(str(error).split())[:500]
        what = f"{type(error).__name__}: {line}" if line else type(error).__name__
        if isinstance(error, OSError | MemoryError | ImportError):
            _say(f"Error: the system or a library fails ({what})")
            return 1
        more = "" if "--verbose" in sys.argv else " with what the same call says with --verbose"
        _say(f"Error: a fault of ivr itself ({what}); please report it{more}")
        return FAULT
    return 0


def _say(line: str) -> None:
    print(visible(line), file=sys.stderr)
