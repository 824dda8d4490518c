"""``ivr prepare``: a manifest from the files of a data set."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.datasets.layouts import layout_texts
from ivr.pipeline.datasets.prepare_config import PrepareConfig

from .command import Command, command
from .config_file import write_choices
from .errors import SKIPPED
from .messages import show
from .options import Shown, config_options
from .paths import EXISTING_FILE, EXISTING_FOLDER, FILE


class HelpWithLayouts(Command):
    """A command whose help lists the layouts, one per line."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the layouts."""
        with formatter.section("Layouts"):
            formatter.write_dl(list(layout_texts().items()))


@command(cls=HelpWithLayouts)
@click.argument("layout")
@click.option(
    "--out",
    type=FILE,
    required=True,
    help="Manifest to write: CSV, or Parquet if its name ends in .parquet.",
)
@config_options(
    PrepareConfig,
    {
        "images": Shown(type=EXISTING_FOLDER),
        "voices": Shown(type=EXISTING_FOLDER),
        "captions": Shown(type=EXISTING_FILE),
        "class_lists": Shown(type=EXISTING_FOLDER),
        "json": Shown(type=EXISTING_FILE),
        "table": Shown(type=EXISTING_FILE),
    },
)
@click.pass_context
def prepare(context: click.Context, layout: str, out: Path, options: dict[str, Any]) -> None:
    """Write a manifest from the files of a data set.

    LAYOUT is one of those below, an entry point of the group ivr.layouts, or module:function.
    Voices are named after their image: <name>S<k>, <name>_<k>, <name>-<k> or <name>. If names do
    not prove a class or a pair, the command says so in one line, and --table can give it.

    \b
    Exit status:
      0  every image and voice has a row
      1  files that cannot be used
      3  files were passed over; the last line counts them by suffix

    \b
    Example:
      ivr prepare ucm --images UCM/imgs --voices UCM/wav --split 80/20 --out manifest.csv
    """
    import ivr

    result = ivr.prepare(layout, out, PrepareConfig(**options))
    show(replace(result, passed_over={}))
    if options.get("dry_run"):
        show("dry run: nothing written")
    else:
        write_choices(out)
        show(f"written: {out}")
        images = options["images"]
        roots = ["--image-root", str(images), "--voice-root", str(options.get("voices", images))]
        show(f"next: {shlex.join(['ivr', 'check', str(out), *roots])}")
    if result.passed_over:
        show(result.passed_over_text())
        context.exit(SKIPPED)
