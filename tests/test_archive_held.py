"""Codes in memory: a later version takes over what has not changed, and answers as if read anew."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from archive_rows import SETTINGS, empty_archive, item_rows

from ivr.pipeline.archive import archive as archive_module
from ivr.pipeline.archive import held_codes
from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.create import make_table
from ivr.pipeline.archive.held_codes import HeldCodes
from ivr.pipeline.archive.item_columns import MODALITIES
from ivr.pipeline.archive.lance_library import ArchiveError

BLOCK = 8


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_codes, "BLOCK", BLOCK)


def rows(start: int, many: int, modality: str = "image") -> pa.Table:
    rng = np.random.default_rng(start)
    names = [f"{number:03d}" for number in range(start, start + many)]
    return item_rows(names, rng.integers(0, 4, (many, 2)).tolist(), modality)


def held_archive(place: Path) -> Archive:
    archive = empty_archive(place)
    for start in (0, 20):
        archive.append(rows(start, 20))
    archive.append(rows(100, 5, "voice"))
    archive.hold()
    return archive


def answers(archive: Archive) -> list[Any]:
    """Everything that a search may say, for several queries and numbers of hits."""
    found = []
    for modality in MODALITIES:
        codes, row_ids = archive.codes(modality)
        found.append((len(archive.held(modality)), codes.tolist(), row_ids.tolist()))
        for count in (1, 3, 100):
            nearest = archive.search(np.array([1, 2], np.uint8), modality=modality, count=count)
            found.append((nearest.row_ids.tolist(), nearest.distances.tolist(), nearest.confidence))
    return found


def add(archive: Archive) -> None:
    archive.append(rows(50, 3))


def remove(archive: Archive) -> None:
    archive.remove("name IN ('003', '019', '020', '102')")


def remove_all(archive: Archive) -> None:
    archive.remove("modality = 'image'")


def replace_codes(archive: Archive) -> None:
    archive.write(item_rows(["001", "022"], [[1, 2], [255, 255]]))


def relabel(archive: Archive) -> None:
    archive.update(item_rows(["001"], [[0, 0]], label=["pond"]).drop_columns(["code"]))


def compact(archive: Archive) -> None:
    archive.table.checkout_latest()
    archive.table.optimize()


def all_of_it(archive: Archive) -> None:
    for change in (add, remove, replace_codes, relabel, compact, remove):
        change(archive)


CHANGES = (add, remove, remove_all, replace_codes, relabel, compact, all_of_it)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_later_version_answers_as_if_it_were_read_anew(change: Any, tmp_path: Path) -> None:
    archive = held_archive(tmp_path / "tiles")
    before = answers(archive)
    change(open_archive(tmp_path / "tiles"))
    later = archive.newer()
    assert later is not None
    expected = answers(open_archive(tmp_path / "tiles"))
    assert answers(later) == expected
    assert answers(archive) == before
    later.tidy()
    assert answers(later) == expected
    assert later.newer() is None


def test_a_later_version_copies_no_code_that_has_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = held_archive(tmp_path / "tiles")
    writer = open_archive(tmp_path / "tiles")
    add(writer)
    remove(writer)
    read: list[int] = []
    batches = Archive.batches

    def counted(self: Archive, columns: Any = None, *given: Any, **more: Any) -> Iterator[Any]:
        for batch in batches(self, columns, *given, **more):
            if "code" in (columns or ()):
                read.append(len(batch))
            yield batch

    monkeypatch.setattr(archive_module.Archive, "batches", counted)
    later = archive.newer()
    assert later is not None
    assert sum(read) == 3
    new = [block.codes for block in later.held("image").blocks]
    for block in archive.held("image").blocks:
        assert any(codes is block.codes for codes in new)


def test_blocks_are_few_after_many_small_additions_and_after_removals() -> None:
    held = HeldCodes((), 2)
    for number in range(3 * BLOCK):
        held = held.with_rows(np.full((1, 2), number, np.uint8), np.array([number], np.uint64))
        while (tidier := held.tidier()) is not None:
            held = tidier
    assert [len(block) for block in held.blocks] == [BLOCK] * 3
    held = held.without(np.arange(0, 3 * BLOCK, 2, dtype=np.uint64))
    assert held.nearest(np.zeros(2, np.uint8), 2)[0].tolist() == [1, 3]
    while (tidier := held.tidier()) is not None:
        held = tidier
    assert [len(block) for block in held.blocks] == [BLOCK, BLOCK // 2]
    assert all(block.left is None for block in held.blocks)
    assert held.arrays()[1].tolist() == list(range(1, 3 * BLOCK, 2))


def test_an_archive_that_is_made_anew_at_its_place_is_noticed(tmp_path: Path) -> None:
    for made, codes in (("first", [[0, 0]]), ("second", [[3, 3]])):
        make_table(str(tmp_path / made), replace(SETTINGS, made=made))
        open_archive(tmp_path / made).append(item_rows(["a"], codes))
    (tmp_path / "first").rename(tmp_path / "tiles")
    archive = open_archive(tmp_path / "tiles")
    archive.hold()
    (tmp_path / "tiles").rename(tmp_path / "old")
    (tmp_path / "second").rename(tmp_path / "tiles")
    later = archive.newer()
    assert later is not None
    assert later.version == archive.version
    assert later.codes("image")[0].tolist() == [[3, 3]]

    (tmp_path / "tiles").rename(tmp_path / "older")
    make_table(str(tmp_path / "tiles"), replace(SETTINGS, identity="another"))
    with pytest.raises(ArchiveError, match="has codes of another model now"):
        later.newer()


def test_lancedb_is_imported_whole_if_it_does_not_do_without_its_client() -> None:
    script = (
        "from ivr.pipeline.archive import lance_library as library\n"
        "def refuse(self, module): raise ImportError(module)\n"
        "library._Without.exec_module = refuse\n"
        "print(library.lancedb().__name__)"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (found.returncode, found.stdout) == (0, "lancedb\n"), found.stderr
