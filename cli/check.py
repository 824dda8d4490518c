"""``ivr check``: an audit of a manifest and its files."""

import json
from pathlib import Path

import click

from ivr.pipeline.datasets.check_config import CheckConfig
from ivr.pipeline.datasets.splits import CUTS, Cut

from .command import command
from .errors import SKIPPED, one_line

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--root", type=FOLDER, help="Folder of images and voices. [default: the manifest's]")
@click.option("--image-root", type=FOLDER, help="Folder of the images, if another than --root.")
@click.option("--voice-root", type=FOLDER, help="Folder of the voices, if another than --root.")
@click.option(
    "--split",
    "cut",
    type=click.Choice(list(CUTS)),
    default=CheckConfig.split,
    show_default=True,
    help="Shares of the split that is drawn where the manifest has none.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=CheckConfig.seed,
    show_default=True,
    help="Seed of that draw; training with this seed draws the same split.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Threads that read files. [default: one a core]"
)
@click.option("--json", "as_json", is_flag=True, help="Print everything found as JSON.")
@click.option("--strict", is_flag=True, help="Exit with 3 for warnings as for problems.")
@click.pass_context
def check(
    context: click.Context,
    manifest: Path,
    root: Path | None,
    image_root: Path | None,
    voice_root: Path | None,
    cut: Cut,
    seed: int,
    jobs: int | None,
    as_json: bool,
    strict: bool,
) -> None:
    """Audit a manifest and its files: what is broken, what leaks, what chance would give.

    Every image and voice is opened. Named are files that are missing, unreadable, silent or copies
    of another; labels that differ in spelling only; images, groups, names and captions on two sides
    of the split that training uses, which is printed.

    \b
    Exit status:
      0  nothing wrong
      1  a manifest that cannot be used
      3  problems found (with --strict: or warnings)

    \b
    Example:
      ivr check manifest.csv --image-root UCM/imgs --voice-root UCM/wav
    """
    from ivr.pipeline.datasets.audit import check as run

    config = CheckConfig(cut, seed, jobs)
    roots = {"root": root, "image_root": image_root, "voice_root": voice_root}
    with one_line():
        audit = run(manifest, config, **roots)
    click.echo(json.dumps(audit.to_dict(), indent=2, ensure_ascii=False) if as_json else audit)
    if audit.problems() or (strict and audit.warnings()):
        context.exit(SKIPPED)
