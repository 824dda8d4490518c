"""What ``ivr`` prints, and ``--quiet`` and ``--verbose`` for ``ivr`` and each of its commands."""

import logging
from collections.abc import Callable

import click

from ivr.pipeline.runtime.visible_text import visible_lines

_LEVEL = "ivr.level"


def show(text: object, *, err: bool = False) -> None:
    """Print ``text``; control characters in it, which come from data, are escaped."""
    click.echo(visible_lines(str(text)), err=err)


def message_options() -> list[click.Option]:
    """Return --quiet and --verbose."""
    return [
        _option("--quiet", logging.WARNING, "Write only warnings and errors to stderr."),
        _option("--verbose", logging.DEBUG, "Write details for finding a fault to stderr."),
    ]


def message_level(context: click.Context) -> int:
    """Return the level that ``ivr`` or its command was given, INFO by default."""
    level: int = context.meta.get(_LEVEL, logging.INFO)
    return level


def _option(name: str, level: int, text: str) -> click.Option:
    return click.Option(
        [name], is_flag=True, expose_value=False, callback=_set_level(level), help=text
    )


def _set_level(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
    def note(context: click.Context, parameter: click.Parameter, given: bool) -> None:
        # The context of a command shares its meta with that of the group.
        if given and context.meta.setdefault(_LEVEL, level) != level:
            raise click.UsageError("--quiet and --verbose exclude each other; give one", context)

    return note
