"""Expected mistakes end in one line and exit status 1; a traceback means a bug."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ivr.errors import IvrError, first_line
from ivr.names import UnknownNameError
from ivr.pipeline.runtime.visible_text import visible, visible_lines

from .messages import show
from .signals import signal_came

SKIPPED = 3
CALL_AGAIN = 75
WAY_ON = "ivr.way_on"
"""Key in the context of a function that returns the call which goes on after an interrupt."""
SHARED_MEMORY = "/dev/shm"
"""Where parallel readers keep their locks."""
NO_ROOM = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "quota used up",
    errno.EFBIG: "no file may grow so large (ulimit -f)",
}


@contextmanager
def one_line() -> Iterator[None]:
    """Turn errors of this package and of the file system into one line.

    What is wrong with the call itself is a usage error (exit status 2): a refused option, a name
    that nothing has, a config file that cannot be used. Any other :class:`IvrError` has exit status
    1. A plain ``ValueError`` is a bug.
    An interrupt (:mod:`.signals`) is exit status 75: every stage can be called again. After a
    signal any other error counts as one, since libraries turn the interrupt into errors of theirs.
    """
    try:
        with _interrupts():
            yield
    except click.ClickException as error:
        vars(error).update(message=visible_lines(error.message))
        raise
    except KeyboardInterrupt:
        context = click.get_current_context(silent=True)
        advice = context.meta.get(WAY_ON, lambda: "") if context else lambda: ""
        show(f"stopped; nothing that was finished is lost: {advice() or 'call again'}", err=True)
        raise SystemExit(CALL_AGAIN) from None
    except IvrError as error:
        from ivr.config import OptionError  # here, since pydantic would make the help slower

        if isinstance(error, OptionError | UnknownNameError):
            raise click.UsageError(
                visible(str(error)), click.get_current_context(silent=True)
            ) from error
        logging.getLogger("ivr").debug("the error in full:", exc_info=error)
        raise click.ClickException(visible(str(error))) from error
    except MemoryError as error:
        raise _memory_full() from error
    except ImportError as error:
        raise click.ClickException(
            f"a library cannot be loaded ({first_line(error)}); install ivr anew, or "
            "see which library it needs"
        ) from error
    except RuntimeError as error:
        # torch has no class of its own for the memory of a processor.
        if "DefaultCPUAllocator" in str(error):
            raise _memory_full() from error
        # torch's own class, without importing torch.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise click.ClickException(
            "the GPU's memory is full; give a smaller --batch-size, wait for the others that use "
            "it, or take --device cpu: nothing that was finished is lost"
        ) from error
    except OSError as error:
        # Of two files the second one is written, e.g. when one is copied to the other.
        name = error.filename if error.filename2 is None else error.filename2
        if error.errno in NO_ROOM:
            raise click.ClickException(
                visible(
                    f"{name or 'disk'}: {NO_ROOM[error.errno]}; nothing that was finished is lost: "
                    "free some room and call again"
                )
            ) from error
        if error.errno == errno.EPIPE:
            raise  # whoever read the output has left: click ends in silence
        if error.errno == errno.ENOMEM:
            raise _memory_full() from error
        what = error.strerror or first_line(error)
        if name is not None:
            advice = "; name a place that can be written" if error.errno == errno.EROFS else ""
            raise click.ClickException(visible(f"{name}: {what}{advice}")) from error
        shared = "" if os.access(SHARED_MEMORY, os.W_OK) else f"; {SHARED_MEMORY} is not writable"
        raise click.ClickException(f"the system refuses a call ({what}){shared}") from error


def _memory_full() -> click.ClickException:
    return click.ClickException(
        "the memory does not suffice; give a smaller --batch-size or fewer --jobs where there are "
        "such options, or take a larger machine: nothing that was finished is lost"
    )


@contextmanager
def _interrupts() -> Iterator[None]:
    """Turn an error after a signal into KeyboardInterrupt."""
    try:
        yield
    except Exception as error:
        if signal_came():
            raise KeyboardInterrupt from error
        raise


@contextmanager
def settings() -> Iterator[None]:
    """Turn a refused choice into a usage error (exit status 2)."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def describe(kind: type[Any]) -> None:
    """Print name, default and meaning of the options of the config ``kind``."""
    from ivr.pipeline.runtime.config_options import describe as rows

    for name, default, text in rows(kind):
        show(f"{name}={default}")
        show(click.wrap_text(text, 96, "    ", "    "))
