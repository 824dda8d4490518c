"""``ivr search``: one voice or image in, the nearest items of the other kind out."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from .command import command
from .messages import show
from .options import device_option
from .paths import FILE, FOLDER


@command()
@click.argument("run", type=FOLDER)
@click.option("--voice", type=FILE, help="Recording to find images with.")
@click.option("--image", type=FILE, help="Image to find voices with.")
@click.option(
    "--count", type=click.IntRange(1), default=10, show_default=True, help="Number of hits."
)
@click.option("--codes", type=FILE, help="Codes file to search  [default: RUN/codes.h5].")
@click.option(
    "--weights",
    help="Weights file of the image encoder, if the features were made with a file that has moved.",
)
@device_option("Device to encode on: auto, cpu, cuda or cuda:N; auto takes cuda if there is one.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def search(
    run: Path,
    voice: Path | None,
    image: Path | None,
    count: int,
    codes: Path | None,
    weights: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Find the images nearest to a voice, or the voices nearest to an image, by Hamming distance.

    The hits are printed; nothing is written.

    \b
    Example:
      ivr search run --voice question.wav
      ivr search run --voice question.wav --codes archive-codes.h5 --count 50 --json
      ivr search run --image scene.png
    """
    if (voice is None) == (image is None):
        raise click.UsageError("give either --voice or --image")
    import ivr

    found = ivr.search(
        run, voice=voice, image=image, count=count, codes=codes, weights=weights, device=device
    )
    if as_json:
        show(json.dumps([asdict(hit) for hit in found.hits]))
        return
    show(repr(found))
