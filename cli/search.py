"""``ivr search``: one voice or image in, the nearest items of the other kind out."""

import json
from pathlib import Path

import click

from .command import command
from .errors import one_line

FILE = click.Path(dir_okay=False, path_type=Path)


@command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--voice", type=FILE, help="Recording to find images with.")
@click.option("--image", type=FILE, help="Image to find voices with.")
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, help="Hits wanted.")
@click.option("--codes", type=FILE, help="Codes of an archive  [default: RUN/codes.h5].")
@click.option("--weights", help="Of the image encoder, where they were a file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
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

    \b
    Example:
      ivr search run --voice question.wav
      ivr search run --voice question.wav --codes archive-codes.h5 --count 50 --json
      ivr search run --image scene.png
    """
    if (voice is None) == (image is None):
        raise click.UsageError("give either --voice or --image")
    with one_line():
        from dataclasses import asdict

        from ivr.pipeline.runs import search as stage

        if voice is not None:
            hits = stage.find_images(run, voice, count=count, codes=codes, device=device)
        else:
            assert image is not None
            hits = stage.find_voices(
                run, image, count=count, weights=weights, codes=codes, device=device
            )
    if as_json:
        click.echo(json.dumps([asdict(hit) for hit in hits]))
        return
    for place, hit in enumerate(hits, 1):
        click.echo(f"{place:4d}  {hit.distance:4d} bits  {hit.name}  {hit.label}  {hit.caption}")
