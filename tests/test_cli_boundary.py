"""The last boundary: whatever is left becomes one line and an exit status, in a real process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from ivr.cli.errors import one_line

FULL = Path("/dev/full")
FAILING = """if True:
    import sys
    from ivr.cli import main, verify
    import ivr

    def fail(folder):
        raise {error}

    ivr.verify = fail
    sys.argv[0] = "ivr"
    main()
"""


def program(*arguments: object, **choices: Any) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "ivr", *map(str, arguments)]
    choices = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | choices
    return subprocess.run(words, text=True, timeout=300, check=False, **choices)


def failing(error: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", FAILING.format(error=error), "verify", ".", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ("MemoryError()", 1, "Error: the memory does not suffice; give a smaller --batch-size"),
        ("ImportError('libx.so: cannot open')", 1, "Error: a library cannot be loaded (libx.so"),
        ("OSError(28, 'No space left on device')", 1, "Error: disk: full; nothing that was"),
        ("PermissionError(13, 'Permission denied')", 1, "Error: the system refuses a call (Perm"),
        ("RecursionError('too deep')", 70, "Error: a fault of ivr itself (RecursionError: too"),
        ("KeyError('a')", 70, "Error: a fault of ivr itself (KeyError: 'a'); please report it"),
        ("ValueError('two\\nlines \\x1b')", 70, "(ValueError: two lines \\u001b); please report"),
    ],
)
def test_what_is_left_is_one_line_and_an_exit_status(error: str, status: int, words: str) -> None:
    done = failing(error)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert words in line


def test_with_verbose_the_traceback_is_shown() -> None:
    done = failing("KeyError('a')", "--verbose")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: a fault of ivr itself")


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
def test_a_result_that_cannot_be_written_is_an_error() -> None:
    with FULL.open("w") as full:
        done = program("--version", stdout=full)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "No space left on device" in line


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
def test_messages_that_cannot_be_written_do_not_change_the_exit_status(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        assert program("--version", stderr=full).returncode == 0
        assert program("verify", stderr=full).returncode == 2
        (tmp_path / "some").mkdir()
        assert program("verify", tmp_path / "some", stderr=full).returncode == 1


def test_a_closed_stderr_is_not_the_next_file_that_is_opened(tmp_path: Path) -> None:
    done = program("verify", tmp_path, stderr=None, preexec_fn=lambda: os.close(2))
    assert done.returncode == 1
    done = program("--version", stdout=None, preexec_fn=lambda: os.close(1))
    assert done.returncode == 0


def test_an_error_of_the_system_without_shared_memory_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ivr.cli.errors.SHARED_MEMORY", str(tmp_path / "none"))
    words = r"\(Permission denied\); .*none is not writable"
    with pytest.raises(click.ClickException, match=words), one_line():
        raise PermissionError(13, "Permission denied")


def test_memory_that_torch_does_not_get_is_one_line() -> None:
    words = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    with pytest.raises(click.ClickException, match="memory does not suffice"), one_line():
        raise RuntimeError(words)
