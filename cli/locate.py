"""``ivr locate``: find the places in a huge scene that a voice describes or an image shows."""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.archive.locate_config import LocateConfig

from .command import command
from .messages import show
from .options import config_options
from .paths import FILE, FOLDER


@command()
@click.argument("scene", type=FILE)
@click.option(
    "--voice", type=FILE, multiple=True, help="Recording that says what to look for. Repeatable."
)
@click.option("--image", type=FILE, multiple=True, help="Image of what to look for. Repeatable.")
@click.option("--model", type=FOLDER, help="Packed model or run that encodes.")
@click.option(
    "--archive",
    metavar="ARCHIVE",
    help="Archive that SCENE was added to; its codes and its model are used instead of --model.",
)
@click.option(
    "--out", type=FILE, help="GeoTIFF to write: one heat map of Hamming distances per query."
)
@click.option(
    "--overlay", type=FILE, help="PNG to write: the scene with the heat map and the best places."
)
@click.option("--places", type=FILE, help="GeoJSON to write: outlines of the best places.")
@click.option(
    "--codes",
    type=FILE,
    help="File that keeps the codes of the windows; later calls, and a call after a stopped one, "
    "encode only the windows that it lacks.",
)
@config_options(LocateConfig)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def locate(
    scene: Path,
    voice: tuple[Path, ...],
    image: tuple[Path, ...],
    model: Path | None,
    archive: str | None,
    out: Path | None,
    overlay: Path | None,
    places: Path | None,
    codes: Path | None,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Find the places in SCENE that are nearest to voices or images, and draw heat maps.

    SCENE is a GeoTIFF or JPEG 2000 of any size. It is cut into overlapping windows, which are
    encoded once for all queries. The best places are printed, without neighbours that overlap a
    nearer one.

    \b
    Example:
      ivr locate scene.tif --voice question.wav --model model --out heat.tif
      ivr locate scene.tif --voice a.wav --voice b.wav --model model --codes scene-codes.h5 \\
        --overlay heat.png --places places.geojson
      ivr locate scene.tif --image harbour.png --archive tiles --json
    """
    if not voice and not image:
        raise click.UsageError("say what to look for: give --voice or --image")
    if (model is None) == (archive is None):
        raise click.UsageError("give either --model or --archive")
    import ivr

    found = ivr.locate(
        scene, voice=voice, image=image, model=model, archive=archive, out=out, overlay=overlay,
        places=places, codes=codes, **options,
    )  # fmt: skip
    show(json.dumps(found.to_dict()) if as_json else repr(found))
