"""``ivr prepare``: a manifest from the files of a data set."""

import shlex
from pathlib import Path
from typing import Literal

import click

from ivr.pipeline.datasets.layouts import layout_texts
from ivr.pipeline.datasets.prepare import prepare as run
from ivr.pipeline.datasets.prepare_config import PrepareConfig
from ivr.pipeline.datasets.splits import CUTS, Cut

from .command import Command, command
from .errors import one_line

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class HelpWithLayouts(Command):
    """A command whose help lists the layouts, one per line."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the layouts."""
        with formatter.section("Layouts"):
            formatter.write_dl(list(layout_texts().items()))


@command(cls=HelpWithLayouts)
@click.argument("layout")
@click.option("--images", type=FOLDER, required=True, help="Folder of the images.")
@click.option(
    "--voices", type=FOLDER, help="Folder of the voices; without it the manifest has images alone."
)
@click.option(
    "--captions",
    type=FILE,
    multiple=True,
    help="File *_caps.txt with five lines per image; repeatable.",
)
@click.option(
    "--class-lists", type=FOLDER, help="Folder of text files with image names, one file per class."
)
@click.option("--json", type=FILE, help="File dataset_*.json of the layout karpathy.")
@click.option(
    "--table",
    type=FILE,
    help="CSV with the columns image, voice and optionally label and others; overrides file names.",
)
@click.option(
    "--split",
    "cut",
    type=click.Choice([*CUTS, "none"]),
    default=PrepareConfig.split,
    show_default=True,
    help="Shares of the split to draw; none leaves it to train-hash.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=PrepareConfig.seed,
    show_default=True,
    help="Seed of that draw.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Manifest to write (CSV).",
)
@click.option("--dry-run", is_flag=True, help="Read and prove everything, but write nothing.")
@click.option("--force", is_flag=True, help="Overwrite an existing manifest.")
def prepare(
    layout: str,
    images: Path,
    voices: Path | None,
    captions: tuple[Path, ...],
    class_lists: Path | None,
    json: Path | None,
    table: Path | None,
    cut: Cut | Literal["none"],
    seed: int,
    out: Path,
    dry_run: bool,
    force: bool,
) -> None:
    """Write a manifest from the files of a data set.

    LAYOUT is one of those below, an entry point of the group ivr.layouts, or module:function.
    Voices are named after their image: <name>S<k>, <name>_<k>, <name>-<k> or <name>. If names do
    not prove a class or a pair, the command says so in one line, and --table can give it.

    \b
    Example:
      ivr prepare ucm --images UCM/imgs --voices UCM/wav --split 80/20 --out manifest.csv
    """
    config = PrepareConfig(
        images, voices, captions, class_lists, json, table, cut, seed, force, dry_run
    )
    with one_line():
        click.echo(run(layout, out, config))
    if dry_run:
        click.echo("dry run: nothing written")
        return
    click.echo(f"written: {out}")
    roots = ["--image-root", str(images), "--voice-root", str(voices or images)]
    click.echo(f"next: {shlex.join(['ivr', 'check', str(out), *roots])}")
