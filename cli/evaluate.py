"""``ivr evaluate``: metrics of a run under a stated protocol."""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.evaluation.protocol import PROTOCOL_TEXTS, PROTOCOLS, Protocol
from ivr.pipeline.runtime.config_options import with_options

from .command import command
from .config_file import write_choices
from .messages import show
from .options import Shown, config_options
from .paths import FILE, FOLDER

_OWN = "own"


@command()
@click.argument("run", type=FOLDER)
@click.option(
    "--protocol",
    "preset",
    type=click.Choice(list(PROTOCOLS)),
    default=next(iter(PROTOCOLS)),
    show_default=True,
    help="Protocol to start from; the options below override its choices one by one. "
    "Average precision by each: "
    + "; ".join(f"{name}: {text}" for name, text in PROTOCOL_TEXTS.items())
    + ".",
)
@config_options(
    Protocol,
    {
        "distance": Shown(
            help="Distance to rank by: the method's own, or Hamming distance of the codes.",
            type=click.Choice([_OWN, "hamming"]),
            default=_OWN,
        ),
        "speaker": Shown(metavar="NAME"),
        "without_speaker": Shown(metavar="NAME"),
        "test": None,
    },
    defaults=False,
)
@click.option("--codes", type=FILE, help="Codes file to evaluate  [default: RUN/codes.h5].")
@click.option(
    "--out",
    type=FOLDER,
    help="Folder for results and curves  [default: RUN; with other options or codes a folder of "
    "their own in RUN/evaluations].",
)
@click.option(
    "--pictures",
    metavar="FORMATS",
    default="png",
    show_default=True,
    help="Formats of the pictures, joined by commas: png, svg, pdf; none for their data alone. "
    "Pictures in other formats that are there already are drawn again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of the table.")
def evaluate(
    run: Path,
    preset: str,
    codes: Path | None,
    out: Path | None,
    pictures: str,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Rank by the method's distance and print mAP, P@K, R@K and F@K of RUN, both directions.

    With relevance by pair also H@K, mean rank and median rank.

    Queries are the images and voices of the test split. Writes results.json, queries.h5 (average
    precision of every query), curves.csv and pictures/ with the data of each as CSV. Options never
    replace the results without them: each set of options has a folder of its own in
    RUN/evaluations. The formats of the pictures change no result.

    \b
    Example:
      ivr evaluate run
      ivr evaluate run --protocol pair --json
      ivr evaluate run --distance hamming
      ivr evaluate run --pictures svg,pdf,png
      ivr evaluate run --bits 16 --out 16-bits
      ivr evaluate run --database all --voices all
    """
    import ivr
    from ivr.pipeline.runtime.progress import say

    if options.get("distance") == _OWN:
        options["distance"] = None
    protocol = with_options(PROTOCOLS[preset], options)
    formats = [] if pictures == "none" else [name.strip() for name in pictures.split(",")]
    result = ivr.evaluate(run, protocol, codes=codes, out=out, pictures=formats)
    write_choices(result.folder)
    if result.folder != run:
        say(f"written: {result.folder}")
    show(json.dumps(result.results) if as_json else repr(result))
