"""One extraction divided among the tasks of a job array."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ivr.errors import IvrError

Value = TypeVar("Value")
FOLDER = "parts"  # below the feature folder; one folder per task
# Boundaries between tasks are multiples of these numbers, and so are boundaries between batches:
# the last bits of a vector depend on how many images share its forward pass.
ALIGNED = (256, 32)


class JobArrayError(IvrError):
    """A task that does not exist, in one line."""


@dataclass(frozen=True)
class JobArrayTask:
    """Task ``number`` of ``count``.

    Attributes:
        number: from 1 to ``count``.
        count: number of tasks.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        """Refuse a number outside 1 to ``count``."""
        if not 1 <= self.number <= self.count:
            raise JobArrayError(f"tasks go from 1/N to N/N, got {self.number}/{self.count}")

    def __str__(self) -> str:
        """Return the task as ``--shard`` takes it, e.g. ``2/8``."""
        return f"{self.number}/{self.count}"

    def folder(self, out: Path) -> Path:
        """Return the folder below the feature folder ``out`` that the task writes to."""
        return out / FOLDER / f"{self.number}-of-{self.count}"

    def select(self, values: Sequence[Value]) -> Sequence[Value]:
        """Return the task's share of ``values``; the shares of all tasks in order are the whole."""
        first, last = (self._cut(number, len(values)) for number in (self.number - 1, self.number))
        return values[first:last]

    def _cut(self, number: int, size: int) -> int:
        cut = number * size // self.count
        step = next((step for step in ALIGNED if size >= step * self.count), 1)
        return cut if number == self.count else min(size, round(cut / step) * step)


def parse_task(text: str, environment: Mapping[str, str] = os.environ) -> JobArrayTask:
    """Return the task that ``text`` names.

    Args:
        text: ``I/N`` with I from 1 to N; ``slurm``: the place of this process among the tasks of
            its SLURM job array, numbered from 1 or 0, or among the tasks of the job step that srun
            started; or ``slurm/N``: task SLURM_ARRAY_TASK_ID of N, for an array that repeats some
            of the tasks.
        environment: holds SLURM's variables.

    Raises:
        JobArrayError: another text, or a SLURM variable is missing or does not fit.
    """
    if text == "slurm":
        return _slurm_task(environment)
    if found := re.fullmatch(r"slurm/(\d{1,6})", text):
        return JobArrayTask(_number(environment, "SLURM_ARRAY_TASK_ID"), int(found[1]))
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found:
        raise JobArrayError(f"--shard takes I/N, e.g. 2/8, or slurm, got {text!r}")
    return JobArrayTask(int(found[1]), int(found[2]))


def task_of_folder(folder: Path) -> JobArrayTask | None:
    """Return the task that writes to ``folder`` by its name, None for any other folder."""
    found = re.fullmatch(r"(\d{1,6})-of-(\d{1,6})", folder.name)
    return JobArrayTask(int(found[1]), int(found[2])) if found else None


def _slurm_task(environment: Mapping[str, str]) -> JobArrayTask:
    array = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT")]
    if array[0] in environment:
        task, first, last, count = (_number(environment, name) for name in array)
        if first not in (0, 1) or last - first + 1 != count or count == 1:
            raise JobArrayError(
                f"--shard slurm needs a whole job array, e.g. --array=1-8, not {count} tasks from "
                f"{first} to {last}; to repeat some of N tasks give slurm/N"
            )
        return JobArrayTask(task - first + 1, count)
    if "SLURM_PROCID" in environment:
        task, count = (_number(environment, name) for name in ("SLURM_PROCID", "SLURM_NTASKS"))
        return JobArrayTask(task + 1, count)
    raise JobArrayError(
        "--shard slurm: neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set; "
        "start it with sbatch --array or srun, or give I/N"
    )


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError) as error:
        raise JobArrayError(
            f"--shard slurm: {name} is {environment.get(name, 'not set')!r}, not a number"
        ) from error
