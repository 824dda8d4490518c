"""``ivr probe``: what limits the result, images, voices or the method?"""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.evaluation.probe_config import ProbeConfig

from .command import command

FOLDER = click.Path(file_okay=False, path_type=Path)


@command()
@click.argument("features", type=FOLDER)
@click.option("--folds", type=click.IntRange(2), default=ProbeConfig.folds, show_default=True,
              help="Number of parts for cross-validation.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=ProbeConfig.seed, show_default=True,
              help="Seed of the split, the folds and the classifier.")  # fmt: skip
@click.option("--segments", type=click.IntRange(1), default=ProbeConfig.segments, show_default=True,
              help="Equal parts in time that summarise a voice, besides its whole.")  # fmt: skip
@click.option("--rows", type=click.IntRange(2), default=ProbeConfig.rows, show_default=True,
              help="Most images and most voices to classify; of more, whole groups are "
              "drawn.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1),
              help="Folds computed at once  [default: one per core].")  # fmt: skip
@click.option("--out", type=FOLDER,
              help="Folder for probe.json and the confusions as CSV and as a picture.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the tables.")
def probe(features: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Tell what limits the result on FEATURES: the image encoder, the voices or the method.

    Linear classifiers, one per modality, learn the classes from the cached vectors by
    cross-validation on the training side of the split; the test split is never read. Prints their
    accuracies, the classes they confuse and the ceiling for mAP that follows.

    \b
    Example:
      ivr probe features
      ivr probe features --out probe --jobs 4
      ivr probe features --json
    """
    from ivr.pipeline.evaluation.probe import probe as stage
    from ivr.pipeline.evaluation.probe_report import probe_text

    result = stage(features, out=out, **options)
    click.echo(json.dumps(result.to_dict()) if as_json else probe_text(result))
