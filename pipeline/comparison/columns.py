"""Columns of comparison tables; imports no torch, so that the command line can read the presets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ivr.hashing.metrics import METRICS, metric_of
from ivr.names import unknown
from ivr.pipeline.evaluation.protocol import DIRECTIONS

Source = Literal[
    "results", "validation", "results and validation", "query time", "health", "generalisation"
]
"""Where the values of a table come from; see :data:`.preset_metrics.SOURCES`."""
ARROWS = {"image_to_voice": "I→V", "voice_to_image": "V→I"}
SIDE_BY_SIDE = 4
"""More metrics than this stand in one block per direction."""
ACCURACY, DIFFERENCE = "accuracy", "difference"
"""Metrics that are not in the table of metrics: of matched pairs, and of two rows."""
COMPARED = tuple(name for metric in METRICS.values() for name in metric.compared)
CUTOFF_METRICS = ("mAP", *(name for letter in "PRF" for name in METRICS[f"{letter}@K"].names()))


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    Attributes:
        name: name of the metric: mAP, P@1 ..., accuracy, milliseconds, or difference.
        direction: image_to_voice or voice_to_image; ``""`` for a metric of both.
        block: columns of one block stand side by side.
        lowest: the lowest value is the best.
        ranked: the best value is marked.
    """

    name: str
    direction: str = ""
    block: str = ""
    lowest: bool = False
    ranked: bool = True

    @property
    def key(self) -> str:
        """Name in CSV and JSON."""
        return f"{self.direction}.{self.name}" if self.direction else self.name

    @property
    def head(self) -> str:
        """Name in text, Markdown and LaTeX."""
        return f"{self.name} {ARROWS[self.direction]}" if self.direction else self.name


def retrieval_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Return columns of the metrics ``names`` in both directions, in a block each if many."""
    lowest = {name: (metric := metric_of(name)) and not metric.more_is_better for name in names}
    if len(names) <= SIDE_BY_SIDE:
        return tuple(
            Column(name, direction, lowest=bool(lowest[name]))
            for name in names
            for direction in DIRECTIONS
        )
    return tuple(
        Column(name, direction, block=ARROWS[direction], lowest=bool(lowest[name]))
        for direction in DIRECTIONS
        for name in names
    )


def units_in_words(unit: str, names: Iterable[str]) -> str:
    """Return ``unit``, and the unit of those metrics among ``names`` that are ranks.

    Args:
        unit: unit of the other values, e.g. ``Percent``.
        names: names of metrics.
    """
    found = {name: metric_of(name) for name in names}
    ranks = [name for name, metric in found.items() if metric and metric.unit == "rank"]
    told = "rank of the nearest relevant item, the least is the best"
    if found and len(ranks) == len(found):
        return f"{told[0].upper()}{told[1:]}" if unit[0].isupper() else told
    return f"{unit} ({', '.join(ranks)}: {told})" if ranks else unit


VALIDATION = retrieval_columns(("validation mAP",))
TIMES = tuple(
    Column(name, direction, lowest=True)
    for direction in DIRECTIONS
    for name in ("code", "rank", "query")
)
HEALTH = (
    Column("dead bits", lowest=True),
    Column("imbalance", ranked=False),
    Column("correlation", ranked=False),
    Column("distinct images", ranked=False),
    Column("distinct voices", ranked=False),
    Column("agreement"),
    *(
        Column(name, block="outputs and distances", lowest=True)
        for name in ("quantisation error images", "quantisation error voices")
    ),
    *(
        Column(name, direction, block="outputs and distances", lowest=name == "overlap")
        for name in ("overlap", "gap")
        for direction in DIRECTIONS
    ),
)
GENERALISATION = (
    *(Column("mAP", direction, "mAP") for direction in DIRECTIONS),
    *(Column(n, d, "mAP", ranked=False) for n in ("chance", "of plain") for d in DIRECTIONS),
    *(Column("P@10", direction, "P@10") for direction in DIRECTIONS),
)
OF_SOURCE: Mapping[Source, tuple[Column, ...]] = {
    "validation": VALIDATION,
    "query time": TIMES,
    "health": HEALTH,
    "generalisation": GENERALISATION,
}
"""Columns of the sources that have columns of their own."""


def default_columns(source: Source, metrics: Sequence[str], relevance: str) -> tuple[Column, ...]:
    """Return the columns of a table for which the user chose none.

    Args:
        source: where the values come from.
        metrics: metrics of the declaration of the table; none for those that are compared.
        relevance: relevance of the protocol; a table of results also shows the metrics that only
            this relevance has.
    """
    if source in OF_SOURCE:
        return OF_SOURCE[source]
    if tuple(metrics) == (ACCURACY,):
        return (Column(ACCURACY),)
    names = tuple(metrics) or COMPARED
    if source == "results and validation":
        return retrieval_columns(names) + VALIDATION
    if relevance != "class":
        own = [m for m in METRICS.values() if relevance in m.relevance]
        own = [metric for metric in own if "class" not in metric.relevance]
        names = (*names, *(name for metric in own for name in metric.names()))
    return retrieval_columns(tuple(dict.fromkeys(names)))


def chosen_columns(
    names: Sequence[str], source: Source, usual: Sequence[Column], *, differences: bool
) -> tuple[Column, ...]:
    """Return the columns ``names`` in their order, without those of the differences.

    A name is that of a metric, for both directions, or that of a column in CSV, for one:
    ``P@1``, ``image_to_voice.P@1``.

    Args:
        names: what the user chose.
        source: where the values come from.
        usual: columns of the table without a choice.
        differences: ``difference`` is a name too.

    Raises:
        UnknownNameError: a name that the table does not have.
    """
    has_metrics = source in ("results", "results and validation")
    metrics = [name for m in METRICS.values() for name in m.names()] if has_metrics else []
    known = {column.key: column for column in (*retrieval_columns(metrics), *usual)}
    found: dict[str, Column] = {}
    for name in names:
        if differences and name == DIFFERENCE:
            continue
        own = {key: c for key, c in known.items() if name in (key, c.name)}
        if not own:
            more = (DIFFERENCE,) if differences else ()
            raise unknown("column", name, (*dict.fromkeys(c.name for c in known.values()), *more))
        found |= own
    single = len({column.name for column in found.values()}) <= SIDE_BY_SIDE
    return tuple(
        Column(
            c.name, c.direction, "" if single else ARROWS.get(c.direction, ""), c.lowest, c.ranked
        )
        for c in found.values()
    )
