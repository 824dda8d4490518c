"""``ivr verify``: checksums of features, runs and comparisons."""

from pathlib import Path

import click

from .command import command
from .messages import show
from .paths import FOLDER


@command()
@click.argument("folder", type=FOLDER)
def verify(folder: Path) -> None:
    """Compare every file of FOLDER with its sha256: features, a run, a packed model, a comparison.

    Exit status 1 if a checksum does not match or a file is missing. log.txt, to which later calls
    add, has no checksum. Nothing is written.

    \b
    Example:
      ivr verify features
    """
    import ivr

    found = ivr.verify(folder)
    show(repr(found))
    if not found.whole:
        raise SystemExit(1)
