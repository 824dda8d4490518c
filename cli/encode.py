"""``ivr encode``: features to packed codes."""

from pathlib import Path

import click

from .command import command
from .errors import one_line

FOLDER = click.Path(file_okay=False, path_type=Path)


@command()
@click.argument("run", type=FOLDER)
@click.option("--features", type=FOLDER, help="Features to encode  [default: the run's own].")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
              help="Codes file  [default: RUN/codes.h5].")  # fmt: skip
@click.option("--change", default="", metavar="CHANGE",
              help="Take the voices as extract --augment CHANGE made them.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def encode(run: Path, features: Path | None, out: Path | None, change: str, device: str) -> None:
    """Turn features into packed codes with the model of RUN.

    The features must have been extracted with the settings that RUN was trained on.

    \b
    Example:
      ivr encode run
      ivr encode run --features archive --out archive-codes.h5
      ivr encode run --change noise=10 --out noisy.h5
      ivr evaluate run --codes noisy.h5 --out noisy
    """
    with one_line():
        from ivr.pipeline.runs.encode import encode_run

        path = encode_run(run, features=features, out=out, device=device, change=change)
    click.echo(f"{path}: written")
