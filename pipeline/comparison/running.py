"""Running the tasks of a comparison, here or in processes, so that one failure ends no other.

Every run has its own number of threads wherever it is trained: in this process if one is trained at
a time, else in processes of joblib. So results do not depend on how many are trained at once.
"""

import os
import traceback
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager, redirect_stderr
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import joblib
import torch

from ivr.errors import IvrError
from ivr.features.atomic_files import appended
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_folder import CODES, EVALUATIONS, LOG, RESULTS, read_json
from ivr.pipeline.runs.train import finish_run
from ivr.pipeline.runtime.lock import BusyError
from ivr.pipeline.runtime.orphans import PARENT, end_with
from ivr.pipeline.runtime.progress import logging_to, warn
from ivr.pipeline.runtime.threads import torch_threads

from .grid import EvaluationPlan
from .tasks import Task, is_evaluated

LAST_LINES = 5
"""Lines of the log of a failed run that are reported."""

NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
"""Parts of the messages of torch, in a plain RuntimeError, when the memory is full."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes:
        name: name of the run.
        failure: why it failed, in one line; empty if it did not fail.
        busy: another process is running it.
        mean_average_precision: mAP image to voice and voice to image, percent; None without them.
        log: last lines of the log of a failed run.
    """

    name: str
    failure: str = ""
    busy: bool = False
    mean_average_precision: tuple[float, float] | None = None
    log: tuple[str, ...] = ()


def outcomes(
    features: Path, left: Sequence[Task], at_once: int, threads: int
) -> Generator[Outcome, None, None]:
    """Train and evaluate the tasks ``left`` and yield an outcome for each, as they end.

    When a process is killed, for example by the system for lack of memory, the tasks that were
    running are tried again later, each alone, and the others go on with half as many at once. A
    task whose process is killed when it runs alone is a failure.

    Args:
        features: folder of the features.
        left: the tasks.
        at_once: number of tasks at once; one runs in this process.
        threads: number of threads of each task.
    """
    waiting, suspects = list(left), list[Task]()
    with TemporaryDirectory(prefix="ivr-compare-") as folder:
        begun = Path(folder)
        processes, alone = at_once > 1, False
        while waiting or suspects:
            alone = not waiting
            batch = waiting or [suspects.pop(0)]
            done: set[str] = set()
            try:
                with closing(_run(features, batch, at_once, threads, begun, processes)) as found:
                    for outcome in found:
                        done.add(outcome.name)
                        yield outcome
                waiting = []
            except BrokenExecutor:
                broken = [task for task in batch if task.run.name not in done]
                if alone:
                    yield from (_killed(task) for task in broken)
                    continue
                running = {path.name for path in begun.iterdir()}
                suspects += [t for t in broken if t.run.name in running] or broken
                waiting = [task for task in broken if task not in suspects]
                at_once = max(1, at_once // 2)
            finally:
                for path in begun.iterdir():
                    path.unlink()


def _run(
    features: Path,
    batch: Sequence[Task],
    at_once: int,
    threads: int,
    begun: Path,
    processes: bool,
) -> Generator[Outcome, None, None]:
    """Yield outcomes as they come; processes, if there are any, end with the generator."""
    at_once = min(at_once, len(batch))
    # joblib runs a single job in this process; two jobs of which one is dispatched do not.
    more = {"pre_dispatch": 1} if processes and at_once == 1 else {}
    with _quiet_tracker(), joblib.parallel_config("loky", inner_max_num_threads=threads):
        pool = joblib.Parallel(
            max(2, at_once) if processes else 1,
            return_as="generator_unordered",
            batch_size=1,
            **more,
        )
        found = pool(joblib.delayed(_attempt)(features, task, threads, begun) for task in batch)
    with closing(found):
        yield from found


@contextmanager
def _quiet_tracker() -> Iterator[None]:
    """Start processes of joblib that do not warn of semaphores which killed processes leave."""
    os.environ[PARENT] = str(os.getpid())
    name, before = "PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS")
    os.environ[name] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _attempt(features: Path, task: Task, threads: int, begun: Path) -> Outcome:
    """Train and evaluate one run in this process; its messages go to the log of the run.

    Args:
        features: folder of the features.
        task: the run.
        threads: number of threads of torch.
        begun: folder that holds a file with the name of the run while it is running.
    """
    end_with(int(os.environ.get(PARENT, 0)))
    name = task.run.name
    (begun / name).touch()
    task.run.mkdir(parents=True, exist_ok=True)
    precision, log = None, task.run / LOG
    with (
        TextIOWrapper(appended(log), encoding="utf-8", line_buffering=True) as file,
        redirect_stderr(file),
        logging_to(log),
        torch_threads(threads),
        _Report() as report,
    ):
        precision = _trained_and_evaluated(features, task)
    (begun / name).unlink()
    lines = _last_lines(log) if report.failure else ()
    return Outcome(name, report.failure, report.busy, precision, lines)


class _Report:
    """Context that turns an error of its block into messages and one line.

    Attributes:
        failure: the error in one line; empty without an error.
        busy: another process holds the run.
    """

    failure = ""
    busy = False

    def __enter__(self) -> "_Report":
        """Return the report, which is complete when the block ends."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Report ``error``; an interrupt and the like are not reported and go on."""
        if not isinstance(error, Exception):
            return False
        self.busy = isinstance(error, BusyError)
        if not self.busy:
            self.failure = _in_one_line(error)
            if not isinstance(error, IvrError):
                warn("".join(traceback.format_exception(error)).rstrip())
            warn(f"failed: {self.failure}")
        return True


def _in_one_line(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, IvrError):
        return text
    if _is_out_of_memory(error):
        return (
            f"the memory is full ({text or type(error).__name__}): run fewer --jobs, "
            "or set a smaller training.batch_size"
        )
    return f"{type(error).__name__}: {text}"


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)


def _killed(task: Task) -> Outcome:
    """Return the outcome of a task whose process was killed while it ran alone."""
    failure = (
        "its process was killed twice, the second time running alone: the machine probably lacks "
        "memory for it"
    )
    with logging_to(task.run / LOG):
        warn(f"failed: {failure}")
    return Outcome(task.run.name, failure, log=_last_lines(task.run / LOG))


def _last_lines(log: Path) -> tuple[str, ...]:
    return tuple(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])


def _trained_and_evaluated(features: Path, task: Task) -> tuple[float, float]:
    """Do what is left of ``task``; another process may have done a part of it by now."""
    finish_run(features, task.run, task.config)
    results = []
    for plan in task.plans:
        folder = task.run / EVALUATIONS / plan.folder
        results.append(
            read_json(folder / RESULTS)
            if is_evaluated(task.run, plan)
            else _evaluated(features, task, plan)
        )
    own = results[0]
    return own["image_to_voice"]["mAP"], own["voice_to_image"]["mAP"]


def _evaluated(features: Path, task: Task, plan: EvaluationPlan) -> dict[str, Any]:
    """Return the results of an evaluation; its check may change the voices first."""
    folder, change, codes = task.run / EVALUATIONS / plan.folder, plan.check.change, None
    if change:
        codes = encode_run(
            task.run, features=features, out=folder / CODES, device=task.config.device,
            change=change,
        )  # fmt: skip
    return dict(evaluate(task.run, plan.protocol, codes=codes, out=folder).results)
