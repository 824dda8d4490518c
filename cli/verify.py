"""``ivr verify``: is every byte as it was written?"""

from pathlib import Path

import click

from .command import command
from .errors import one_line


@command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def verify(folder: Path) -> None:
    """Read the HDF5 files of FOLDER (features or a run) and compare them with their sha256.

    Exit status 1 where a byte is not as it was written.

    \b
    Example:
      ivr verify features
    """
    with one_line():
        from ivr.pipeline.runs.verify import verify as stage

        found = list(stage(folder))
    for path, wrong in found:
        click.echo(wrong or f"{path}: whole")
    if any(wrong for _, wrong in found):
        raise SystemExit(1)
