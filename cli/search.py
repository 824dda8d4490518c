"""``ivr search``: one voice or image in, the nearest items out."""

import json
import sys
from pathlib import Path

import click

from .command import command
from .messages import show
from .options import device_option
from .paths import FILE, FOLDER

STREAM = "-"
"""Stands for the standard input."""
MOST_BYTES = 1 << 30


@command()
@click.argument("place", metavar="ARCHIVE|RUN|MODEL")
@click.option("--voice", metavar="FILE|-", help="Recording to search with; - reads it from stdin.")
@click.option("--image", metavar="FILE|-", help="Image to search with; - reads it from stdin.")
@click.option(
    "--count", type=click.IntRange(1), default=10, show_default=True, help="Number of hits."
)
@click.option(
    "--find",
    type=click.Choice(["images", "voices"]),
    help="Items to find in an archive  [default: those of the other modality than the query].",
)
@click.option(
    "--where",
    metavar="SQL",
    help="Only items of an archive that fulfil this condition on its columns.",
)
@click.option(
    "--bbox",
    metavar="WEST,SOUTH,EAST,NORTH",
    help="Only items of an archive whose box in degrees touches this one.",
)
@click.option(
    "--within", type=click.IntRange(0), metavar="BITS", help="Largest distance of a hit, in bits."
)
@click.option(
    "--index",
    is_flag=True,
    help="Ask the index of an archive instead of comparing every code; it may miss hits.",
)
@click.option(
    "--engine",
    metavar="postgres://...",
    help="Ask the database that ivr export wrote; ARCHIVE, RUN or MODEL only encodes the query.",
)
@click.option("--table", metavar="NAME", help="Table of the database  [default: items].")
@click.option(
    "--model",
    type=FOLDER,
    help="Packed model or run of an archive  [default: the one that it was created with].",
)
@click.option("--codes", type=FILE, help="Codes file of a run to search  [default: RUN/codes.h5].")
@click.option(
    "--weights",
    help="Weights file of the image encoder of a run, if it has moved since the extraction.",
)
@device_option("Device to encode on: auto, cpu, cuda or cuda:N; auto takes cuda if there is one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option("--geojson", is_flag=True, help="Print the hits of an archive as GeoJSON.")
def search(
    place: str,
    voice: str | None,
    image: str | None,
    count: int,
    find: str | None,
    where: str | None,
    bbox: str | None,
    within: int | None,
    index: bool,
    engine: str | None,
    table: str | None,
    model: Path | None,
    codes: Path | None,
    weights: str | None,
    device: str,
    as_json: bool,
    geojson: bool,
) -> None:
    """Find the images nearest to a voice, or the voices nearest to an image, by Hamming distance.

    ARCHIVE, which ivr archive keeps, also says how clearly the first hit stands out. RUN is
    searched in its codes, MODEL (a packed model) in the codes that --codes names. The hits are
    printed; nothing is written.

    \b
    Example:
      ivr search tiles --voice question.wav
      ivr search tiles --voice - --where "time > '2026-01-01' and label = 'harbour'" --json
      ivr search tiles --image scene.png --find images --bbox 8.5,49.5,9.5,50.5 --geojson
      ivr search model --voice question.wav --engine postgres://me@localhost/tiles
      ivr search run --voice question.wav --codes archive-codes.h5 --count 50 --json
    """
    if (voice is None) == (image is None):
        raise click.UsageError("give either --voice or --image")
    if as_json and geojson:
        raise click.UsageError("--json and --geojson exclude each other; give one")
    import ivr

    found = ivr.search(
        place, voice=_content(voice), image=_content(image), count=count, find=find, where=where,
        bbox=bbox, within=within, index=index, engine=engine, table=table, model=model, codes=codes,
        weights=weights, device=device,
    )  # fmt: skip
    if geojson:
        from ivr.pipeline.archive.search import geojson_of

        show(json.dumps(geojson_of(found)))
    elif as_json:
        show(json.dumps(found.to_json()))
    else:
        show(repr(found))


def _content(query: str | None) -> str | bytes | None:
    """Return the file that was named, or the content of the standard input."""
    return sys.stdin.buffer.read(MOST_BYTES + 1) if query == STREAM else query
