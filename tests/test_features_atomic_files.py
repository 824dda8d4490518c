"""A file is whole or absent, whoever writes it and however often."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ivr.features.atomic_files import replaced
from ivr.features.shards import Shards
from ivr.features.store import open_table, text_column


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run ``work(number)`` in as many threads, all between the same barriers; return errors."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_threads_that_write_one_file_leave_the_whole_text_of_one_of_them(tmp_path: Path) -> None:
    path, together = tmp_path / "results.json", threading.Barrier(3, timeout=20)

    def write(number: int) -> None:
        with replaced(path) as partial:
            together.wait()
            partial.write_text(json.dumps([number] * 10_000))
            together.wait()

    assert in_threads(3, write) == []
    values = json.loads(path.read_text())
    assert len(values) == 10_000
    assert len(set(values)) == 1
    assert os.listdir(tmp_path) == ["results.json"]


def test_threads_that_write_shards_keep_the_rows_of_all(tmp_path: Path) -> None:
    shards, together = Shards(tmp_path / "s", "rows"), threading.Barrier(3, timeout=20)

    def write(number: int) -> None:
        columns = {
            "names": text_column([f"{number}.png"]),
            "vectors": np.full((1, 1000), number, np.float32),
        }
        for _ in range(5):
            together.wait()
            shards.write({}, columns)

    assert in_threads(3, write) == []
    tables = [open_table(path, "rows") for path in sorted((tmp_path / "s").iterdir())]
    assert len(shards.tables()) == len(tables)
    assert {table.text("names")[0] for table in tables} == {"0.png", "1.png", "2.png"}


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(KeyError), replaced(path) as partial:
        partial.write_text("new")
        raise KeyError("stop")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.json"]
