"""Tasks that fail, run out of memory or lose their process end no other task."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ivr

import ivr.pipeline.comparison.running as running
from ivr.pipeline.comparison.compare import compare
from ivr.pipeline.comparison.grid import Grid
from ivr.pipeline.comparison.running import Outcome, outcomes
from ivr.pipeline.comparison.tasks import Task, tasks
from ivr.pipeline.comparison.variants import Variant
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.train import train_run

NAMES = [f"lsh-64-stack-one-{seed}" for seed in range(4)]


def made_up_tasks(out: Path) -> list[Task]:
    """Four tasks, whose runs are named as in ``NAMES``."""
    return tasks(Grid((Variant("lsh", "lsh"),), seeds=(0, 1, 2, 3)), out)


def attempt(features: Path, task: Task, threads: int, begun: Path) -> Outcome:
    """Stand in for a training: a file NAME.kill in ``features`` has lines, one kill for each."""
    del threads
    marker = begun / task.run.name
    if not (features / "early").exists():
        marker.touch()
    kills = features / f"{task.run.name}.kill"
    if kills.exists() and (left := kills.read_text()):
        kills.write_text(left[1:])
        os.kill(os.getpid(), signal.SIGKILL)
    marker.unlink(missing_ok=True)
    return Outcome(task.run.name, mean_average_precision=(50.0, 50.0))


def outcomes_with_kills(folder: Path, kills: dict[str, int], at_once: int) -> dict[str, Outcome]:
    for name, count in kills.items():
        (folder / f"{name}.kill").write_text("k" * count)
    found = list(outcomes(folder, made_up_tasks(folder / "out"), at_once, 1))
    assert sorted(outcome.name for outcome in found) == NAMES
    return {outcome.name: outcome for outcome in found}


def test_a_task_whose_process_is_killed_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_attempt", attempt)
    found = outcomes_with_kills(tmp_path, {NAMES[1]: 1}, at_once=2)
    assert not any(outcome.failure for outcome in found.values())


@pytest.mark.parametrize("early", [False, True])
def test_a_task_that_kills_its_process_twice_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    monkeypatch.setattr(running, "_attempt", attempt)
    if early:  # killed before the task says that it has begun
        (tmp_path / "early").touch()
    found = outcomes_with_kills(tmp_path, {NAMES[0]: 9, NAMES[2]: 9}, at_once=2)
    assert [name for name in NAMES if found[name].failure] == [NAMES[0], NAMES[2]]
    assert found[NAMES[0]].failure.startswith("its process was killed twice")
    assert "killed twice" in (tmp_path / "out" / "runs" / NAMES[0] / "log.txt").read_text()


def allocator_full() -> Exception:
    return RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4000000000000 bytes.\nMore of it"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError, "the memory is full (MemoryError): run fewer --jobs"),
        (lambda: torch.OutOfMemoryError("CUDA out of memory."), "the memory is full (CUDA out of"),
        (allocator_full, "the memory is full ([enforce fail"),
        (lambda: TypeError("a bug"), "TypeError: a bug"),
    ],
)
def test_a_run_that_fails_ends_no_other_and_its_log_says_why(
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], Exception],
    words: str,
) -> None:
    def train(features: Path, run: Path, config: RunConfig) -> Path:
        if config.seed == 0:
            raise error()
        return train_run(features, run, config)

    monkeypatch.setattr(running, "train_run", train)
    arguments = ("--methods", "lsh", "--bits", 16, "--seeds", 2, "--device", "cpu")
    result = ivr("compare", features, "--out", tmp_path, *arguments)
    assert result.exit_code == 3
    assert f"failed: lsh-16-stack-one-0: {words}" in result.stderr
    assert "  | " in result.stderr
    log = (tmp_path / "runs" / "lsh-16-stack-one-0" / "log.txt").read_text()
    assert f"failed: {words}" in log
    assert "Traceback (most recent call last)" in log
    assert "lsh     16    codes      1 " in result.stdout
    monkeypatch.setattr(running, "train_run", train_run)
    assert ivr("compare", features, "--out", tmp_path, *arguments).exit_code == 0


def test_the_result_has_failures_with_the_last_lines_of_their_log(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(features: Path, run: Path, config: RunConfig) -> Path:
        raise MemoryError

    monkeypatch.setattr(running, "train_run", train)
    result = compare(features, str(tmp_path), methods=("lsh",), bits=(16,), seeds=1, device="cpu")
    (failed,) = result.failures
    assert failed.name == "lsh-16-stack-one-0"
    assert failed.log[-1].endswith(failed.failure)
    assert repr(result).endswith(f"failed: {failed.name}: {failed.failure}")
    assert result.to_dict()["failures"][0]["failure"] == failed.failure


def test_messages_of_a_run_go_to_its_log(features: Path, tmp_path: Path) -> None:
    result = ivr("compare", features, "--out", tmp_path, "--methods", "lsh", "--bits", 16,
                 "--seeds", 1, "--device", "cpu")  # fmt: skip
    assert result.exit_code == 0
    assert "INFO" in (tmp_path / "runs" / "lsh-16-stack-one-0" / "log.txt").read_text()
    assert "lsh-16-stack-one-0: mAP" in result.stderr
