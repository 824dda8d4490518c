"""The processes that read for the service: who gets one, and what happens to one that fails."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from served_tasks import die, fail, refuse, sleep, take

from ivr.features.media import MediaError
from ivr.features.raster_process import RasterReaderError
from ivr.pipeline.serving import reader_process
from ivr.pipeline.serving.deadline import request_deadline, seconds_left
from ivr.pipeline.serving.readers import Readers, Turns
from ivr.pipeline.serving.service_errors import OverloadedError


def test_who_asks_first_gets_the_first_reader() -> None:
    turns, order = Turns(["the only reader"]), list[str]()
    reader = turns.take(60)

    def wait() -> None:
        mine = turns.take(60)
        order.append("who waited")
        turns.give(mine)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)  # the thread waits now
    turns.give(reader)
    assert turns.take(60) == "the only reader"
    order.append("who came later")
    thread.join()
    assert order == ["who waited", "who came later"]


def test_who_gives_up_leaves_the_queue_and_the_reader_goes_to_the_next() -> None:
    turns, got = Turns(["the only reader"]), list[str]()
    reader = turns.take(60)
    with pytest.raises(OverloadedError, match="all readers are at work; come back"):
        turns.take(0.05)
    thread = threading.Thread(target=lambda: got.append(turns.take(60)))
    thread.start()
    time.sleep(0.2)  # the thread waits now
    turns.give(reader)
    thread.join(10)
    assert got == ["the only reader"]


def test_a_request_waits_for_a_reader_no_longer_than_until_its_own_end(packed: Path) -> None:
    readers = Readers(1, 120, str(packed))
    try:
        assert readers.read(sleep, 0.0) == 0.0
        thread = threading.Thread(target=readers.read, args=(sleep, 3.0))
        thread.start()
        time.sleep(0.2)  # the thread has the reader now
        begun = time.monotonic()
        with request_deadline(0.5), pytest.raises(OverloadedError):
            readers.read(sleep, 0.0)
        assert time.monotonic() - begun < 2
        thread.join()
        assert readers.lost == 0
    finally:
        readers.close()


def test_the_time_of_a_request_ends_a_little_before_it_is_given_up() -> None:
    assert seconds_left(7.0) == 7.0
    with request_deadline(20.0):
        assert 18 < seconds_left(7.0) <= 19
    assert seconds_left(7.0) == 7.0


def test_a_reader_that_dies_hangs_or_takes_all_memory_harms_its_request_only(packed: Path) -> None:
    readers = Readers(1, 120, str(packed))
    try:
        for _ in range(2):
            with pytest.raises(MediaError, match=r"^the reader ended on it"):
                readers.read(die, 0)
            with pytest.raises(MediaError, match=r"^takes too much memory"):
                readers.read(take, 1 << 40)
            with pytest.raises(RuntimeError, match="KeyError"):
                readers.read(fail, 0)
            readers.time_limit = 1
            with pytest.raises(MediaError, match=r"^takes longer than 1 s"):
                readers.read(sleep, 600)
            readers.time_limit = 120
        assert readers.lost == 4
        assert readers.read(sleep, 0.0) == 0.0
    finally:
        readers.close()


def test_an_expected_error_of_a_reader_stays_what_it_is(packed: Path) -> None:
    readers = Readers(1, 120, str(packed))
    try:
        with pytest.raises(RasterReaderError, match="does not start"):
            readers.read(refuse, 0)
        assert readers.lost == 0
    finally:
        readers.close()


def test_a_reader_that_cannot_be_started_is_started_by_a_later_request(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = Readers(1, 120, str(packed))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(reader_process.subprocess, "Popen", _no_process)
            with pytest.raises(MediaError, match="the reader ended on it"):
                readers.read(die, 0)
            for _ in range(2):
                with pytest.raises(OverloadedError, match="no reader can be started"):
                    readers.read(sleep, 0.0)
        assert readers.read(sleep, 0.0) == 0.0
    finally:
        readers.close()


def test_a_reader_that_ends_while_it_starts_is_no_fault_of_the_file(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_process, "_PROGRAM", "raise SystemExit(1)")
    readers = Readers(1, 120, str(packed))
    try:
        with pytest.raises(OverloadedError, match="a reader did not start"):
            readers.read(sleep, 0.0)
    finally:
        readers.close()


def _no_process(*_: Any, **__: Any) -> None:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_script_without_a_main_guard_can_have_readers(packed: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""import sys
print("the script runs")
from ivr.pipeline.serving.readers import Readers
sys.path.insert(0, {str(Path(__file__).parent)!r})
from served_tasks import sleep
readers = Readers(1, 120, {str(packed)!r})
print(readers.read(sleep, 0.0))
readers.close()
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("the script runs\n0.0\n", "")
