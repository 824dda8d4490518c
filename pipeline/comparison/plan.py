"""The plan of a comparison: runs that are left, and how long they take."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import joblib

from ivr.hashing.method import TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.trainer import resolved
from ivr.pipeline.runs.train import describe_run
from ivr.pipeline.runtime.progress import clock
from ivr.pipeline.runtime.results import TableResult
from ivr.pipeline.runtime.words import counted

from .grid import Grid, GridRow
from .tasks import State, Task, checked_tasks, state
from .time_estimate import epoch_seconds, epochs_done, measured_epoch_seconds


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        name: name of its folder.
        state: new; begun, to be resumed; trained, to be evaluated; or finished.
        seconds: about how long its training still takes; 0 if nothing is left to train.
        measured: the time was measured with a few steps, since no run of the method has a history.
    """

    name: str
    state: State
    seconds: float
    measured: bool


@dataclass(frozen=True, repr=False)
class ComparisonPlan(TableResult):
    """What a comparison would do; its repr lists the runs that are left.

    Attributes:
        runs: all runs.
        jobs: runs at once.
    """

    runs: tuple[PlannedRun, ...]
    jobs: int

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per run."""
        return [dict(vars(run)) for run in self.runs]

    def __repr__(self) -> str:
        """Return the runs that are left, their number, and the time they take."""
        return plan_text(self.runs, self.jobs)


def planned_runs(features: Path, out: Path, grid: Grid, threads: int) -> list[PlannedRun]:
    """Return the runs of ``grid`` in ``out``, with the time that each still takes.

    Raises:
        IvrError: a folder that holds another run than the one asked for, or a damaged one.
        StoreError, ManifestError: see their modules.
    """
    asked, refused = checked_tasks(features, out, grid)
    for error in refused.values():
        raise error
    histories: dict[GridRow, list[float]] = {}
    for task in asked:
        histories.setdefault(task.row, []).extend(epochs_done(task.run))
    measured: dict[tuple[str, tuple[str, ...]], float] = {}
    return [_planned(features, task, histories, measured, threads) for task in asked]


def plan_text(runs: Sequence[PlannedRun], jobs: int) -> str:
    """Return the runs that are left, one per line, then their number and the time they take."""
    left = [run for run in runs if run.state != "finished"]
    lines = [
        f"{run.state:<8} {run.name}" + (f", about {clock(run.seconds)}" if run.seconds else "")
        for run in left
    ]
    counts = ", ".join(
        f"{count} {name}"
        for name in get_args(State)
        if (count := sum(run.state == name for run in runs))
    )
    at_once = min(jobs or joblib.cpu_count(), max(1, len(left)))
    whole = clock(sum(run.seconds for run in left) / at_once)
    guess = ", measured with a few steps here" if any(run.measured for run in left) else ""
    total = counted(len(runs), "run")
    lines.append(f"{total}: {counts}; about {whole} with {at_once} at once{guess}")
    lines.append("This is the time of training; reading features and encoding are not included.")
    return "\n".join(lines)


def _planned(
    features: Path,
    task: Task,
    histories: Mapping[GridRow, list[float]],
    measured: dict[tuple[str, tuple[str, ...]], float],
    threads: int,
) -> PlannedRun:
    found = state(task)
    if found in ("trained", "finished"):
        return PlannedRun(task.run.name, found, 0.0, False)
    left = _epochs_left(task)
    known = epoch_seconds(histories, task.row)
    alike = task.config.method, task.config.streams
    if known is None and alike not in measured:
        chosen = json.loads(describe_run(features, task.config))
        measured[alike] = measured_epoch_seconds(chosen, threads)
    seconds = measured[alike] if known is None else known
    return PlannedRun(task.run.name, found, max(0, left) * seconds, known is None)


def _epochs_left(task: Task) -> int:
    """Return the number of epochs to train; a method in closed form counts as one epoch."""
    method = method_entry(task.config.method).build
    if not issubclass(method, TrainedMethod):
        return 1
    return (resolved(task.config.training, method).epochs or 0) - len(epochs_done(task.run))
