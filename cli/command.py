"""What all commands share: --config, options for messages, and one line for expected errors."""

from collections import Counter
from functools import partial
from typing import Any

import click

from ivr.names import unknown

from .config_file import PARAMETERS, config_option
from .errors import one_line
from .messages import message_level, message_options
from .options import take_options


class Command(click.Command):
    """A command with the options that all share; an expected error ends it with one line."""

    def __init__(self, *arguments: Any, **choices: Any) -> None:
        """Add the shared options after those of the command."""
        super().__init__(*arguments, **choices)
        self.params += [config_option(), *message_options()]

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse ``args``; what a callback finds wrong is one line too."""
        with one_line():
            self._refuse_repeated(context, args)
            return super().parse_args(context, args)

    def _refuse_repeated(self, context: click.Context, args: list[str]) -> None:
        """Refuse a value that is given twice, of which click would take the last."""
        _, _, order = self.make_parser(context).parse_args(list(args))
        for parameter, times in Counter(order).items():
            if not isinstance(parameter, click.Option) or times == 1:
                continue
            if not (parameter.is_flag or parameter.multiple or parameter.count):
                name = max(parameter.opts, key=len)
                raise click.UsageError(f"{name} is given {times} times; give it once", context)

    def invoke(self, context: click.Context) -> Any:
        """Run the command with its messages on stderr."""
        # Here, since tqdm would make the help slower.
        from ivr.pipeline.runtime.progress import console, detail

        with console(message_level(context)), one_line():
            context.meta[PARAMETERS] = dict(context.params)
            detail(f"{context.command_path}: {context.params}")
            take_options(self, context)
            return super().invoke(context)


class CommandGroup(click.Group):
    """A command that is a group of commands; one that does not exist is named with near ones."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            context.fail(str(unknown("command", args[0], self.commands)))
        return super().resolve_command(context, args)


command = partial(click.command, cls=Command)
"""The decorator of every command of ``ivr``."""
