"""Tasks that fail, run out of memory or lose their process end no other task."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ivr
from killed_attempts import attempt

import ivr.pipeline.comparison.running as running
from ivr.features.store import open_table, write_table
from ivr.pipeline.comparison.compare import compare
from ivr.pipeline.comparison.running import outcomes
from ivr.pipeline.extraction.feature_schema import VOICES
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import read_json, write_json
from ivr.pipeline.runs.train import finish_run

NAMES = ["a", "b", "c", "d"]


def failures_with_kills(folder: Path, kills: dict[str, int]) -> dict[str, str]:
    """Failure of each of four tasks, run two at once; the named ones kill their process."""
    for name, count in kills.items():
        (folder / f"{name}.kill").write_text("k" * count)
    made_up = [SimpleNamespace(run=folder / "out" / name) for name in NAMES]
    found = list(outcomes(folder, made_up, 2, 1))  # type: ignore[arg-type]
    assert sorted(outcome.name for outcome in found) == NAMES
    return {outcome.name: outcome.failure for outcome in found}


def test_a_task_whose_process_is_killed_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_attempt", attempt)
    assert not any(failures_with_kills(tmp_path, {"b": 1}).values())


@pytest.mark.parametrize("early", [False, True])
def test_a_task_that_kills_its_process_twice_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    monkeypatch.setattr(running, "_attempt", attempt)
    if early:  # killed before the task says that it has begun
        (tmp_path / "early").touch()
    found = failures_with_kills(tmp_path, {"a": 9, "c": 9})
    assert [name for name in NAMES if found[name]] == ["a", "c"]
    assert found["a"].startswith("its process was killed twice")
    assert "killed twice" in (tmp_path / "out" / "a" / "log.txt").read_text()


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
        return finish_run(features, run, config)

    monkeypatch.setattr(running, "finish_run", train)
    arguments = ("--methods", "lsh", "--bits", 16, "--seeds", 2, "--device", "cpu")
    result = ivr("compare", features, "--out", tmp_path, *arguments)
    assert result.exit_code == 3
    assert f"failed: lsh-16-stack-one-0: {words}" in result.stderr
    assert "  | " in result.stderr
    log = (tmp_path / "runs" / "lsh-16-stack-one-0" / "log.txt").read_text()
    assert f"failed: {words}" in log
    assert "Traceback (most recent call last)" in log
    assert re.search(r"^lsh +\d+\.\d\d ", result.stdout, re.MULTILINE)
    monkeypatch.setattr(running, "finish_run", finish_run)
    assert ivr("compare", features, "--out", tmp_path, *arguments).exit_code == 0


def test_the_result_has_failures_with_the_last_lines_of_their_log(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(features: Path, run: Path, config: RunConfig) -> Path:
        raise MemoryError

    monkeypatch.setattr(running, "finish_run", train)
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


@pytest.mark.parametrize("other", ["features", "choices"])
def test_results_of_other_features_or_choices_are_in_no_table(
    features: Path, tmp_path: Path, other: str
) -> None:
    copy = Path(shutil.copytree(features, tmp_path / "features"))
    call: dict[str, Any] = {"methods": ("lsh",), "bits": (16,), "seeds": 1, "device": "cpu"}
    first = compare(copy, tmp_path / "out", **call)
    assert [line for line in first.rows() if is_measured(line)]
    if other == "features":
        table = open_table(copy / "voices.h5", VOICES)
        columns = {name: table.read(name) for name in table.columns}
        columns["vectors"] = columns["vectors"][::-1]
        write_table(table.path, VOICES, table.config, columns)
    else:
        path = tmp_path / "out" / "runs" / "lsh-16-stack-one-0" / "config.json"
        write_json(path, read_json(path) | {"options": {"segments": 9}})
    again = compare(copy, tmp_path / "out", **call)
    assert [failed.name for failed in again.failures] == ["lsh-16-stack-one-0"]
    assert not [line for line in again.rows() if is_measured(line)]


def is_measured(line: Mapping[str, Any]) -> bool:
    return line["kind"] == "measured" and any(isinstance(value, float) for value in line.values())
