"""Stage: features to runs of many methods in parallel, each an ordinary run folder, and figures.

Every run has its own number of threads, wherever it is trained: here where one is trained at a
time, else in processes of joblib. So figures do not depend on how many are trained at once. A
stopped comparison goes on from the last epoch of every run.
"""

import io
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import joblib

from ivr.errors import IvrError
from ivr.features.store import open_table
from ivr.hashing.method import TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.trainer import resolved
from ivr.pipeline.evaluation.evaluate import completed, evaluate
from ivr.pipeline.evaluation.per_query import DIRECTIONS, QueryMetrics, read_queries
from ivr.pipeline.evaluation.protocol import Protocol
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.runs.encode import KIND as CODES_KIND
from ivr.pipeline.runs.encode import QUANTISATION, encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import (
    CODES,
    CONFIG,
    QUERIES,
    RESULTS,
    read_config,
    read_json,
)
from ivr.pipeline.runs.train import check_runs, describe_run, resume_run, train_run
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.lock import BusyError
from ivr.pipeline.runtime.progress import clock, progress, say
from ivr.pipeline.runtime.stop import interrupted_by_signals
from ivr.pipeline.runtime.threads import torch_threads

from .generalisation import PLAIN_CHECK, Check
from .grid import Grid, GridRow, Judging
from .time_estimate import epoch_seconds, epochs_done, measured_epoch_seconds

RUNS, EVALUATIONS = "runs", "evaluations"
FIGURES = {"mAP", *(f"{letter}@{k}" for letter in "PRF" for k in (1, 5, 10))}
State = Literal["new", "begun", "trained", "finished"]


class CompareError(IvrError):
    """A comparison that cannot be made, in one line."""


@dataclass(frozen=True)
class Task:
    """One run to train and to judge.

    Attributes:
        row: what it is, but for the seed.
        seed: of the run.
        run: its folder.
        config: what is trained.
        judgings: how it is judged.
    """

    row: GridRow
    seed: int
    run: Path
    config: RunConfig
    judgings: tuple[Judging, ...]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        name: of its folder.
        state: new; begun, to be resumed; trained, to be judged; or finished.
        seconds: of training that is left, about; 0 where there is none.
        measured: estimated from a few steps, since no run of the method has a history yet.
    """

    name: str
    state: State
    seconds: float
    measured: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        name: of the run.
        failure: why it failed, in one line; empty where it did not.
        busy: another process is at it.
        figures: mAP image to voice and voice to image, percent; None without them.
    """

    name: str
    failure: str = ""
    busy: bool = False
    figures: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of one run by one distance.

    Attributes:
        folder: where they lie.
        results: content of ``results.json``.
        queries: average precision of every query, by direction.
    """

    folder: Path
    results: Mapping[str, Any]
    queries: Mapping[str, QueryMetrics]


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """What stands in one line of a table: a row by one distance, with every finished seed.

    Attributes:
        row: what was trained.
        distance: hamming, euclidean or matching.
        by_sign: the outputs of a real-valued method are ranked by their signs.
        evaluations: by seed.
        check: what was asked.
    """

    row: GridRow
    distance: str
    by_sign: bool
    evaluations: Mapping[int, Evaluation]
    check: Check = PLAIN_CHECK


def tasks(grid: Grid, out: Path) -> list[Task]:
    """Return the runs of ``grid`` in ``out``, all those of a seed together."""
    return [
        Task(
            row,
            seed,
            out / RUNS / grid.name(row, seed),
            grid.config(row, seed),
            tuple(grid.judgings(row, seed)),
        )
        for seed in grid.seeds
        for row in grid.rows()
    ]


def plan(features: Path, out: Path, grid: Grid, threads: int = 1) -> list[PlannedRun]:
    """Return what :func:`compare` would do, without doing it.

    Raises:
        RunError: a folder that holds another run than the one asked for.
        StoreError, ManifestError: see their modules.
    """
    asked = _checked(features, out, grid)
    histories: dict[GridRow, list[float]] = {}
    for task in asked:
        histories.setdefault(task.row, []).extend(epochs_done(task.run))
    measured: dict[tuple[str, tuple[str, ...]], float] = {}
    return [_planned(features, task, histories, measured, threads) for task in asked]


def plan_text(planned: Sequence[PlannedRun], jobs: int) -> str:
    """Return the plan as a person reads it: runs that are left, how many, and for how long."""
    left = [run for run in planned if run.state != "finished"]
    lines = [
        f"{run.state:<8} {run.name}" + (f", about {clock(run.seconds)}" if run.seconds else "")
        for run in left
    ]
    counts = ", ".join(
        f"{count} {name}"
        for name in get_args(State)
        if (count := sum(run.state == name for run in planned))
    )
    at_once = min(jobs or joblib.cpu_count(), max(1, len(left)))
    whole = clock(sum(run.seconds for run in left) / at_once)
    guess = ", by a few steps on this machine" if any(run.measured for run in left) else ""
    lines.append(f"{len(planned)} runs: {counts}; about {whole} with {at_once} at once{guess}")
    lines.append("Training alone; reading the features and coding come on top.")
    return "\n".join(lines)


def compare(
    features: Path, out: Path, grid: Grid, *, jobs: int = 1, threads: int = 1
) -> list[Outcome]:
    """Train and judge what is missing, and return what became of it.

    Args:
        features: folder that ``ivr extract`` wrote.
        out: folder of the comparison.
        grid: what is compared.
        jobs: runs at once, 0 for one a core.
        threads: of torch and BLAS in each of them; figures depend on it in their last digits,
            which training amplifies.

    Raises:
        RunError: a folder that holds another run than the one asked for.
        CompareError: a training process was ended from outside.
        StoreError, ManifestError, DeviceError: see their modules.
    """
    choose_device(grid.device)
    left = [task for task in _checked(features, out, grid) if state(task) != "finished"]
    outcomes = []
    with interrupted_by_signals(), closing(_done(features, left, jobs, threads)) as done:
        for outcome in progress(done, len(left), "runs"):
            outcomes.append(outcome)
            say(_outcome_text(outcome))
    return outcomes


def read_lines(out: Path, grid: Grid) -> list[ComparisonRow]:
    """Return the figures of all finished runs of ``grid`` in ``out``, in the order of its rows.

    Raises:
        CompareError, RunError, StoreError: damaged figures.
    """
    found: dict[tuple[GridRow, str], dict[int, Evaluation]] = {}
    for task in tasks(grid, out):
        for judging in task.judgings:
            if _is_judged(task, judging):
                by_seed = found.setdefault((task.row, judging.folder), {})
                by_seed[task.seed] = _read_evaluation(task.run / EVALUATIONS / judging.folder)
    lines = []
    for row in grid.rows():
        own = method_entry(row.variant.method).build.distance
        for judging in grid.judgings(row, grid.seeds[0]):
            distance, evaluations = judging.protocol.distance, found.get((row, judging.folder), {})
            lines.append(
                ComparisonRow(row, distance or own, judging.by_sign, evaluations, judging.check)
            )
    return lines


def state(task: Task) -> State:
    """Return how far the run of ``task`` is."""
    if not (task.run / CONFIG).is_file():
        return "new"
    if not (task.run / CODES).is_file():
        return "begun"
    judged = all(_is_judged(task, judging) for judging in task.judgings)
    return "finished" if judged else "trained"


def _checked(features: Path, out: Path, grid: Grid) -> list[Task]:
    """Return a task a folder; other runs in their place are refused before any training."""
    asked = list({task.run: task for task in tasks(grid, out)}.values())
    data = open_features(features)
    check_runs(data, {task.run: task.config for task in asked if state(task) != "new"})
    return asked


def _epochs_left(task: Task) -> int:
    """Return how many epochs there are to train; what is not trained in steps is one, done anew."""
    method = method_entry(task.config.method).build
    if not issubclass(method, TrainedMethod):
        return 1
    return (resolved(task.config.training, method).epochs or 0) - len(epochs_done(task.run))


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


def _done(
    features: Path, left: Sequence[Task], jobs: int, threads: int
) -> Generator[Outcome, None, None]:
    """Yield outcomes as they come; processes, where there are any, end with the generator."""
    if not left:
        return
    at_once = min(jobs or joblib.cpu_count(), len(left))
    with _quiet_tracker(), joblib.parallel_config("loky", inner_max_num_threads=threads):
        pool = joblib.Parallel(at_once, return_as="generator_unordered")
        outcomes = pool(joblib.delayed(_do)(features, task, threads) for task in left)
    try:
        with closing(outcomes):
            yield from outcomes
    except BrokenExecutor as error:
        raise CompareError(
            "a training process was ended from outside, for lack of memory perhaps (give fewer "
            "--jobs); what was finished is kept: call again"
        ) from error


@contextmanager
def _quiet_tracker() -> Iterator[None]:
    """Have what joblib starts now say nothing of semaphores: ended processes leave theirs to it."""
    name, before = "PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS")
    os.environ[name] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _do(features: Path, task: Task, threads: int) -> Outcome:
    """Train and judge one run in this process; what it says is in its history."""
    name = task.run.name
    with torch_threads(threads), redirect_stderr(io.StringIO()):
        try:
            return Outcome(name, figures=_trained_and_judged(features, task))
        except BusyError:
            return Outcome(name, busy=True)
        except IvrError as error:
            return Outcome(name, failure=str(error))


def _trained_and_judged(features: Path, task: Task) -> tuple[float, float]:
    """Do what is left of ``task``, which another process may have done a part of by now."""
    found = state(task)
    if found == "new":
        train_run(features, task.run, task.config)
    elif found == "begun":
        resume_run(task.run, features=features, device=task.config.device, expected=task.config)
    results = []
    for judging in task.judgings:
        folder = task.run / EVALUATIONS / judging.folder
        results.append(
            read_json(folder / RESULTS)
            if _is_judged(task, judging)
            else _judged(features, task, judging)
        )
    own = results[0]
    return own["image_to_voice"]["mAP"], own["voice_to_image"]["mAP"]


def _judged(features: Path, task: Task, judging: Judging) -> dict[str, Any]:
    """Return the figures, of voices that are changed first where the check says so."""
    folder, change, codes = task.run / EVALUATIONS / judging.folder, judging.check.change, None
    if change:
        codes = encode_run(
            task.run, features=features, out=folder / CODES, device=task.config.device,
            change=change,
        )  # fmt: skip
    return evaluate(task.run, judging.protocol, codes=codes, out=folder).results


def _is_judged(task: Task, judging: Judging) -> bool:
    """Return whether the codes that are there now were judged so."""
    folder = task.run / EVALUATIONS / judging.folder
    if not (folder / RESULTS).is_file() or not (task.run / CODES).is_file():
        return False
    results = read_json(folder / RESULTS)
    asked = asdict(completed(judging.protocol, read_config(task.run)))
    told, codes, health = (results.get(name) for name in ("protocol", "codes", "health"))
    made = open_table(task.run / CODES, CODES_KIND).config
    # Changed voices are coded for their figures, whatever version made the codes of the run.
    unknown = QUANTISATION not in made and not judging.check.change
    return (
        isinstance(told, dict)
        and asdict(Protocol()) | told == asked  # earlier versions had no other choice
        and isinstance(codes, dict)
        and codes.get("model_sha256") == made["model"]
        and isinstance(health, dict)  # figures of an earlier version have none
        and (health.get(QUANTISATION) is None) == unknown
    )


def _read_evaluation(folder: Path) -> Evaluation:
    results = read_json(folder / RESULTS)
    for found in (results, results.get("chance")):
        for direction in DIRECTIONS:
            if not isinstance(found, dict) or not set(found.get(direction, ())) >= FIGURES:
                raise CompareError(f"{folder / RESULTS}: damaged; remove {folder} and call again")
    return Evaluation(folder, results, read_queries(folder / QUERIES))


def _outcome_text(outcome: Outcome) -> str:
    if outcome.busy:
        return f"{outcome.name}: left to another process that is at it"
    if outcome.figures is None:
        return f"{outcome.name}: failed"
    image_to_voice, voice_to_image = outcome.figures
    return f"{outcome.name}: mAP {image_to_voice:.2f} / {voice_to_image:.2f}"
