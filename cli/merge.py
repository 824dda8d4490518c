"""``ivr merge``: the parts of a job array to one folder of features."""

from pathlib import Path

import click

from .errors import SKIPPED, one_line

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("features", type=FOLDER)
@click.argument("parts", type=FOLDER, nargs=-1)
def merge(features: Path, parts: tuple[Path, ...]) -> None:
    """Put together in FEATURES what `ivr extract --shard` made.

    PARTS are the folders to take, by default all of FEATURES/parts. Every byte of them is verified;
    they are left as they are. Missing, unfinished or different parts are an error. Files that could
    not be used are counted (exit status 3).

    \b
    Example:
      ivr extract ucm.csv --out features --shard 1/2
      ivr extract ucm.csv --out features --shard 2/2
      ivr merge features
    """
    with one_line():
        from ivr.pipeline.extraction.merge import merge as stage

        results = stage(features, parts)
    for result in results:
        click.echo(result.summary())
    if any(result.lacking for result in results):
        raise SystemExit(SKIPPED)
    click.echo(f"next: ivr train-hash {features} --out RUN")
