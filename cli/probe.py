"""``ivr probe``: what limits the result, images, voices or the method?"""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.evaluation.probe_config import ProbeConfig

from .command import command
from .config_file import write_choices
from .messages import show
from .options import Shown, config_options
from .paths import FOLDER


@command()
@click.argument("features", type=FOLDER)
@config_options(ProbeConfig, {"split": None, "jobs": Shown(default="one per core")})
@click.option(
    "--out",
    type=FOLDER,
    help="Folder for probe.json and the confusions as CSV and as a picture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the tables.")
def probe(features: Path, out: Path | None, as_json: bool, options: dict[str, Any]) -> None:
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
    import ivr
    from ivr.pipeline.evaluation.probe_report import probe_text

    result = ivr.probe(features, out=out, **options)
    if out is not None:
        write_choices(out)
    show(json.dumps(result.to_dict()) if as_json else probe_text(result))
