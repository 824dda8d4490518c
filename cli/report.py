"""``ivr report``: a run or a comparison as one page with its queries and their hits."""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.report.report_config import ReportConfig

from .command import command
from .messages import show
from .options import CommaList, Shown, config_options
from .paths import FILE, FOLDER


@command()
@click.argument("place", type=FOLDER, metavar="RUN|COMPARISON")
@click.option(
    "--out",
    type=FILE,
    default=Path("report.html"),
    show_default=True,
    help="Page to write; an earlier report there is replaced.",
)
@click.option(
    "--media-root",
    type=FOLDER,
    help="Folder of images and voices, if they have moved  [default: where they were extracted].",
)
@config_options(
    ReportConfig,
    {
        "evaluation": Shown(metavar="NAME"),
        "table": Shown(metavar="NAME"),
        "methods": Shown(metavar="NAME,NAME", type=CommaList()),
    },
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of one line.")
def report(
    place: Path, out: Path, media_root: Path | None, as_json: bool, options: dict[str, Any]
) -> None:
    """Write one page of RUN or COMPARISON that opens from the disk, without a network.

    The page says what was run, how good it is against which chance, and what the numbers do not
    show. It shows queries with their first hits, images with thumbnails and voices with a player:
    the worst, the best and some drawn at random, by class. A comparison shows its methods side by
    side, and the queries that two of them answer most differently. Nothing of the run is changed.

    \b
    Example:
      ivr report run --out report.html
      ivr report run --evaluation pair --queries 3 --seed 1
      ivr report comparison --methods divh,csq --link-media
    """
    import ivr

    result = ivr.report(place, out, ReportConfig(**options), media_root=media_root)
    show(json.dumps(result.to_dict()) if as_json else repr(result))
