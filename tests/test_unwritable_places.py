"""Places that cannot be written are named before the work, and full disks by what was written."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from archive_rows import empty_archive, item_rows
from conftest import assert_one_line, ivr
from fake_code_maker import FakeCodeMaker, use
from PIL import Image
from tiny_world import World

from ivr.features.atomic_files import TEXT, UnwritableError, replaced, require_writable
from ivr.pipeline.archive.lance_library import lance_errors
from ivr.pipeline.runtime.lock import only_writer


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, below which nothing can be written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file")
    return tmp_path / "file"


CALLS = [
    ("report", "run", "--out", "file/page.html"),
    ("pack", "run", "--out", "file/model"),
    ("evaluate", "run", "--pictures", "png", "--out", "file/results"),
    ("encode", "run", "--out", "file/codes.h5"),
    ("compare", "features", "--out", "file/comparison"),
    ("probe", "features", "--out", "file/probe"),
    ("doctor", "--out", "file/doctor"),
    ("archive", "create", "file/tiles", "--model", "run"),
    ("locate", "scene.tif", "--image", "scene.tif", "--model", "run", "--out", "file/heat.tif"),
    ("export", "run", "--to", "npy", "--out", "file/codes"),
    ("prepare", "folders", "--images", "run", "--out", "file/manifest.csv"),
]
WORK = (
    "evaluation.evaluate._evaluated", "report.report._draft", "packing.pack._source",
    "comparison.compare.run_grid", "evaluation.probe._classified", "doctor.doctor.machine_checks",
    "archive.create.open_model", "archive.locate._model", "archive.export.write_npy",
    "datasets.prepare.read_layout", "runs.encode.load_model",
)  # fmt: skip
"""The long work of each command."""


@pytest.mark.parametrize("words", CALLS, ids=lambda words: " ".join(words[:2]))
def test_an_output_that_cannot_be_written_is_named_before_the_work(
    words: tuple[str, ...], file: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("run").symlink_to(world.run)
    Path("features").symlink_to(world.features)
    Path("scene.tif").touch()

    def worked(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    for name in WORK:
        monkeypatch.setattr(f"ivr.pipeline.{name}", worked)
    assert_one_line(ivr(*words), "file")


def test_a_folder_on_a_disk_that_is_only_read_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_read(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "partial")

    require_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "open", only_read)
    with pytest.raises(UnwritableError, match=r"b: nothing can be written there \(Read-only file"):
        require_writable(tmp_path / "a" / "b")


def test_a_file_that_cannot_be_written_whole_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, replaced(tmp_path / "a", TEXT):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a")


def test_a_lock_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space") as caught, only_writer(tmp_path):
        pass
    assert caught.value.filename == str(tmp_path / ".lock")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "tiles: full; nothing that was finished is lost: free some room"),
     (errno.EROFS, "tiles: Read-only file system; name a place that can be written")],
)  # fmt: skip
def test_an_archive_that_cannot_be_written_is_named_with_what_to_do(
    number: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty_archive(tmp_path / "tiles").append(item_rows(["a.png"], [[0, 0]]))

    def refused(*_: object) -> None:
        with lance_errors("tiles"):
            raise RuntimeError(
                f"lance error: LanceError(IO): {os.strerror(number)} (os error {number})"
            )

    monkeypatch.setattr("ivr.pipeline.archive.archive.retried", refused)
    assert_one_line(ivr("archive", "remove", "tiles", "a.png"), words)


def test_of_a_copy_the_place_that_is_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system names the source first, for example in ``shutil.copyfile``."""
    use(monkeypatch, FakeCodeMaker("made up"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").touch()

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    result = ivr("archive", "create", tmp_path / "tiles", "--model", tmp_path / "model")
    assert_one_line(result, f"{tmp_path}/tiles/model/model.json: full; nothing that was finished")


ONLY_READ = """
import subprocess, sys
subprocess.run(["mount", "--bind", sys.argv[1], sys.argv[1]], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", sys.argv[1]], check=True)
sys.path.insert(0, sys.argv[2])
import pytest
from conftest import ivr
from fake_code_maker import FakeCodeMaker, use
use(pytest.MonkeyPatch(), FakeCodeMaker("made up"))
result = ivr("archive", "add", sys.argv[1], sys.argv[3])
print(result.exit_code, result.stderr)
"""


def test_an_archive_on_a_disk_that_is_only_read_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "tiles" / "model").mkdir(parents=True)
    empty_archive(tmp_path / "tiles")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    alone = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", ONLY_READ]
    where = [str(tmp_path / "tiles"), str(Path(__file__).parent), str(tmp_path / "images")]
    try:
        result = subprocess.run([*alone, *where], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no name space of its own can be made here ({error})")
    if "mount" in result.stderr and result.returncode:
        pytest.skip(f"nothing can be mounted here ({result.stderr.splitlines()[-1]})")
    assert "1 Error: " in result.stdout, result
    assert "tiles: nothing can be written there (Read-only file system)" in result.stdout
    assert "images: 1 of 1" not in result.stdout
