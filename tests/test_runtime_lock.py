import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ivr.features.atomic_files import TEXT, replaced
from ivr.pipeline.runtime import lock
from ivr.pipeline.runtime.lock import BusyError, only_writer

HOLD = (
    "import sys, time; from pathlib import Path; from ivr.pipeline.runtime.lock import *\n"
    "with only_writer(Path(sys.argv[1])):\n  print('in', flush=True); time.sleep(60)"
)
TRY = (
    "import sys; from pathlib import Path; from ivr.pipeline.runtime.lock import *\n"
    "try:\n  with only_writer(Path(sys.argv[1])): print('in')\n"
    "except BusyError as error: print(error)"
)


def left_behind(
    folder: Path, *, boot: str = "another kernel", held: bool = True, age: float = 0.0
) -> Path:
    """A lock file as process 1 of the machine ``elsewhere`` left it ``age`` seconds ago."""
    path = folder / ".lock"
    path.write_text(
        json.dumps({"host": "elsewhere", "process": 1, "boot": boot, "token": "t", "held": held})
    )
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


def owner_in(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / ".lock").read_text()))


@pytest.fixture(autouse=True)
def settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.0)


def test_the_folder_is_made_and_the_lock_names_its_owner(tmp_path: Path) -> None:
    with only_writer(tmp_path / "a" / "b"):
        owner = owner_in(tmp_path / "a" / "b")
        assert (owner["host"], owner["process"]) == (socket.gethostname(), os.getpid())
        assert owner["held"] is True
    assert os.listdir(tmp_path / "a" / "b") == [".lock"]
    assert owner_in(tmp_path / "a" / "b")["held"] is False


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), only_writer(tmp_path):
        raise KeyError
    with only_writer(tmp_path):
        pass


def test_a_second_writer_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    words = f"process {os.getpid()} on this machine is writing here; wait for it"
    with only_writer(tmp_path):
        with pytest.raises(BusyError, match=words), only_writer(tmp_path):
            pass
        assert owner_in(tmp_path)["held"] is True


def test_two_folders_do_not_meet(tmp_path: Path) -> None:
    with only_writer(tmp_path / "a"), only_writer(tmp_path / "b"):
        pass


def test_another_process_is_a_second_writer_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRY, str(tmp_path)]
    with only_writer(tmp_path):
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"process {os.getpid()} on this machine is writing here" in said
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(BusyError), only_writer(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert owner_in(tmp_path)["held"] is True
    with only_writer(tmp_path):
        assert owner_in(tmp_path)["process"] == os.getpid()


@pytest.mark.parametrize("process", [0, -1, 1, pytest.param(os.getpid(), id="own"), 2**70])
def test_process_numbers_decide_nothing(tmp_path: Path, process: int) -> None:
    """A recycled number, one of another namespace, or one that no machine has."""
    path = left_behind(tmp_path, boot=lock._boot())
    path.write_text(json.dumps({**owner_in(tmp_path), "process": process}))
    with only_writer(tmp_path):
        assert owner_in(tmp_path)["process"] == os.getpid()


@pytest.mark.parametrize("age", [290, -290])
def test_an_owner_on_another_machine_that_touched_the_lock_lately_holds_it(
    tmp_path: Path, age: float
) -> None:
    left_behind(tmp_path, age=age)
    with pytest.raises(BusyError, match="process 1 on elsewhere is writing"), only_writer(tmp_path):
        pass
    assert os.listdir(tmp_path) == [".lock"]


@pytest.mark.parametrize("age", [310, -310, 1e8])
def test_an_owner_on_another_machine_without_a_heartbeat_is_gone(
    tmp_path: Path, age: float
) -> None:
    left_behind(tmp_path, age=age)
    with only_writer(tmp_path):
        assert owner_in(tmp_path)["process"] == os.getpid()
    assert os.listdir(tmp_path) == [".lock"]


def test_a_folder_that_another_machine_released_is_free_at_once(tmp_path: Path) -> None:
    left_behind(tmp_path, held=False)
    with only_writer(tmp_path):
        pass


def test_of_two_machines_that_take_a_folder_at_one_moment_the_last_to_write_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, held=False)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: left_behind(tmp_path) and None)
    with pytest.raises(BusyError, match="process 1 on elsewhere"), only_writer(tmp_path):
        pass
    assert owner_in(tmp_path)["host"] == "elsewhere"


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[]", b'{"host": "a"}', b'{"host": "a", "process": 1}', b"{" * 5, b"[" * 9999],
)
def test_a_lock_that_names_no_owner_holds_for_five_minutes(tmp_path: Path, content: bytes) -> None:
    path = left_behind(tmp_path)
    path.write_bytes(content)
    with pytest.raises(BusyError, match="an unknown machine"), only_writer(tmp_path):
        pass
    os.utime(path, (0, 0))
    with only_writer(tmp_path):
        pass


def test_an_empty_lock_is_free(tmp_path: Path) -> None:
    """A process was killed between making the file and writing into it."""
    (tmp_path / ".lock").write_bytes(b"")
    with only_writer(tmp_path):
        pass


def test_a_lock_that_another_machine_took_over_is_left_to_it(tmp_path: Path) -> None:
    with only_writer(tmp_path):
        left_behind(tmp_path)
    assert owner_in(tmp_path)["host"] == "elsewhere"
    assert owner_in(tmp_path)["held"] is True


def test_a_lock_file_that_was_removed_by_hand_is_made_again(tmp_path: Path) -> None:
    with only_writer(tmp_path):
        (tmp_path / ".lock").unlink()
    with only_writer(tmp_path):
        assert owner_in(tmp_path)["process"] == os.getpid()


def test_a_file_removed_while_it_is_being_locked_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = fcntl.flock, []

    def remove_first(handle: int, operation: int) -> None:
        if not removed:
            (tmp_path / ".lock").unlink()
            removed.append(True)
        real(handle, operation)

    monkeypatch.setattr(lock.fcntl, "flock", remove_first)
    with only_writer(tmp_path), pytest.raises(BusyError), only_writer(tmp_path):
        pass


def test_the_heartbeat_alone_decides_where_the_file_system_has_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(lock.errno.ENOLCK, "no locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    left_behind(tmp_path, age=310)
    with only_writer(tmp_path):
        with pytest.raises(BusyError, match=f"process {os.getpid()} on"), only_writer(tmp_path):
            pass
        assert owner_in(tmp_path)["held"] is True
    with only_writer(tmp_path):
        pass


def test_no_link_is_followed_and_a_pipe_does_not_hang(tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    target.write_text("mine")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".lock").symlink_to(target)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / ".lock")
    for folder in ("a", "b"):
        with pytest.raises(BusyError, match="not a lock file"), only_writer(tmp_path / folder):
            pass
    assert target.read_text() == "mine"


def test_the_lock_is_touched_while_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    with only_writer(tmp_path):
        os.utime(tmp_path / ".lock", (0, 0))
        for _ in range(500):
            if (tmp_path / ".lock").stat().st_mtime > 0:
                break
            lock.threading.Event().wait(0.01)
        assert (tmp_path / ".lock").stat().st_mtime > 0


def test_what_a_killed_writer_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".model.safetensors.123.partial").write_bytes(b"half")
    (tmp_path / "model.safetensors").write_bytes(b"whole")
    with only_writer(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "model.safetensors"}


def test_the_half_written_file_of_a_writer_at_work_stays(tmp_path: Path) -> None:
    with replaced(tmp_path / "choices.yaml", TEXT) as file:
        file.write(b"bits: 64\n")
        with only_writer(tmp_path):
            pass
    assert (tmp_path / "choices.yaml").read_bytes() == b"bits: 64\n"
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "choices.yaml"}


def test_a_half_written_file_of_a_killed_writer_is_known_by_its_missing_lock(
    tmp_path: Path,
) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from ivr.features.atomic_files import TEXT, replaced\n"
        "with replaced(Path(sys.argv[1]), TEXT) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "results.json")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with only_writer(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
