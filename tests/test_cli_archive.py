import errno
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_rows import empty_archive, item_rows
from click.testing import Result
from conftest import assert_one_line, ivr, succeeded
from fake_code_maker import FakeCodeMaker, use
from tiny_world import World, tiny_blueprint

from ivr.features import encoders

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "archive.md"


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of the operator's day, with the run of a tiny encoder."""
    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(world.run)
    shutil.copytree(world.media, "monday")
    shutil.copytree(world.media, "tuesday")
    shutil.copy("monday/pond_0.wav", "question.wav")
    shutil.copy("monday/pond_0.png", "scene.png")
    manifest = Path("monday/manifest.csv")
    head, *lines = manifest.read_text().splitlines()
    rows = [f"{line},{number / 10}" for number, line in enumerate(lines)]
    manifest.write_text("\n".join([f"{head},clouds", *rows, ""]))
    return tmp_path


def documented() -> list[list[str]]:
    """The commands of the operator's day, in their order."""
    section = PAGE.read_text(encoding="utf-8").split("## An operator's day")[1]
    lines = section.split("```console\n")[1].split("```")[0].splitlines()
    return [shlex.split(line.removeprefix("$ ivr ")) for line in lines]


def test_the_operators_day_that_the_docs_show(place: Path) -> None:
    said: dict[str, Result] = {}
    for words in documented():
        said[" ".join(words[:2] if words[0] == "archive" else words[-1:])] = succeeded(ivr(*words))

    def line(command: str) -> str:
        return said[command].stdout.splitlines()[-1]

    # 12 images and 12 voices on Monday; the same 12 images under other names on Tuesday.
    assert "12 rows added, 0 replaced, 0 unchanged" in line("archive add")
    assert len(said["3"].stdout.splitlines()) == 4
    answer = json.loads(said["--json"].stdout)
    assert {hit["label"] for hit in answer["hits"]} == {"forest"}
    assert all(hit["columns"]["clouds"] < 0.5 for hit in answer["hits"])
    first = said["images"].stdout.splitlines()[0]
    assert re.match(r" +1 +0 bits +(tuesday/)?\w+_\d\.png", first)
    assert "8 rows removed" in line("archive remove")
    assert "0 rows updated, 16 unchanged, 8 not in the archive" in line("archive update")
    assert line("archive verify").endswith(": 0 faults")
    assert "20 images, 8 voices" in said["archive info"].stdout


def test_adding_again_after_a_removal_brings_the_items_back(place: Path) -> None:
    succeeded(ivr("archive", "create", "tiles", "--model", "run"))
    succeeded(ivr("archive", "add", "tiles", "tuesday"))
    removed = ivr("archive", "remove", "tiles", "pond_0.png", "pond_1.png", "no.png")
    assert removed.exit_code == 3
    first, last = removed.stdout.splitlines()
    assert first == "not in the archive: no.png"
    assert last.endswith("2 rows removed, 1 name not there")
    assert (
        "2 rows added, 0 replaced, 10 unchanged" in ivr("archive", "add", "tiles", "tuesday").stdout
    )
    info = json.loads(succeeded(ivr("archive", "info", "tiles", "--json")).stdout)
    assert (info["images"], info["voices"], info["bits"]) == (12, 0, 8)


def test_a_skipped_file_is_exit_status_3_and_a_time_limit_75(place: Path) -> None:
    Path("tuesday/bad.png").write_bytes(b"not a picture")
    succeeded(ivr("archive", "create", "tiles", "--model", "run"))
    stopped = ivr("archive", "add", "tiles", "tuesday", "--time-limit", "0.000001")
    assert stopped.exit_code == 75
    assert "call again to go on" in stopped.stderr
    result = ivr("archive", "add", "tiles", "tuesday")
    assert result.exit_code == 3
    assert "skipped bad.png: not a JPEG" in result.stderr


def test_verify_names_what_is_wrong_with_files_codes_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    use(monkeypatch)
    folder = tmp_path / "tiles"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    archive = tmp_path / "archive"
    succeeded(ivr("archive", "create", archive, "--model", tmp_path))
    succeeded(ivr("archive", "add", archive, folder))
    from ivr.pipeline.archive.archive import open_archive

    held = open_archive(archive)
    wrong = held.rows(held.codes("image")[1][:1])
    code = item_rows(["x"], [[255, 255]])["code"]
    held.write(wrong.set_column(wrong.column_names.index("code"), "code", code))
    Image.new("RGB", (8, 8), (99, 0, 0)).save(folder / "1.png")
    (folder / "2.png").unlink()
    held.append(item_rows(["3.png"], [[3, 0]]))
    result = ivr("archive", "verify", archive, "--files")
    assert result.exit_code == 3
    text = result.stdout
    assert "0.png: 16 bits of its code are not its model's" in text
    assert "1.png: has another content than when it was added" in text
    assert f"2.png: cannot be read below {folder}" in text
    assert "image 3.png: 2 rows; ivr archive compact removes all but the last" in text
    assert "1 repeated row removed" in succeeded(ivr("archive", "compact", archive)).stdout


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (("ad", "x", "y"), "did you mean add", 2),
        (("info", "nowhere"), "no archive (no such folder); make one with ivr archive create", 1),
        (("remove", "made"), "remove takes names (or a list of them) or a condition", 2),
        (
            ("remove", "made", "--where", "bogus = 1"),
            "'bogus = 1' cannot be used: there is",
            2,
        ),
        (("remove", "made", "--list", "nowhere"), "not a list of names in UTF-8 (no such file)", 1),
        (("index", "made"), "an index is of use from 1000 rows on", 1),
        (("verify", "made"), "its model is not here", 1),
    ],
)
def test_a_wrong_call_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    empty_archive(tmp_path / "made").append(item_rows(["a.png"], [[0, 0]]))
    assert_one_line(ivr("archive", *words), message, status)


def test_create_refuses_a_folder_that_holds_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeCodeMaker("made up"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    result = ivr("archive", "create", tmp_path / "full", "--model", tmp_path)
    assert_one_line(result, "holds letter.txt; name a new folder")
    succeeded(ivr("archive", "create", tmp_path / "new", "--model", tmp_path))
    result = ivr("archive", "create", tmp_path / "new", "--model", tmp_path)
    assert_one_line(result, "holds an archive already; add to it with ivr archive add")


def test_create_copies_the_files_of_a_model_and_names_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeCodeMaker("made up"))
    (tmp_path / "model" / ".packing").mkdir(parents=True)
    for name in ("model.json", "voice.onnx", ".lock"):
        (tmp_path / "model" / name).write_text(name)
    succeeded(ivr("archive", "create", tmp_path / "tiles", "--model", tmp_path / "model"))
    copied = {path.name for path in (tmp_path / "tiles" / "model").iterdir()}
    assert copied == {"model.json", "voice.onnx"}

    def full(_: Path, target: Path, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    result = ivr("archive", "create", tmp_path / "other", "--model", tmp_path / "model")
    assert_one_line(result, "other/model/model.json: full")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket on an object store in this process."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1",
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    client.create_bucket(Bucket="archives")
    yield "s3://archives"
    server.stop()


def test_an_archive_on_an_object_store_is_added_to_searched_and_compacted(
    place: Path, bucket: str
) -> None:
    address = f"{bucket}/tiles"
    assert_one_line(ivr("archive", "info", address), "no archive; make one with")
    succeeded(ivr("archive", "create", address, "--model", "run"))
    assert (
        "24 rows added" in succeeded(ivr("archive", "add", address, "monday/manifest.csv")).stdout
    )
    assert "24 unchanged" in succeeded(ivr("archive", "add", address, "monday/manifest.csv")).stdout
    found = succeeded(ivr("search", address, "--image", "scene.png", "--find", "images", "--json"))
    assert json.loads(found.stdout)["hits"][0]["distance"] == 0
    assert "8 rows removed" in succeeded(
        ivr("archive", "remove", address, "--where", "label = 'river'")
    ).stdout  # fmt: skip
    succeeded(ivr("archive", "compact", address))
    assert succeeded(ivr("archive", "verify", address)).stdout.endswith(": 0 faults\n")
