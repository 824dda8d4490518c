"""A file is whole or absent, whoever writes it and however often."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ivr.features.atomic_files import (
    HDF5,
    JPEG,
    PNG,
    SAFETENSORS,
    TEXT,
    WAV,
    FileKind,
    InTheWayError,
    appended,
    is_partial,
    replaced,
    replaced_text,
)
from ivr.features.shards import Shards
from ivr.features.store import open_table, text_column, write_table


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
        with replaced(path, TEXT) as file:
            together.wait()
            file.write(json.dumps([number] * 10_000).encode())
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
    with pytest.raises(KeyError), replaced(path, TEXT) as file:
        file.write(b"new")
        raise KeyError("stop")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.json"]


def in_the_way(path: Path, what: str, victim: Path) -> None:
    if what == "a link":
        path.symlink_to(victim)
    elif what == "a link to nothing":
        path.symlink_to(victim.with_name("absent"))
    elif what == "a folder":
        path.mkdir()
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("what", ["a link", "a link to nothing", "a folder", "a pipe"])
def test_only_a_regular_file_is_replaced_or_appended_to(tmp_path: Path, what: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "curves.png"
    victim.write_text("precious")
    in_the_way(path, what, victim)
    words = what.removesuffix(" to nothing")
    refused = pytest.raises(InTheWayError, match=f"{words} lies where a text file is to be written")
    with refused, replaced(path, TEXT) as file:
        file.write(b"new")
    with pytest.raises(InTheWayError, match=f"curves.png: {words} lies where a file is to"):
        appended(path)
    assert victim.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["curves.png", "victim"]


CONTENTS = {
    HDF5: b"ivr table\n".ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n",
    JPEG: b"\xff\xd8\xff\xe0\0\x10JFIF",
    PNG: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    SAFETENSORS: (100).to_bytes(8, "little") + b'{"a":{}}',
    TEXT: "direction,curve\nä\n".encode(),
    WAV: b"RIFF\x24\0\0\0WAVEfmt ",
}


@pytest.mark.parametrize("kind", CONTENTS, ids=lambda kind: kind.name)
def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path, kind: FileKind) -> None:
    path = tmp_path / "file"
    for found, content in CONTENTS.items():
        path.write_bytes(content)
        if found is kind:
            with replaced(path, kind) as file:
                file.write(content)
        else:
            refused = pytest.raises(InTheWayError, match=f"something else than {kind.name}")
            with refused, replaced(path, kind) as file:
                file.write(b"new")
            assert path.read_bytes() == content
    path.write_bytes(b"")
    with replaced(path, kind) as file:
        file.write(b"an empty file is of any kind")
    assert os.listdir(tmp_path) == ["file"]


def test_a_character_cut_where_the_head_ends_does_not_make_text_another_kind(
    tmp_path: Path,
) -> None:
    path = tmp_path / "manifest.csv"
    for padding in range(4):
        path.write_text("x" * padding + "€" * 3000, encoding="utf-8")
        with replaced_text(path) as file:
            file.write("new")
        assert path.read_text() == "new"


def test_a_table_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "images.h5"
    write_table(path, "image features", {}, {"names": text_column(["a"])})
    before = path.read_bytes()
    with pytest.raises(InTheWayError, match=r"holds 'image features', not 'codes'"):
        write_table(path, "codes", {}, {"names": text_column(["b"])})
    assert path.read_bytes() == before


def test_the_file_being_written_cannot_be_known_in_advance_and_never_exists_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, victim = tmp_path / "results.json", tmp_path / "victim"
    victim.write_text("precious")
    names = set()
    for _ in range(2):
        with replaced(path, TEXT) as file:
            (name,) = (entry for entry in os.listdir(tmp_path) if is_partial(entry))
            names.add(name)
            file.write(b"x")
    assert len(names) == 2
    # Whoever knew the name would still have no link followed and no file opened.
    monkeypatch.setattr("secrets.token_hex", lambda _: "0" * 32)
    (tmp_path / f".{'0' * 32}.partial").symlink_to(victim)
    with pytest.raises(FileExistsError), replaced(path, TEXT) as file:
        file.write(b"new")
    assert victim.read_text() == "precious"
    assert path.read_text() == "x"


def test_names_of_half_written_files_are_ours_alone() -> None:
    ours = (
        ".0123456789abcdef0123456789abcdef.partial",
        ".codes.h5.123.partial",
        ".codes.h5.0123456789abcdef.partial",
    )
    assert all(map(is_partial, ours))
    assert not any(map(is_partial, ("notes.partial", ".notes.partial", ".my.video.partial")))
