"""The command line: one module per command; parse, call one public function, print."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from ivr.names import unknown

from .boundary import guarded
from .errors import one_line
from .messages import message_options
from .signals import signals_interrupt

GROUPS = {
    "Data sets": {
        "prepare": "Write a manifest from the files of a data set.",
        "check": "Audit a manifest and its files.",
    },
    "Features": {
        "extract": "Turn images and voices into feature files.",
        "merge": "Merge the features that the tasks of a job array extracted.",
        "probe": "Tell what limits the result: images, voices or the method.",
    },
    "Hashing": {
        "train-hash": "Train image and voice hash functions on feature files.",
        "encode": "Turn features into packed codes with a trained run.",
        "pack": "Write a trained run as a folder that answers queries without torch.",
    },
    "Archives": {
        "archive": "Keep codes with their metadata: add, remove, update, compact.",
        "export": "Write codes for FAISS, PostgreSQL, Parquet and other engines.",
    },
    "Results": {
        "evaluate": "Rank by distance and print the metrics of a run.",
        "compare": "Train and evaluate many methods, into one table.",
        "report": "Write one page of a run or comparison, with queries and their hits.",
        "search": "Find the images nearest to a voice, or the voices nearest to an image.",
        "locate": "Find places in a huge scene by voice or image, with a heat map.",
        "serve": "Serve an archive over HTTP, with a page where operators speak.",
    },
    "Other": {
        "verify": "Compare files with their checksums.",
        "doctor": "Check the arithmetic of this machine, and measure how fast it is.",
        "demo": "Draw, speak, extract, train, evaluate and search a small set.",
    },
}
"""Commands with one line each, in the order of the work."""
COMMANDS = {name: text for commands in GROUPS.values() for name, text in commands.items()}


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is called."""

    def __init__(self, *arguments: Any, **choices: Any) -> None:
        """Add the options that ``ivr`` shares with its commands."""
        super().__init__(*arguments, **choices)
        self.params += message_options()

    def main(self, *arguments: Any, **choices: Any) -> Any:
        """Run a command; as a program, without arguments from Python, behind the last boundary."""
        if arguments or choices:
            return super().main(*arguments, **choices)
        return guarded(super().main)

    def invoke(self, context: click.Context) -> Any:
        """Run a command; a signal ends it with one line, also while it is being loaded."""
        with signals_interrupt(), one_line():
            return super().invoke(context)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; one that does not exist is named with near ones."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            context.fail(str(unknown("command", args[0], COMMANDS)))
        return super().resolve_command(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command ``name``, ``None`` where there is none."""
        if name not in COMMANDS:
            return None
        attribute = name.replace("-", "_")
        command: click.Command = getattr(import_module(f"ivr.cli.{attribute}"), attribute)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by group without importing any of them."""
        width = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("image-voice-hashing"), prog_name="ivr")
def main() -> None:
    """Deep image-voice hashing: a spoken sentence finds remote sensing images by 8-byte codes.

    \b
    The main job, on a manifest of your own images and voices:
      ivr extract manifest.csv --out features
      ivr train-hash features --out run
      ivr evaluate run

    \b
    Exit status: 0 done; 1 an input that cannot be used (one line says which and what to do);
    2 a call with a wrong option, name or value, or a --config file that cannot be used;
    3 done, but some files were skipped (each named on stderr); 70 a fault of ivr itself;
    75 stopped early with nothing lost: call again to go on (train-hash with --resume).
    """


def every_command() -> dict[str, click.Command]:
    """Return every command by its name, those of a group as ``archive add``; imports them all."""
    found: dict[str, click.Command] = {}
    context = click.Context(main, info_name="ivr")
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {part}": own for part, own in command.commands.items()}
        else:
            found[name] = command
    return found
