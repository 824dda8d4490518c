"""Columns of comparison tables; imports no torch, so that the command line can read the presets."""

from collections.abc import Sequence
from dataclasses import dataclass

from ivr.hashing.metrics import metric_of
from ivr.pipeline.evaluation.protocol import DIRECTIONS

ARROWS = {"image_to_voice": "I→V", "voice_to_image": "V→I"}
SIDE_BY_SIDE = 4
"""More metrics than this stand in one block per direction."""


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
