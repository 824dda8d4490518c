"""Tasks of a comparison: one run to train and to evaluate each, and how far it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ivr.errors import IvrError
from ivr.features.store import open_table
from ivr.hashing.metrics import METRICS
from ivr.pipeline.evaluation.evaluate import completed
from ivr.pipeline.evaluation.protocol import DIRECTIONS, Protocol
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.extraction.feature_schema import stream_rows
from ivr.pipeline.runs.choices import manifest_digest
from ivr.pipeline.runs.codes_file import KIND as CODES_KIND
from ivr.pipeline.runs.codes_file import QUANTISATION
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import CODES, CONFIG, EVALUATIONS, RESULTS, read_config, read_json
from ivr.pipeline.runs.train import check_run

from .grid import EvaluationPlan, Grid, GridRow

RUNS = "runs"
State = Literal["new", "begun", "trained", "finished"]


@dataclass(frozen=True)
class Task:
    """One run to train and to evaluate.

    Attributes:
        row: row of the grid that it belongs to.
        seed: seed of the run.
        run: its folder.
        config: what is trained.
        plans: its evaluations.
    """

    row: GridRow
    seed: int
    run: Path
    config: RunConfig
    plans: tuple[EvaluationPlan, ...]


def tasks(grid: Grid, out: Path) -> list[Task]:
    """Return the runs of ``grid`` in ``out``, all those of one seed together."""
    return [
        Task(
            row,
            seed,
            _run_folder(out / RUNS, grid, row, seed),
            grid.config(row, seed),
            tuple(grid.evaluation_plans(row, seed)),
        )
        for seed in grid.seeds
        for row in grid.rows()
    ]


def checked_tasks(features: Path, out: Path, grid: Grid) -> tuple[list[Task], dict[str, IvrError]]:
    """Return one task per run folder, and by name the runs that are refused.

    A folder is refused that holds another run than the one asked for, or a damaged one.

    Raises:
        StoreError, ManifestError: features that cannot be used, or have no such voice stream.
    """
    data = open_features(features)
    for task in tasks(grid, out):
        stream_rows(task.config.streams, data.voice_streams())
    digest = manifest_digest(data)
    good, refused = list[Task](), dict[str, IvrError]()
    for task in {task.run: task for task in tasks(grid, out)}.values():
        try:
            if state(task) != "new":
                check_run(task.run, data, digest, task.config)
            good.append(task)
        except IvrError as error:
            refused[task.run.name] = error
    return good, refused


def state(task: Task) -> State:
    """Return how far the run of ``task`` is."""
    if not (task.run / CONFIG).is_file():
        return "new"
    if not (task.run / CODES).is_file():
        return "begun"
    finished = all(is_evaluated(task.run, plan) for plan in task.plans)
    return "finished" if finished else "trained"


def unfinished(asked: Sequence[Task]) -> list[Task]:
    """Return the tasks that are not finished."""
    return [task for task in asked if state(task) != "finished"]


def is_evaluated(run: Path, plan: EvaluationPlan) -> bool:
    """Return whether the present codes of ``run`` are evaluated as ``plan`` says."""
    folder = run / EVALUATIONS / plan.folder
    if not (folder / RESULTS).is_file() or not (run / CODES).is_file():
        return False
    results = read_json(folder / RESULTS)
    asked = asdict(completed(plan.protocol, read_config(run)))
    told, codes, health = (results.get(name) for name in ("protocol", "codes", "health"))
    made = open_table(run / CODES, CODES_KIND).config
    # Changed voices are encoded for their evaluation, whatever version made the codes of the run.
    unknown = QUANTISATION not in made and not plan.check.change
    return (
        isinstance(told, dict)
        and asdict(Protocol()) | told == asked  # earlier versions had no other choice
        and isinstance(codes, dict)
        and codes.get("model_sha256") == made["model"]
        and isinstance(health, dict)  # results of an earlier version have none
        and isinstance(results.get("ceiling"), dict)  # nor have they these
        and _has_every_metric(results)
        and (health.get(QUANTISATION) is None) == unknown
    )


def _has_every_metric(results: Mapping[str, Any]) -> bool:
    """Return whether the results, perhaps of an earlier version, have all metrics of this one."""
    return all(
        name in results[direction]
        for direction in DIRECTIONS
        if direction in results  # else it is damaged, which its reader says
        for metric in METRICS.values()
        if metric.reads == "order" or results["protocol"]["distance"] == "hamming"
        for name in metric.names()
    )


def _run_folder(runs: Path, grid: Grid, row: GridRow, seed: int) -> Path:
    """Return the folder of a run; a run that an earlier version named otherwise keeps its name."""
    run, earlier = (runs / name for name in (grid.name(row, seed), grid.earlier_name(row, seed)))
    is_there = (earlier / CONFIG).is_file() and not (run / CONFIG).is_file()
    return earlier if is_there else run
