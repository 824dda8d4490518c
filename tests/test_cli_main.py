import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from conftest import assert_one_line, ivr

from ivr.cli import every_command

ASK = "import os, ivr; print(os.environ['OMP_WAIT_POLICY'])"


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    given: str | None, kept: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    told = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == kept


COMMANDS = every_command()
DIALECT = (
    "nobody", "somebody", "judge", "figures", "grave", "departure", "condense", "wherever",
    "as they circulate", "row a voice", "an image, drawn", "one a core", "one a line", "gone on",
    "goes on with", "told by", "at it", "is to be", "anew",
)  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_whole_phrase_as_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            text = parameter.help or ""
            assert text[:1].isupper() or text.startswith("MFCC"), parameter.name
            assert text.endswith("."), parameter.name
            assert len(text.split()) > 2, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_in_plain_english(name: str) -> None:
    text = ivr(*name.split(), "--help").stdout
    assert f"Example:\n    ivr {name}" in text or "Example:\n    ivr extract" in text
    words = " ".join(text.split()).lower()
    found = [phrase for phrase in DIALECT if re.search(rf"\b{phrase}\b", words)]
    assert found == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_quiet_verbose_and_config(name: str) -> None:
    options = {name for parameter in COMMANDS[name].params for name in parameter.opts}
    assert {"--quiet", "--verbose", "--config"} <= options


def test_help_of_ivr_groups_the_commands_in_the_order_of_the_work() -> None:
    lines = ivr("--help").stdout.splitlines()
    heads = [line.rstrip(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert heads == ["Options", "Data sets", "Features", "Hashing", "Archives", "Results", "Other"]


def test_quiet_leaves_results_and_drops_messages(media_set: Path, tmp_path: Path) -> None:
    call = ("extract", media_set / "manifest.csv", "--weights", "random", "--encoder", "alexnet",
            "--shard", "1/9", "--dry-run")  # fmt: skip
    plain = ivr(*call, "--out", tmp_path / "out")
    quiet = ivr(*call, "--out", tmp_path / "out", "--quiet")
    assert quiet.stdout == plain.stdout != ""
    assert ivr("--quiet", *call, "--out", tmp_path / "out").stdout == plain.stdout


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        ((), (), logging.INFO),
        (("--quiet",), (), logging.WARNING),
        ((), ("--quiet",), logging.WARNING),
        (("--verbose",), (), logging.DEBUG),
        ((), ("--verbose",), logging.DEBUG),
    ],
)
def test_quiet_and_verbose_work_before_and_after_the_command(
    before: tuple[str, ...], after: tuple[str, ...], level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[int] = []

    @contextmanager
    def noted(level: int) -> Iterator[None]:
        levels.append(level)
        yield

    monkeypatch.setattr("ivr.pipeline.runtime.progress.console", noted)
    ivr(*before, "verify", "nothing", *after)
    assert levels == [level]


def test_quiet_and_verbose_exclude_each_other() -> None:
    assert_one_line(ivr("--quiet", "verify", "x", "--verbose"), "exclude each other", status=2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_knows_commands_and_options(shell: str) -> None:
    def completed(*words: str) -> str:
        environment = os.environ | {
            "_IVR_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1),
        }
        code = "from ivr.cli import main; main(prog_name='ivr')"
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
            check=False,
        ).stdout  # fmt: skip

    assert "train-hash" in completed("ivr", "tra")
    assert "--batch-size" in completed("ivr", "train-hash", "--ba")
    assert "all" in completed("ivr", "train-hash", "--voices", "a")
