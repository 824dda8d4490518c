"""Worker processes end with their parent, and what a killed process left in memory is removed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ivr.pipeline.runtime.lock import LOCK, only_writer

PARENT = """
import subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(worker.pid, flush=True)
worker.wait()
"""
WORKER = """
import os, time
from ivr.pipeline.runtime.orphans import end_with
end_with(os.getppid())
print("ready", flush=True)
time.sleep(300)
"""


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, WORKER], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        first, second = parent.stdout.readline().strip(), parent.stdout.readline().strip()
        worker = int(first if second == "ready" else second)
        parent.kill()
        assert parent.stdout.read() == ""  # until the worker, which holds it too, has ended
    with pytest.raises(ProcessLookupError):
        for _ in range(600):  # the number may stay for a moment after the end
            os.kill(worker, 0)
            time.sleep(0.1)


def test_what_a_killed_writer_left_in_shared_memory_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "shm"
    monkeypatch.setattr("ivr.pipeline.runtime.orphans.SHARED_MEMORY", memory)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for process in (gone.pid, os.getpid()):
        folder = memory / f"joblib_memmapping_folder_{process}_0a1b"
        folder.mkdir(parents=True)
        (folder / "0.pkl").write_bytes(b"0")
        (memory / f"sem.loky-{process}-xyz").touch()
    (memory / f"sem.other-{gone.pid}").touch()
    everything = {path.name for path in memory.iterdir()}
    with only_writer(tmp_path / "out"):
        pass
    lock = tmp_path / "out" / LOCK
    owner = json.loads(lock.read_text())
    for process, held in ((gone.pid, False), (os.getpid(), True)):
        lock.write_text(json.dumps(owner | {"process": process, "held": held}))
        with only_writer(tmp_path / "out"):
            assert {path.name for path in memory.iterdir()} == everything
    lock.write_text(json.dumps(owner | {"process": gone.pid, "held": True}))
    with only_writer(tmp_path / "out"):
        left = {path.name for path in memory.iterdir()}
    assert everything - left == {
        f"joblib_memmapping_folder_{gone.pid}_0a1b", f"sem.loky-{gone.pid}-xyz",
    }  # fmt: skip


def test_readers_of_files_ignore_the_signals_of_their_caller() -> None:
    code = (
        "import signal; from ivr.pipeline.extraction.worker_tasks import _leave_signals_to as l; "
        "l(0); print([n for n in (1, 2, 15) if signal.getsignal(n) is signal.SIG_IGN])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[int(signal.SIGHUP), int(signal.SIGINT), int(signal.SIGTERM)]}\n"
