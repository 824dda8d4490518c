import io
import sys

import pytest

from ivr.pipeline.runtime import progress as module
from ivr.pipeline.runtime.progress import progress, say


class Clock:
    """A clock that goes on a second with each look at it."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_said_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("skipped pond/1.png: empty file")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "skipped pond/1.png: empty file\n")


def test_progress_yields_the_values_and_ends_with_a_plain_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(progress(iter("abc"), 3, "images")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "images: 3 of 3 in 0:00\n"


def test_no_work_is_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress((), 0, "images")) == []
    assert capsys.readouterr().err == ""


def test_plain_lines_come_every_ten_seconds_with_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looks at the clock: one at the start (4 s), one a value (8 s, 12 s, ...), one at the end.
    monkeypatch.setattr(module, "time", Clock(4.0))
    assert len(list(progress(range(7), 7, "voices"))) == 7
    assert capsys.readouterr().err.splitlines() == [
        "voices: 3 of 7, 0.2 a second, 0:16 left",  # 12 s for three
        "voices: 6 of 7, 0.2 a second, 0:04 left",
        "voices: 7 of 7 in 0:32",
    ]


def test_hours_are_told_as_hours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(3661.0))
    list(progress(range(2), 2, "voices"))
    assert capsys.readouterr().err.splitlines() == [
        "voices: 1 of 2, 0.0 a second, 1:01:01 left",
        "voices: 2 of 2 in 3:03:03",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress(range(3), 3, "images")) == [0, 1, 2]
    assert "images: 100%" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
