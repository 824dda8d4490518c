"""One extraction cut into parts, one a job of a job array."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ivr.errors import IvrError

Value = TypeVar("Value")
FOLDER = "parts"
# Cuts between parts fall on multiples of this, and so between batches: the last bits of a vector
# depend on how many images share its forward pass.
ALIGNED = (256, 32)


class PartError(IvrError):
    """A part that does not exist, in one line."""


@dataclass(frozen=True)
class Part:
    """Part ``number`` of ``count``, from 1.

    Attributes:
        number: from 1 to ``count``.
        count: how many parts there are.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        """Refuse a part that is none."""
        if not 1 <= self.number <= self.count:
            raise PartError(f"parts go from 1/N to N/N, got {self.number}/{self.count}")

    def __str__(self) -> str:
        """Return the part as the command line takes it."""
        return f"{self.number}/{self.count}"

    def folder(self, out: Path) -> Path:
        """Return where the part of the features ``out`` is made."""
        return out / FOLDER / f"{self.number}-of-{self.count}"

    def of(self, values: Sequence[Value]) -> Sequence[Value]:
        """Return the part's run of ``values``: all parts, one after the other, give them all."""
        first, last = (self._cut(number, len(values)) for number in (self.number - 1, self.number))
        return values[first:last]

    def _cut(self, number: int, size: int) -> int:
        cut = number * size // self.count
        step = next((step for step in ALIGNED if size >= step * self.count), 1)
        return cut if number == self.count else min(size, round(cut / step) * step)


def parse_part(text: str, environment: Mapping[str, str] = os.environ) -> Part:
    """Return the part that ``text`` names.

    Args:
        text: ``I/N`` with I from 1 to N; ``slurm``: this task's place among the tasks of the SLURM
            job array, numbered from 1 or 0, or among those of the job step that srun started; or
            ``slurm/N``: part SLURM_ARRAY_TASK_ID of N, for an array of some of the parts.
        environment: where SLURM's variables are.

    Raises:
        PartError: neither, or a job array without what tells the place.
    """
    if text == "slurm":
        return _slurm_part(environment)
    if found := re.fullmatch(r"slurm/(\d{1,6})", text):
        return Part(_number(environment, "SLURM_ARRAY_TASK_ID"), int(found[1]))
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found:
        raise PartError(f"--shard takes I/N, e.g. 2/8, or slurm, got {text!r}")
    return Part(int(found[1]), int(found[2]))


def part_of_folder(folder: Path) -> Part | None:
    """Return the part that is made in ``folder`` by its name, None for another folder."""
    found = re.fullmatch(r"(\d{1,6})-of-(\d{1,6})", folder.name)
    return Part(int(found[1]), int(found[2])) if found else None


def _slurm_part(environment: Mapping[str, str]) -> Part:
    array = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT")]
    if array[0] in environment:
        task, first, last, count = (_number(environment, name) for name in array)
        if first not in (0, 1) or last - first + 1 != count or count == 1:
            raise PartError(
                f"--shard slurm needs a whole job array, e.g. --array=1-8, not {count} tasks from "
                f"{first} to {last}; to do some of N parts again give slurm/N"
            )
        return Part(task - first + 1, count)
    if "SLURM_PROCID" in environment:
        task, count = (_number(environment, name) for name in ("SLURM_PROCID", "SLURM_NTASKS"))
        return Part(task + 1, count)
    raise PartError(
        "--shard slurm: neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set; "
        "start it with sbatch --array or srun, or give I/N"
    )


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError) as error:
        raise PartError(
            f"--shard slurm: {name} is {environment.get(name, 'not set')!r}, not a number"
        ) from error
