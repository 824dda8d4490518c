"""``ivr check``: an audit of a manifest and its files."""

from pathlib import Path

import click

from .errors import SKIPPED, one_line

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--root", type=FOLDER, help="Folder of images and voices. [default: the manifest's]")
@click.option("--image-root", type=FOLDER, help="Folder of the images, if another than --root.")
@click.option("--voice-root", type=FOLDER, help="Folder of the voices, if another than --root.")
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
    jobs: int | None,
    as_json: bool,
    strict: bool,
) -> None:
    """Audit a manifest and its files: what is broken, what leaks, what chance would give.

    Every image and voice is opened. Named are files that are missing, unreadable, silent or copies
    of another; labels that differ in spelling only; images, groups, names and captions on two sides
    of a split.

    \b
    Exit status:
      0  nothing wrong
      1  a manifest that cannot be used
      3  problems found (with --strict: or warnings)

    \b
    Example:
      ivr check manifest.csv --image-root UCM/imgs --voice-root UCM/wav
    """
    from ivr.pipeline.datasets.audit import CheckConfig, audit_as_json, audit_in_words
    from ivr.pipeline.datasets.audit import check as run

    beside = root or manifest.parent
    config = CheckConfig(manifest, image_root or beside, voice_root or beside, jobs)
    with one_line():
        audit = run(config)
    click.echo(audit_as_json(audit) if as_json else audit_in_words(audit))
    if audit.problems() or (strict and audit.warnings()):
        context.exit(SKIPPED)
