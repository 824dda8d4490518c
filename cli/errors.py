"""Expected mistakes end in one line and exit status 1; a traceback means a bug."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ivr.config import OptionError
from ivr.errors import IvrError

from .signals import signal_came

SKIPPED = 3
CALL_AGAIN = 75
WAY_ON = "ivr.way_on"
"""Key in the context of a function that returns the call which goes on after an interrupt."""
NO_ROOM = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "quota used up",
    errno.EFBIG: "no file may grow so large (ulimit -f)",
}


@contextmanager
def one_line() -> Iterator[None]:
    """Turn errors of this package and of the file system into one line.

    A refused option is a usage error (exit status 2), any other :class:`IvrError` has exit status
    1. A plain ``ValueError`` is a bug.
    An interrupt (:mod:`.signals`) is exit status 75: every stage can be called again. After a
    signal any other error counts as one, since libraries turn the interrupt into errors of theirs.
    """
    try:
        with _interrupts():
            yield
    except KeyboardInterrupt:
        context = click.get_current_context(silent=True)
        advice = context.meta.get(WAY_ON, lambda: "") if context else lambda: ""
        click.echo(
            f"stopped; nothing that was finished is lost: {advice() or 'call again'}", err=True
        )
        raise SystemExit(CALL_AGAIN) from None
    except OptionError as error:
        raise click.UsageError(str(error), click.get_current_context(silent=True)) from error
    except IvrError as error:
        logging.getLogger("ivr").debug("the error in full:", exc_info=error)
        raise click.ClickException(str(error)) from error
    except RuntimeError as error:
        # torch's own class, without importing torch.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise click.ClickException(
            "the GPU's memory is full; give a smaller --batch-size, wait for the others that use "
            "it, or take --device cpu: nothing that was finished is lost"
        ) from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise click.ClickException(
                f"{error.filename or 'disk'}: {NO_ROOM[error.errno]}; nothing that was finished "
                "is lost: free some room and call again"
            ) from error
        if error.filename is None:
            raise
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error


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
        click.echo(f"{name}={default}")
        click.echo(click.wrap_text(text, 96, "    ", "    "))
