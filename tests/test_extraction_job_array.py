"""Tasks of a job array: together they are the whole, and a SLURM task finds its own."""

from pathlib import Path

import pytest

from ivr.pipeline.extraction.job_array import (
    ALIGNED,
    JobArrayError,
    JobArrayTask,
    parse_task,
    task_of_folder,
)


def task_of_array(number: int, first: int, last: int, count: int) -> dict[str, str]:
    """The variables that SLURM sets in a task of a job array."""
    values = {"ID": number, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize("size", [0, 1, 7, 8, 255, 256, 2000, 2048, 5000, 10_500])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_shares_of_all_tasks_in_order_are_the_whole(size: int, count: int) -> None:
    values = list(range(size))
    shares = [JobArrayTask(number, count).select(values) for number in range(1, count + 1)]
    assert [value for share in shares for value in share] == values


@pytest.mark.parametrize("count", [2, 3, 8])
def test_large_shares_are_cut_between_batches_and_small_ones_evenly(count: int) -> None:
    for number in range(2, count + 1):
        assert JobArrayTask(number, count).select(range(10_500))[0] % ALIGNED[0] == 0
        assert JobArrayTask(number, count).select(range(1000))[0] % ALIGNED[1] == 0
    lengths = [len(JobArrayTask(number, count).select(range(20))) for number in range(1, count + 1)]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (task_of_array(1, 1, 8, 8), JobArrayTask(1, 8)),
        (task_of_array(7, 0, 7, 8), JobArrayTask(8, 8)),
    ],
)
def test_a_slurm_task_finds_its_number(environment: dict[str, str], expected: JobArrayTask) -> None:
    assert parse_task("slurm", environment) == expected


def test_an_array_can_repeat_some_of_the_tasks() -> None:
    assert parse_task("slurm/8", task_of_array(5, 3, 5, 2)) == JobArrayTask(5, 8)
    with pytest.raises(JobArrayError, match="tasks go from 1/N to N/N, got 9/8"):
        parse_task("slurm/8", task_of_array(9, 9, 9, 1))
    with pytest.raises(JobArrayError, match="SLURM_ARRAY_TASK_ID is 'not set', not a number"):
        parse_task("slurm/8", {})


@pytest.mark.parametrize(
    "environment",
    [task_of_array(3, 3, 3, 1), task_of_array(3, 3, 5, 2), task_of_array(20, 10, 30, 3)],
)
def test_an_array_of_some_tasks_is_not_taken_for_the_whole(environment: dict[str, str]) -> None:
    with pytest.raises(JobArrayError, match=r"needs a whole job array, .* to repeat .* slurm/N"):
        parse_task("slurm", environment)


def test_a_task_of_a_job_step_finds_its_number() -> None:
    variables = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}
    assert parse_task("slurm", variables) == JobArrayTask(1, 4)
    # Within an array the array decides: every job of it has a step of its own.
    assert parse_task("slurm", variables | task_of_array(2, 1, 3, 3)) == JobArrayTask(2, 3)


@pytest.mark.parametrize(
    ("text", "variables", "words"),
    [
        ("slurm", {}, "neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set"),
        ("slurm", {"SLURM_PROCID": "1"}, "SLURM_NTASKS is 'not set', not a number"),
        ("slurm", task_of_array(1, 1, 5, 4), "needs a whole job array"),
        ("1", {}, "takes I/N, e.g. 2/8"),
        ("0/2", {}, "tasks go from 1/N to N/N, got 0/2"),
        ("-1/2", {}, "takes I/N"),
        ("1/0", {}, "tasks go from 1/N"),
    ],
)
def test_a_text_that_names_no_task_is_refused(
    text: str, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(JobArrayError, match=words):
        parse_task(text, variables)


def test_the_name_of_a_folder_tells_its_task() -> None:
    assert task_of_folder(JobArrayTask(2, 8).folder(Path("out"))) == JobArrayTask(2, 8)
    assert task_of_folder(Path("elsewhere")) is None
