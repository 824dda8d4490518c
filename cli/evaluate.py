"""``ivr evaluate``: figures of a run under a stated protocol."""

import json
from pathlib import Path

import click

from .command import command
from .errors import one_line, settings

FOLDER = click.Path(file_okay=False, path_type=Path)


@command()
@click.argument("run", type=FOLDER)
@click.option(
    "--protocol",
    "preset",
    type=click.Choice(["divh", "dvan", "rsicd-150", "pair"]),
    default="divh",
    show_default=True,
    help="Preset; the options below override it one by one.",
)
@click.option("--relevance", type=click.Choice(["class", "pair"]), help="What counts as found.")
@click.option("--database", type=click.Choice(["test", "train", "all"]), help="What is searched.")
@click.option("--voices", type=click.Choice(["one", "all"]), help="Voices an image.")
@click.option("--cutoff", type=int, help="Average precision over the first so many places.")
@click.option("--denominator", type=click.Choice(["relevant", "min", "hits"]),
              help="Of average precision at a cut-off.")  # fmt: skip
@click.option("--ties", type=click.Choice(["expectation", "file-order"]), help="At one distance.")
@click.option("--empty", type=click.Choice(["zero", "skip", "error"]),
              help="A query with nothing relevant.")  # fmt: skip
@click.option("--distance", type=click.Choice(["own", "hamming"]), default="own", show_default=True,
              help="The method's own, or Hamming distance of the sign codes.")  # fmt: skip
@click.option("--bits", type=int, help="Rank by the first so many bits of the codes.")
@click.option("--speaker", metavar="NAME", help="Use the voices of this speaker only.")
@click.option("--without-speaker", metavar="NAME",
              help="Use the voices of all other speakers only.")  # fmt: skip
@click.option("--classes", type=click.Choice(["all", "seen", "unseen", "unseen-among-all"]),
              help="Only items of classes that the run trained on, or never saw; or queries of "
              "those it never saw among all.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Of the drawn voices  [default: the run's].")
@click.option("--codes", type=click.Path(dir_okay=False, path_type=Path),
              help="Codes file  [default: RUN/codes.h5].")  # fmt: skip
@click.option("--out", type=FOLDER, help="Folder for results and curves  [default: RUN].")
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of the table.")
def evaluate(
    run: Path,
    preset: str,
    relevance: str | None,
    database: str | None,
    voices: str | None,
    cutoff: int | None,
    denominator: str | None,
    ties: str | None,
    empty: str | None,
    distance: str,
    bits: int | None,
    speaker: str | None,
    without_speaker: str | None,
    classes: str | None,
    seed: int | None,
    codes: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rank by the method's distance and print mAP, P@K, R@K and F@K of RUN, both directions.

    Queries are the images and voices of the test split. Writes results.json, queries.h5 (average
    precision of every query), curves.csv, curves.png and health.png.

    \b
    Example:
      ivr evaluate run
      ivr evaluate run --protocol pair --json
      ivr evaluate run --distance hamming --out run/codes-alone
      ivr evaluate run --bits 16 --out run/16-bits
      ivr evaluate run --database all --voices all --out run/all
    """
    with one_line():
        from dataclasses import replace

        from ivr.pipeline.evaluation.evaluate import evaluate as evaluate_run
        from ivr.pipeline.evaluation.protocol import PROTOCOLS

        chosen = {
            "relevance": relevance,
            "database": database,
            "voices": voices,
            "cutoff": cutoff,
            "denominator": denominator,
            "ties": ties,
            "empty": empty,
            "distance": None if distance == "own" else distance,
            "bits": bits,
            "speaker": speaker,
            "without_speaker": without_speaker,
            "classes": classes,
            "seed": seed,
        }
        with settings():
            protocol = replace(
                PROTOCOLS[preset],
                **{name: value for name, value in chosen.items() if value is not None},  # type: ignore[arg-type]
            )
        result = evaluate_run(run, protocol, codes=codes, out=out)
        click.echo(json.dumps(result.results) if as_json else repr(result))
