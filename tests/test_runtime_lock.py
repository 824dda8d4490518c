import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ivr.pipeline.runtime import lock
from ivr.pipeline.runtime.lock import BusyError, only_writer

HERE = socket.gethostname()


def left_behind(folder: Path, host: str, process: int, age: float = 0.0) -> Path:
    """A lock as another process wrote it ``age`` seconds ago."""
    path = folder / ".lock"
    path.write_text(json.dumps({"host": host, "process": process}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


def gone_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_the_folder_is_made_and_the_lock_removed(tmp_path: Path) -> None:
    with only_writer(tmp_path / "a" / "b"):
        assert json.loads((tmp_path / "a" / "b" / ".lock").read_text()) == {
            "host": HERE,
            "process": os.getpid(),
        }
    assert os.listdir(tmp_path / "a" / "b") == []


def test_the_lock_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), only_writer(tmp_path):
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_second_writer_is_told_who_is_there(tmp_path: Path) -> None:
    words = rf"process {os.getpid()} on this machine is writing here; wait for it, or remove .*lock"
    with only_writer(tmp_path):
        with pytest.raises(BusyError, match=words), only_writer(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()


def test_two_folders_do_not_meet(tmp_path: Path) -> None:
    with only_writer(tmp_path / "a"), only_writer(tmp_path / "b"):
        pass


def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    left_behind(tmp_path, HERE, gone_process())
    with only_writer(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()
    assert os.listdir(tmp_path) == []


def test_a_process_of_another_machine_is_gone_after_five_minutes_without_a_touch(
    tmp_path: Path,
) -> None:
    left_behind(tmp_path, "elsewhere", 1, age=290)
    with pytest.raises(BusyError, match="process 1 on elsewhere is writing"), only_writer(tmp_path):
        pass
    left_behind(tmp_path, "elsewhere", 1, age=310)
    with only_writer(tmp_path):
        pass


def test_a_process_of_this_machine_that_runs_keeps_its_lock_however_old(tmp_path: Path) -> None:
    left_behind(tmp_path, HERE, os.getppid(), age=10_000)
    with pytest.raises(BusyError, match="on this machine"), only_writer(tmp_path):
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b'{"host": "a"}', b'{"host": "a", "process": 1e999}', b"{" * 5],
)
def test_a_lock_that_says_nothing_holds_for_five_minutes(tmp_path: Path, content: bytes) -> None:
    path = left_behind(tmp_path, HERE, 1)
    path.write_bytes(content)
    with pytest.raises(BusyError, match="an unknown machine"), only_writer(tmp_path):
        pass
    os.utime(path, (0, 0))
    with only_writer(tmp_path):
        pass


def test_a_process_number_that_no_machine_has_is_gone(tmp_path: Path) -> None:
    left_behind(tmp_path, HERE, 2**70)
    with only_writer(tmp_path):
        pass


def test_a_lock_taken_while_we_judged_its_predecessor_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, HERE, gone_process())
    runs = lock._runs

    def quicker(process: int) -> bool:
        alive = runs(process)
        left_behind(tmp_path, HERE, os.getppid())
        return alive

    monkeypatch.setattr(lock, "_runs", quicker)
    with (
        pytest.raises(BusyError, match=f"process {os.getppid()} on this machine"),
        only_writer(tmp_path),
    ):
        pass
    assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getppid()
    assert os.listdir(tmp_path) == [".lock"]


def test_what_a_process_left_that_was_killed_while_it_took_the_lock_is_removed(
    tmp_path: Path,
) -> None:
    (tmp_path / ".lock.new.1").write_text("")
    with only_writer(tmp_path):
        assert os.listdir(tmp_path) == [".lock"]


def test_a_lock_that_another_took_over_is_left_to_it(tmp_path: Path) -> None:
    with only_writer(tmp_path):
        left_behind(tmp_path, "elsewhere", 1)
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "elsewhere"


def test_the_lock_is_touched_while_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    with only_writer(tmp_path):
        os.utime(tmp_path / ".lock", (0, 0))
        for _ in range(500):
            if (tmp_path / ".lock").stat().st_mtime > 0:
                break
            lock.time.sleep(0.01)
        assert (tmp_path / ".lock").stat().st_mtime > 0


def test_another_process_is_a_second_writer_too(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ivr.pipeline.runtime.lock import *\n"
        "try:\n  with only_writer(Path(sys.argv[1])): print('in')\n"
        "except BusyError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with only_writer(tmp_path):
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"process {os.getpid()} on this machine is writing here" in told
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"


def test_what_a_killed_writer_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".model.safetensors.123.partial").write_bytes(b"half")
    (tmp_path / "model.safetensors").write_bytes(b"whole")
    with only_writer(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "model.safetensors"}
