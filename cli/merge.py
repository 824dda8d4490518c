"""``ivr merge``: the features of the tasks of a job array to one folder."""

from pathlib import Path

import click

from .command import command
from .config_file import write_choices
from .errors import SKIPPED
from .messages import show
from .paths import FOLDER


@command()
@click.argument("features", type=FOLDER)
@click.argument("folders", type=FOLDER, nargs=-1)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace features in FEATURES that were made with other settings.",
)
def merge(features: Path, folders: tuple[Path, ...], overwrite: bool) -> None:
    """Merge into FEATURES what the tasks of `ivr extract --shard` extracted.

    FOLDERS are the folders of the tasks, by default all in FEATURES/parts. Their files are verified
    and left as they are. A task that is missing, unfinished or has other settings is an error.
    So are features in FEATURES of other settings, unless --overwrite replaces them.
    Files that could not be used are counted (exit status 3).

    \b
    Example:
      ivr extract ucm.csv --out features --shard 1/2
      ivr extract ucm.csv --out features --shard 2/2
      ivr merge features
    """
    import ivr

    result = ivr.merge(features, folders, overwrite=overwrite)
    write_choices(features)
    show(repr(result))
    if any(modality.lacking for modality in result):
        raise SystemExit(SKIPPED)
    show(f"next: ivr train-hash {features} --out RUN")
