"""Average precision of every query, by name, for paired comparisons of two methods."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.store import StoreError, has_columns, open_table, text_column, write_table
from ivr.pipeline.runs.run_folder import QUERY_TABLE

from .protocol import DIRECTIONS as DIRECTIONS

COLUMNS = {
    "names": ("S", 1),
    "images": ("S", 1),
    "directions": ("u", 1),
    "average_precision": ("f", 1),
}


@dataclass(frozen=True, eq=False)
class QueryMetrics:
    """The queries of one direction, row for row.

    Attributes:
        names: names of the queries.
        images: the image that each query is or belongs to; its own name if it has none.
        average_precision: [n], from 0 to 1, NaN for a query that is left out.
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    average_precision: np.ndarray


def write_queries(
    path: Path, config: Mapping[str, Any], queries: Mapping[str, QueryMetrics]
) -> None:
    """Write the queries of both directions to ``path``; ``config`` is stored with them."""
    parts = [queries[direction] for direction in DIRECTIONS]
    write_table(
        path,
        QUERY_TABLE,
        config,
        {
            "names": text_column(name for part in parts for name in part.names),
            "images": text_column(image for part in parts for image in part.images),
            "directions": np.repeat(
                np.arange(len(parts), dtype=np.uint8), [len(part.names) for part in parts]
            ),
            "average_precision": np.concatenate([part.average_precision for part in parts]),
        },
    )


def read_queries(path: Path) -> dict[str, QueryMetrics]:
    """Return the queries in ``path`` by direction.

    Raises:
        StoreError: not a file that ``ivr evaluate`` writes.
    """
    table = open_table(path, QUERY_TABLE)
    if not has_columns(table, COLUMNS):
        raise StoreError(f"{path}: not a file that ivr evaluate writes; make it again")
    directions = table.read("directions")
    values = table.read("average_precision")
    queries = {}
    for number, direction in enumerate(DIRECTIONS):
        rows = directions == number
        names, images = (tuple(compress(table.text(n), rows)) for n in ("names", "images"))
        queries[direction] = QueryMetrics(names, images, values[rows])
    return queries
