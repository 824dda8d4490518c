"""The loader of JSON and YAML: regular files of a limited size, values of the type asked for."""

import os
from pathlib import Path
from typing import Any

import pytest

from ivr.features import regular_files
from ivr.features.media import MediaError, read_bytes
from ivr.features.regular_files import UnreadableFileError
from ivr.features.store import StoreError, open_table
from ivr.pipeline.runs.run_folder import RunError, read_config
from ivr.pipeline.runtime.json_files import ContentError, load_json, load_json_lines, load_yaml

DEEP = 100_000
HOSTILE = {
    "nothing": b"",
    "half": b'{"a": ',
    "deep": b"[" * DEEP + b"]" * DEEP,
    "just too deep": b'{"a":' * 60 + b"1" + b"}" * 60,
    "long number": b'{"a": ' + b"9" * 5000 + b"}",
    "not UTF-8": b'{"a": "\xff"}',
    "half a character": b'{"a": "\\ud800"}'.replace(b"}", b""),
    "a list": b"[1, 2]",
    "a number": b"7",
    "another type": b'{"a": {"b": 1}}',
    "null": b"null",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_crafted_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ContentError) as info:
        load_json(tmp_path / "a.json", dict[str, str])
    assert "\n" not in str(info.value)


def test_values_of_the_type_asked_for_are_returned(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"é": "b"}\n', encoding="utf-8")
    assert load_json(tmp_path / "a", dict[str, str]) == {"é": "b"}
    assert load_json_lines(tmp_path / "a", dict[str, str]) == [{"é": "b"}]
    (tmp_path / "a").write_text("epochs: 3\nset:\n  lr: 0.1\n")
    assert load_yaml(tmp_path / "a", dict[str, Any]) == {"epochs": 3, "set": {"lr": 0.1}}
    (tmp_path / "a").write_text("")
    assert load_yaml(tmp_path / "a", dict[str, Any]) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"a: [" * 20_000,
        b"a: &x [1, 1]\nb: &y [*x, *x]\nc: [*y, *y]\n",
        b"? {a: 1}\n: 2\n",
        b"!!python/object/apply:os.system [ls]\n",
        b"a: 2026-99-99\n",
        b"\x00",
        b"- 1\n",
        b"a: 1\nb: {c: 1, c: 2}\n",
    ],
)
def test_crafted_yaml_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ContentError) as info:
        load_yaml(tmp_path / "a.yaml", dict[str, Any])
    assert "\n" not in str(info.value)


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"a": "b"}')
    with pytest.raises(UnreadableFileError, match="10 bytes, more than the 9 that are read"):
        load_json(tmp_path / "a", dict[str, str], most=9)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "nothing"])
def test_only_regular_files_are_read_and_a_pipe_is_not_waited_for(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "config.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    words = "no such file" if kind == "nothing" else "not a file"
    with pytest.raises(UnreadableFileError, match=f"^{words}$"):
        load_json(path, dict[str, str])
    with pytest.raises(MediaError, match=f"^{words}$"):
        read_bytes(path)
    with pytest.raises(StoreError, match=f"config.json: {words}$"):
        open_table(path, "codes")


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(regular_files.os, "open", refuse)
    for read in (read_config, lambda folder: open_table(folder / "config.json", "codes")):
        with pytest.raises((RunError, StoreError), match="may not be read by this user") as info:
            read(tmp_path)
        assert "damaged" not in str(info.value)
        assert "again" not in str(info.value)
