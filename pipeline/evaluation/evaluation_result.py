"""The result of the public function ``evaluate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivr.pipeline.runtime.results import TableResult, json_value

from .per_query import DIRECTIONS
from .report_tables import results_table


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationResult(TableResult):
    """Retrieval metrics of a run under one protocol.

    Attributes:
        folder: where results.json, queries.h5, curves and pictures were written.
        results: the content of results.json, metrics in percent or as ranks.
    """

    folder: Path
    results: dict[str, Any]

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics by direction and name, e.g. ``["voice_to_image"]["mAP"]``.

        In percent, or as ranks: ``results["units"]`` has the unit of each.
        """
        return {
            direction: {name: self.results[direction][name] for name in names}
            for direction, names in self._names().items()
        }

    @property
    def chance(self) -> dict[str, dict[str, float]]:
        """The metrics of a random order, as :attr:`metrics`."""
        return {direction: dict(self.results["chance"][direction]) for direction in DIRECTIONS}

    def to_dict(self) -> dict[str, Any]:
        """Return the content of results.json."""
        found: dict[str, Any] = json_value(self.results)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return the metrics of each direction, and those of chance, one dictionary per row."""
        rows = []
        for direction in DIRECTIONS:
            n = {"queries": self.results[direction]["queries"]}
            for kind, metrics in (("measured", self.metrics), ("chance", self.chance)):
                rows.append({"direction": direction, "kind": kind} | n | metrics[direction])
        return rows

    def _names(self) -> dict[str, list[str]]:
        return {direction: list(self.results["chance"][direction]) for direction in DIRECTIONS}

    def __repr__(self) -> str:
        """Return the table that ``ivr evaluate`` prints."""
        return results_table(self.results)
