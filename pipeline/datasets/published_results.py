"""Results that papers print for the public data sets, each with the table it stands in.

``published_results.csv`` has one line per row of a table. Its columns are ``data_set`` (a key of
:data:`~.public_datasets.DATASETS`), ``kind``, ``method``, ``source`` (paper and table), and the
metrics in percent; a metric that the table lacks is empty.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Kind = Literal["methods", "ablation", "inputs", "matching"]
"""What a table compares: methods, terms of a loss, audio inputs, or matching accuracies."""

PAPERS = {
    "DIVH": "IEEE JSTARS 2022, 10.1109/JSTARS.2022.3216333",
    "DVAN": "PRRS 2018",
}
"""Where the papers appeared that ``source`` names."""

HEADS = ("data_set", "kind", "method", "source")


@dataclass(frozen=True)
class PublishedResult:
    """One row of a table of a paper, by class relevance, measured on recorded voices.

    Attributes:
        method: name in the paper.
        source: paper and table, such as ``DIVH, Table III``.
        metrics: percent, by direction and metric, such as ``image_to_voice.P@5``, or ``accuracy``.
    """

    method: str
    source: str
    metrics: Mapping[str, float]

    @property
    def citation(self) -> str:
        """The source with the place where its paper appeared."""
        paper, _, table = self.source.partition(", ")
        return f"{paper} ({PAPERS[paper]}), {table}"


def published_results(data_set: str, kind: Kind = "methods") -> tuple[PublishedResult, ...]:
    """Return the published results on ``data_set``, in the order of the table.

    Args:
        data_set: a key of :data:`~.public_datasets.DATASETS`.
        kind: what the table compares.
    """
    return _all_results().get((data_set, kind), ())


@cache
def _all_results() -> dict[tuple[str, str], tuple[PublishedResult, ...]]:
    """Return every result by data set and kind."""
    found: dict[tuple[str, str], tuple[PublishedResult, ...]] = {}
    text = files(__package__).joinpath("published_results.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        metrics = {key: float(row[key]) for key in row if key not in HEADS and row[key]}
        result = PublishedResult(row["method"], row["source"], metrics)
        key = row["data_set"], row["kind"]
        found[key] = (*found.get(key, ()), result)
    return found
