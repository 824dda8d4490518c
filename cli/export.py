"""``ivr export``: codes in the form that another engine takes."""

import json
from pathlib import Path
from typing import Any, get_args

import click

from ivr.pipeline.archive.export_config import ExportConfig, Target

from .command import command
from .messages import show
from .options import Shown, config_options


@command()
@click.argument("source", metavar="ARCHIVE|RUN")
@click.option(
    "--to",
    "target",
    type=click.Choice(get_args(Target)),
    required=True,
    help="Form: files of Parquet, FAISS or NumPy, a table of PostgreSQL, or files for the loaders "
    "of Milvus and OpenSearch.",
)
@click.option(
    "--out",
    required=True,
    metavar="PLACE",
    help="File (parquet, milvus, opensearch), folder (faiss, npy) or postgres://USER@HOST/DATABASE.",
)
@config_options(
    ExportConfig,
    {"where": Shown(metavar="SQL"), "bbox": Shown(metavar="WEST,SOUTH,EAST,NORTH")},
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a line.")
def export(source: str, target: Target, out: str, as_json: bool, options: dict[str, Any]) -> None:
    """Write the codes of ARCHIVE or RUN with their metadata for another engine.

    Each item has an id: items at equal distance come in the order of their ids. Bits are packed
    most significant first.

    \b
    Example:
      ivr export tiles --to parquet --out tiles.parquet
      ivr export run --to faiss --out index --ivf
      ivr export tiles --to postgres --out postgres://me@localhost/tiles --where "label = 'harbour'"
    """
    import ivr

    place = out if target == "postgres" else Path(out)
    result = ivr.export(source, place, target, **options)
    show(json.dumps(result.to_dict()) if as_json else repr(result))
