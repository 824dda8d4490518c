"""Evaluations of finished runs, read from their folders: the rows of a comparison."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivr.errors import IvrError
from ivr.hashing.methods import method_entry
from ivr.pipeline.evaluation.per_query import DIRECTIONS, QueryMetrics, read_queries
from ivr.pipeline.runs.run_folder import EVALUATIONS, QUERIES, RESULTS, read_json

from .columns import CUTOFF_METRICS
from .generalisation import PLAIN_CHECK, Check
from .grid import Grid, GridRow
from .tasks import is_evaluated, tasks


class CompareError(IvrError):
    """A comparison that cannot be made, in one line."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The evaluation of one run by one distance.

    Attributes:
        folder: its folder.
        results: content of ``results.json``.
        queries: average precision of every query, by direction.
    """

    folder: Path
    results: Mapping[str, Any]
    queries: Mapping[str, QueryMetrics]

    @property
    def place(self) -> str:
        """The folder below that of the comparison: ``runs/NAME/evaluations/NAME``."""
        return "/".join(self.folder.parts[-4:])


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One measured row of a table: a row of the grid, ranked by one distance.

    Attributes:
        row: what was trained.
        distance: hamming, euclidean or matching.
        by_sign: the outputs of a real-valued method are ranked by their signs.
        evaluations: seed -> evaluation, of the finished runs.
        check: the generalisation check.
    """

    row: GridRow
    distance: str
    by_sign: bool
    evaluations: Mapping[int, Evaluation]
    check: Check = PLAIN_CHECK


def read_rows(
    out: Path, grid: Grid, refused: Container[str] = ()
) -> tuple[list[ComparisonRow], dict[str, str]]:
    """Return the evaluations of all finished runs of ``grid`` in ``out``, in the order of its rows.

    Args:
        out: folder of the comparison.
        grid: what is compared.
        refused: names of folders that hold another run than the one asked for; they are not read.

    Returns:
        The rows, without the runs whose results are damaged; and what is wrong with these, by name.
    """
    found: dict[tuple[GridRow, str], dict[int, Evaluation]] = {}
    failures = {}
    for task in tasks(grid, out):
        if task.run.name in refused:
            continue
        try:
            read = {
                plan.folder: _read_evaluation(task.run / EVALUATIONS / plan.folder)
                for plan in task.plans
                if is_evaluated(task.run, plan)
            }
        except IvrError as error:
            failures[task.run.name] = str(error)
            continue
        for folder, evaluation in read.items():
            found.setdefault((task.row, folder), {})[task.seed] = evaluation
    rows = []
    for row in grid.rows():
        own = method_entry(row.variant.method).build.distance
        for plan in grid.evaluation_plans(row, grid.seeds[0]):
            distance, evaluations = plan.protocol.distance, found.get((row, plan.folder), {})
            rows.append(ComparisonRow(row, distance or own, plan.by_sign, evaluations, plan.check))
    return rows, failures


def damaged(folder: Path) -> CompareError:
    """Return the error of results in ``folder`` that cannot be read."""
    return CompareError(f"{folder / RESULTS}: damaged; remove {folder} and call again")


def _read_evaluation(folder: Path) -> Evaluation:
    results = read_json(folder / RESULTS)
    for found in (results, results.get("chance")):
        for direction in DIRECTIONS:
            if not isinstance(found, dict) or not set(found.get(direction, ())) >= set(
                CUTOFF_METRICS
            ):
                raise damaged(folder)
    return Evaluation(folder, results, read_queries(folder / QUERIES))
