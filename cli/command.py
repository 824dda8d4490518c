"""What all commands share: options for messages, and one line for expected errors."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from .errors import one_line

LEVEL = "ivr.level"
"""Key of the level of messages in the context; the group and its command share it."""


def _set_level(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
    def note(context: click.Context, parameter: click.Parameter, given: bool) -> None:
        if given and context.meta.setdefault(LEVEL, level) != level:
            raise click.UsageError("--quiet and --verbose exclude each other; give one", context)

    return note


def message_options() -> list[click.Option]:
    """Return --quiet and --verbose."""
    return [
        click.Option(
            ["--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_set_level(logging.WARNING),
            help="Write only warnings and errors to stderr.",
        ),
        click.Option(
            ["--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_set_level(logging.DEBUG),
            help="Write details for finding a fault to stderr.",
        ),
    ]


class Command(click.Command):
    """A command with the options that all share; an expected error ends it with one line."""

    def __init__(self, *arguments: Any, **choices: Any) -> None:
        """Add the shared options after those of the command."""
        super().__init__(*arguments, **choices)
        self.params += message_options()

    def invoke(self, context: click.Context) -> Any:
        """Run the command with its messages on stderr."""
        # Here, since tqdm would make the help slower.
        from ivr.pipeline.runtime.progress import console, detail

        with console(context.meta.get(LEVEL, logging.INFO)), one_line():
            detail(f"{context.command_path}: {context.params}")
            return super().invoke(context)


command = partial(click.command, cls=Command)
"""The decorator of every command of ``ivr``."""
