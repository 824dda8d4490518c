import subprocess
import sys
from pathlib import Path

import pytest
from archive_rows import empty_archive

import ivr
from ivr.pipeline.archive.archive import open_archive

WRITER = Path(__file__).parent / "archive_writer.py"
ROWS = 3


def killed_after(lines: int, place: Path, first: int) -> list[str]:
    """Start a writer, kill it after it reported ``lines`` lines; return all that it reported."""
    writer = subprocess.Popen(
        [sys.executable, str(WRITER), str(place), str(first)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline().strip() for _ in range(lines)]
    writer.kill()
    rest = [line.strip() for line in writer.stdout.read().splitlines()]
    writer.wait()
    return [*said, *rest]


@pytest.mark.parametrize("lines", [2, 7])
def test_a_killed_writer_leaves_a_whole_version_with_all_rows_that_it_reported(
    tmp_path: Path, lines: int
) -> None:
    archive = empty_archive(tmp_path / "archive")
    reader = open_archive(archive.place)
    said = killed_after(lines, tmp_path / "archive", 0)
    assert reader.count() == 0
    rows = {
        row["name"]: row["code"]
        for batch in open_archive(archive.place).batches(["name", "code"])
        for row in batch.to_pylist()
    }
    assert len(rows) % ROWS == 0
    for line in said:
        word, _, block = line.partition(" ")
        for row in range(ROWS) if block else ():
            code = rows[f"{block}_{row}.tif"]
            assert code[0] == int(block)
            assert word != "replaced" or code[1] == 1
    second = killed_after(2, tmp_path / "archive", 100)
    assert second[:2] == ["ready", "added 100"]
    assert ivr.archive_compact(archive.place).repeated == 0
