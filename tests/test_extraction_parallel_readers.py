"""Readers: rows in order, no further ahead than asked, on this machine or on a Dask cluster."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_extraction_extract import CONFIG, made

from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.parallel_readers import LostReadersError, Readers, ReadersError
from ivr.pipeline.extraction.worker_tasks import FeatureRow, SkippedFile


def numbered(name: str, *_: object) -> FeatureRow | SkippedFile:
    return FeatureRow(name, np.array([int(name)]))


@pytest.mark.parametrize("prefer", ["threads", "processes"])
@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_rows_come_in_the_order_of_the_names(prefer: str, count: int) -> None:
    names = [str(number) for number in range(count)]
    rows = Readers(2, 8).read(numbered, names, (), prefer)  # type: ignore[arg-type]
    assert [row.name for row in rows] == names


def test_readers_keep_within_the_rows_ahead_and_do_not_pause_between_windows() -> None:
    begun, lock = list[str](), threading.Lock()

    def reading(name: str) -> FeatureRow:
        with lock:
            begun.append(name)
        return FeatureRow(name, np.zeros(1))

    with closing(Readers(2, 8).read(reading, [str(n) for n in range(100)], (), "threads")) as rows:
        taken = 0
        for _ in range(40):
            next(rows)
            taken += 1
            time.sleep(0.002)
            with lock:
                assert len(begun) <= taken - 1 + 8
        # Two windows of four: while one is handed out, the other is read, whether or not more rows
        # are asked for.
        patience = time.monotonic() + 60
        while len(begun) < taken + 3 and time.monotonic() < patience:
            time.sleep(0.002)
        assert taken + 3 <= len(begun) <= taken - 1 + 8


@pytest.mark.parametrize("address", ["CLOSED", "SILENT", "nonsense", "foo://host:1", "tcp://host"])
def test_a_bad_scheduler_address_is_one_line_and_then_the_process_ends(address: str) -> None:
    """A process of its own: a client of Dask kept it from ending (8 of 12 times)."""
    pytest.importorskip("distributed", reason="needs Dask: pip install '.[dask]'")
    script = """if True:
        import sys
        import ivr.pipeline.extraction.parallel_readers as readers
        readers.PATIENCE = 0.5
        try:
            list(readers.Readers(1, 8, sys.argv[1]).read(print, ["a"], (), "threads"))
        except readers.ReadersError as error:
            print(error)
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        here = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        if address == "SILENT":
            taken.listen()
        address = here if address.isupper() else address
        done = subprocess.run(
            [sys.executable, "-c", script, address], capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{address}: no Dask scheduler answers there (")
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_without_dask_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ReadersError, match=r"pip install 'image-voice-hashing\[dask\]'"):
        next(Readers(1, 8, "tcp://127.0.0.1:9").read(numbered, ["1"], (), "processes"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("needs Dask: pip install '.[dask]'")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


def test_a_cluster_makes_the_same_bytes(tmp_path: Path, cluster, tiny_encoder: None) -> None:  # type: ignore[no-untyped-def]
    manifest, config = made(tmp_path, 6, 9), replace(CONFIG, augment=("noise=10",))
    extract(manifest, tmp_path / "one", config)
    extract(
        manifest, tmp_path / "two", replace(config, scheduler_address=cluster.scheduler_address)
    )
    for name in ("images.h5", "voices.h5"):
        one, two = (tmp_path / folder / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path: Path, cluster) -> None:  # type: ignore[no-untyped-def]
    manifest = made(tmp_path, 0, 60)
    extract(manifest, tmp_path / "one", CONFIG)
    workers = [worker.pid for worker in cluster.workers.values()]
    killed = threading.Event()

    def kill_once_shards_appear() -> None:
        while not list((tmp_path / "two").glob("voices.shards/*.h5")):
            time.sleep(0.001)
        os.kill(workers[0], signal.SIGKILL)
        killed.set()

    threading.Thread(target=kill_once_shards_appear, daemon=True).start()
    config = replace(CONFIG, scheduler_address=cluster.scheduler_address)
    (voices,) = extract(manifest, tmp_path / "two", config)
    assert killed.is_set()
    assert (voices.rows, voices.skipped) == (60, ())
    one, two = (tmp_path / folder / "voices.h5" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_cluster_that_is_lost_keeps_what_was_finished(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install '.[dask]'")
    import dask

    manifest = made(tmp_path, 0, 40)
    (tmp_path / "out").mkdir()
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as mine:

        def close_once_shards_appear() -> None:
            while not list((tmp_path / "out").glob("voices.shards/*.h5")):
                time.sleep(0.001)
            mine.close()

        threading.Thread(target=close_once_shards_appear, daemon=True).start()
        config = replace(CONFIG, scheduler_address=mine.scheduler_address)
        brief = {"distributed.comm.timeouts.connect": "1s"}
        with dask.config.set(brief), pytest.raises(LostReadersError, match="the Dask cluster at"):
            extract(manifest, tmp_path / "out", config)
    (voices,) = extract(manifest, tmp_path / "out", CONFIG)
    assert voices.rows == 40
    assert voices.new < 40
