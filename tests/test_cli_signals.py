"""SIGINT, SIGTERM and SIGHUP end every command in one line that says how to go on."""

import os
import shlex
import signal
import time
from pathlib import Path

import click
import pytest
from conftest import ivr, succeeded

from ivr.cli import LazyGroup
from ivr.pipeline.runs.run_folder import read_config

SHORT = ("--method", "lsh", "--bits", "8", "--device", "cpu")
AGAIN = "stopped; nothing that was finished is lost: call again\n"


def end(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)  # the handler runs before this returns


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_command_works_is_75_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = signal.getsignal(number)
    monkeypatch.setattr("ivr.verify", lambda folder: end(number))
    result = ivr("verify", tmp_path)
    assert (result.exit_code, result.stderr, result.stdout) == (75, AGAIN, "")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_command_is_loaded_is_75_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def load(self: LazyGroup, context: click.Context, name: str) -> None:
        end(number)

    monkeypatch.setattr(LazyGroup, "get_command", load)
    result = ivr("verify", tmp_path)
    assert (result.exit_code, result.stderr, result.stdout) == (75, AGAIN, "")


def test_an_error_that_a_library_makes_of_the_interrupt_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallow(folder: Path) -> None:
        try:
            end(signal.SIGTERM)
        except KeyboardInterrupt as interrupt:
            raise RuntimeError("write failed") from interrupt

    monkeypatch.setattr("ivr.verify", swallow)
    result = ivr("verify", tmp_path)
    assert (result.exit_code, result.stderr) == (75, AGAIN)


def test_a_signal_that_nohup_ignores_stays_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr("ivr.verify", lambda _: os.kill(os.getpid(), signal.SIGHUP) or 1 / 0)
        assert isinstance(ivr("verify", tmp_path).exception, ZeroDivisionError)
    finally:
        signal.signal(signal.SIGHUP, before)


def interrupted(monkeypatch: pytest.MonkeyPatch, where: str, *call: object) -> str:
    """Return the last line of ``call``, which a signal ends in the function ``where``."""
    with monkeypatch.context() as patch:
        patch.setattr(f"ivr.pipeline.runs.train.{where}", lambda *_, **__: end(signal.SIGTERM))
        result = ivr(*call)
    assert result.exit_code == 75
    return result.stderr.splitlines()[-1].removeprefix(
        "stopped; nothing that was finished is lost: "
    )


def test_an_interrupted_training_names_the_call_that_goes_on_and_it_does(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "a run"
    new = ("train-hash", features, "--out", run, *SHORT)
    assert interrupted(monkeypatch, "prepared", *new) == "call again"
    advice = interrupted(monkeypatch, "learn", *new)
    assert advice == f"go on with ivr train-hash {features} --out '{run}' --resume"
    call = shlex.split(advice.removeprefix("go on with "))[1:]
    assert interrupted(monkeypatch, "learn", *call) == advice
    succeeded(ivr(*call))
    other = (*new, "--seed", "5", "--overwrite")
    assert interrupted(monkeypatch, "prepared", *other) == "call again"
    assert interrupted(monkeypatch, "learn", *other) == advice
    assert read_config(run)["seed"] == 0
    succeeded(ivr(*call))
    assert read_config(run)["seed"] == 5
