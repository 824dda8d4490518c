"""``ivr encode``: features to packed codes."""

from pathlib import Path

import click

from .command import command
from .config_file import write_choices
from .messages import show
from .options import device_option
from .paths import FILE, FOLDER


@command()
@click.argument("run", type=FOLDER)
@click.option("--features", type=FOLDER, help="Features to encode  [default: the run's own].")
@click.option("--out", type=FILE, help="Codes file to write  [default: RUN/codes.h5].")
@click.option(
    "--change",
    default="",
    metavar="CHANGE",
    help="Encode the voices changed as extract --augment CHANGE changed them.",
)
@device_option("Device to encode on: auto, cpu, cuda or cuda:N; auto takes cuda if there is one.")
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
    import ivr

    found = ivr.encode(run, features=features, out=out, device=device, change=change)
    write_choices(found.codes)
    show(f"{found.codes}: written")
