import io
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ivr.pipeline.runtime import progress as module
from ivr.pipeline.runtime.progress import (
    console,
    detail,
    logging_to,
    progress,
    reporting,
    say,
    updating_line,
    warn,
)


class Clock:
    """A clock that goes on by ``step`` seconds with each look at it."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in the place of stderr; a fixture would come before the capture of pytest."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    return found


def test_a_library_call_writes_warnings_to_stderr_and_nothing_else() -> None:
    code = (
        "from ivr.pipeline.runtime.progress import say, warn, progress\n"
        "say('epoch 1'); warn('note: random weights'); list(progress(range(3), 3, 'images'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("", "note: random weights\n")


def test_a_caller_takes_messages_with_handlers_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "ivr"):
        detail("7 % of it")
        say("epoch 1")
        warn("note: random weights")
    assert caplog.record_tuples == [
        ("ivr", logging.DEBUG, "7 % of it"),
        ("ivr", logging.INFO, "epoch 1"),
        ("ivr", logging.WARNING, "note: random weights"),
    ]


@pytest.mark.parametrize(
    ("level", "lines"),
    [("DEBUG", ["d", "s", "w"]), ("INFO", ["s", "w"]), ("WARNING", ["w"])],
)
def test_a_console_writes_messages_of_its_level_to_stderr(
    capsys: pytest.CaptureFixture[str], level: str, lines: list[str]
) -> None:
    with console(logging.getLevelName(level)):
        detail("d")
        say("s")
        warn("w")
    say("after")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()) == ("", lines)


def test_progress_yields_the_values_and_ends_with_a_plain_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console():
        assert list(progress(iter("abc"), 3, "images")) == ["a", "b", "c"]
    assert re.fullmatch(r"images: 3 of 3 in \d+:\d\d\n", capsys.readouterr().err)


def test_no_work_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    assert list(progress((), 0, "images")) == []
    assert caplog.messages == []


def test_plain_lines_come_every_ten_seconds_with_rate_and_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looks at the clock: one at the start (4 s), one per value (8 s, 12 s, ...), one at the end.
    monkeypatch.setattr(module, "time", Clock(4.0))
    assert len(list(progress(range(7), 7, "voices"))) == 7
    assert caplog.messages == [
        "voices: 3 of 7, 0.2 a second, 0:16 left",  # 12 s for three
        "voices: 6 of 7, 0.2 a second, 0:04 left",
        "voices: 7 of 7 in 0:32",
    ]


def test_hours_are_told_as_hours(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(3661.0))
    list(progress(range(2), 2, "voices"))
    assert caplog.messages == [
        "voices: 1 of 2, 0.0 a second, 1:01:01 left",
        "voices: 2 of 2 in 3:03:03",
    ]


def test_a_console_on_a_terminal_shows_a_bar_instead_of_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown_on = terminal(monkeypatch)
    with console():
        assert list(progress(range(3), 3, "images")) == [0, 1, 2]
        say("done")
    shown = shown_on.getvalue()
    assert "images: 100%" in shown and "3/3" in shown
    assert "images: 3 of 3 in" not in shown
    assert shown.endswith("done\n")


def test_lines_on_a_terminal_take_the_place_of_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown_on = terminal(monkeypatch)
    with console(), updating_line() as show:
        for number in range(3):
            show(f"epoch {number}\x1b: {'x' * 60}", number == 1)
    shown = shown_on.getvalue()
    parts = [part.rstrip() for part in re.split(r"[\r\n]", shown) if part.strip()]
    assert [part[:8] for part in parts if part.startswith("epoch")][-1] == "epoch 2\\"
    assert all(len(part) < 40 for part in parts) and "\x1b[2J" not in shown
    assert shown.count("\n") == 1 and "\x1b: " not in shown  # the last line stays


def test_lines_in_a_log_are_those_that_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    for level, lines in ((logging.INFO, ["epoch 1"]), (logging.DEBUG, ["epoch 0", "epoch 1"])):
        with console(level), updating_line() as show:
            for number in range(2):
                show(f"epoch {number}", number == 1)
        assert capsys.readouterr().err.splitlines() == lines


def test_a_console_for_warnings_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown_on = terminal(monkeypatch)
    with console(logging.WARNING):
        list(progress(range(3), 3, "images"))
    assert shown_on.getvalue() == ""


def test_a_callback_is_told_what_is_done_and_how_much_there_is() -> None:
    told: list[tuple[str, int, int]] = []
    with reporting(lambda what, done, total: told.append((what, done, total))):
        list(progress("ab", 2, "images"))
    list(progress("ab", 2, "voices"))
    assert told == [("images", 0, 2), ("images", 1, 2), ("images", 2, 2)]


def test_messages_go_to_the_log_file_of_the_block_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_on = terminal(monkeypatch)
    log = tmp_path / "run" / "log.txt"
    for line in ("first", "second"):
        with console(), logging_to(log):
            say(line)
            detail("no detail")
            list(progress("ab", 2, "images"))
    lines = [line.split(maxsplit=3)[2:] for line in log.read_text().splitlines()]
    assert [(level, text.partition(" in ")[0]) for level, text in lines] == [
        ("INFO", "first"), ("INFO", "images: 2 of 2"),
        ("INFO", "second"), ("INFO", "images: 2 of 2"),
    ]  # fmt: skip
    assert shown_on.getvalue() == ""


def test_a_block_without_messages_makes_no_log_file(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_messages_of_another_thread_do_not_go_to_the_log_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with logging_to(tmp_path / "log.txt"):
        thread = threading.Thread(target=say, args=("from outside",))
        thread.start()
        thread.join()
    assert caplog.messages == ["from outside"]
    assert not (tmp_path / "log.txt").exists()
