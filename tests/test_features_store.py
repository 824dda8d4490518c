"""Feature files: what was written comes back, damage is seen, and a crafted file reads nothing."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from ivr.features import digest, store
from ivr.features.shards import Shards, assemble, rows_digest
from ivr.features.store import (
    StoreError,
    canonical_json,
    open_table,
    text_column,
    write_table,
    write_table_blocks,
)

NAMES = ("pond/1.png", "réservoir/2.png", "湖/3.png")
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


def columns(names: tuple[str, ...] = NAMES, vectors: np.ndarray = VECTORS) -> dict[str, np.ndarray]:
    return {"names": text_column(names), "vectors": vectors}


def written(folder: Path) -> Path:
    path = folder / "table.h5"
    write_table(path, "rows", {"size": 4}, columns())
    return path


def test_a_table_gives_back_what_was_written(tmp_path: Path) -> None:
    config = {"b": [1, 2.5, None], "a": "é"}
    write_table(tmp_path / "t.h5", "rows", config, columns())
    table = open_table(tmp_path / "t.h5", "rows")
    assert (table.kind, table.config, table.rows) == ("rows", config, 3)
    assert table.text("names") == NAMES
    np.testing.assert_array_equal(table.read("vectors"), VECTORS)
    np.testing.assert_array_equal(table.map("vectors")[[2, 0]], VECTORS[[2, 0]])
    table.verify()


def test_h5py_alone_reads_a_table(tmp_path: Path) -> None:
    with h5py.File(written(tmp_path)) as file:
        assert file["names"].asstr()[:].tolist() == list(NAMES)
        np.testing.assert_array_equal(file["vectors"][:], VECTORS)
        assert json.loads(file.attrs["config"]) == {"size": 4}
        assert file["vectors"].chunks is None
        assert file["vectors"].compression is None


def test_the_digest_is_that_of_the_docstring(tmp_path: Path) -> None:
    def of_chunks(*chunks: bytes) -> str:
        return hashlib.sha256(b"".join(hashlib.sha256(c).digest() for c in chunks)).hexdigest()

    parts = {
        "names": ["|S16", [3], of_chunks(text_column(NAMES).tobytes())],
        "vectors": ["<f4", [3, 4], of_chunks(VECTORS.tobytes())],
    }
    content = json.dumps(["rows", '{"size": 4}', parts], sort_keys=True)
    expected = hashlib.sha256(content.encode()).hexdigest()
    assert open_table(written(tmp_path), "rows").sha256 == expected


@pytest.mark.parametrize("cuts", [(), (1,), (2, 3, 7), (3, 6, 9), tuple(range(1, 10))])
def test_a_digest_does_not_depend_on_the_blocks_that_rows_came_in(
    tmp_path: Path, cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "CHUNK_BYTES", 3 * 4 * 4)  # three rows
    monkeypatch.setattr(store, "FLUSH_BYTES", 16)
    values = np.arange(40, dtype=np.float32).reshape(10, 4)
    shapes = {"vectors": (values.dtype, values.shape)}
    blocks = {"vectors": iter(np.split(values, cuts))}
    write_table_blocks(tmp_path / "t.h5", "rows", {}, shapes, blocks)
    table = open_table(tmp_path / "t.h5", "rows")
    np.testing.assert_array_equal(table.read("vectors"), values)
    table.verify()
    write_table(tmp_path / "whole.h5", "rows", {}, {"vectors": values})
    assert table.sha256 == open_table(tmp_path / "whole.h5", "rows").sha256
    chunks = [values[start : start + 3].tobytes() for start in (0, 3, 6, 9)]
    of_chunks = hashlib.sha256(b"".join(hashlib.sha256(c).digest() for c in chunks)).hexdigest()
    content = json.dumps(["rows", "{}", {"vectors": ["<f4", [10, 4], of_chunks]}], sort_keys=True)
    assert table.sha256 == hashlib.sha256(content.encode()).hexdigest()


def test_a_config_that_no_attribute_holds_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "t.h5", "rows", {"a": "x" * 59_990}, columns())
    assert len(open_table(tmp_path / "t.h5", "rows").config["a"]) == 59_990
    with pytest.raises(StoreError, match="its config has more than 60000 bytes"):
        write_table(tmp_path / "t.h5", "rows", {"a": "x" * 60_000}, columns())


def test_float16_columns_stay_float16(tmp_path: Path) -> None:
    write_table(tmp_path / "t.h5", "rows", {}, columns(vectors=VECTORS.astype(np.float16)))
    assert open_table(tmp_path / "t.h5", "rows").read("vectors").dtype == np.float16


def test_a_table_without_rows_can_be_read(tmp_path: Path) -> None:
    write_table(tmp_path / "t.h5", "rows", {}, columns((), VECTORS[:0]))
    table = open_table(tmp_path / "t.h5", "rows")
    assert table.rows == 0
    assert table.text("names") == ()
    assert table.map("vectors").shape == table.read("vectors").shape == (0, 4)
    table.verify()


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        write_table(tmp_path / name, "rows", {"a": 1}, columns())
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    shapes = {"vectors": (np.dtype(np.float32), (8, 4))}
    with pytest.raises(ValueError, match="column vectors got 3 rows of 8"):
        write_table_blocks(path, "rows", {}, shapes, {"vectors": iter([VECTORS])})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["table.h5"]


def test_blocks_make_the_bytes_of_the_whole(tmp_path: Path) -> None:
    write_table(tmp_path / "whole.h5", "rows", {}, {"vectors": VECTORS})
    shapes = {"vectors": (VECTORS.dtype, VECTORS.shape)}
    blocks = {"vectors": iter([VECTORS[:1], VECTORS[1:1], VECTORS[1:]])}
    write_table_blocks(tmp_path / "blocks.h5", "rows", {}, shapes, blocks)
    assert (tmp_path / "blocks.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_no_error_of_the_disk_is_swallowed_however_few_bytes_it_lacks(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    script = (
        "import resource, sys; from pathlib import Path; import numpy as np;"
        "from test_features_store import written;"
        "limit = int(sys.argv[2]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit));"
        "written(Path(sys.argv[1]))"
    )
    for lacking in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        command = [sys.executable, "-c", script, str(tmp_path), str(len(whole) - lacking)]
        result = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        assert ("OSError: [Errno 27]" in result.stderr) == bool(lacking), result.stderr
        assert (tmp_path / "table.h5").read_bytes() == whole
        assert os.listdir(tmp_path) == ["table.h5"]


def flip(path: Path, position: int, mask: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ mask]))


def test_any_flipped_byte_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    offset = open_table(path, "rows").columns["vectors"].offset
    inside = range(offset, offset + VECTORS.nbytes)
    found = set()
    for position in {*range(0, path.stat().st_size, 5), *inside}:
        flip(path, position, 0x40)
        try:
            table = open_table(path, "rows")
            table.verify()
            assert table.text("names") == NAMES
            np.testing.assert_array_equal(table.read("vectors"), VECTORS)
            assert table.config == {"size": 4}
        except StoreError:
            found.add(position)
        flip(path, position, 0x40)
    assert found.issuperset(inside)


def test_a_flipped_byte_of_a_vector_is_named_by_verify_alone(tmp_path: Path) -> None:
    path = written(tmp_path)
    flip(path, open_table(path, "rows").columns["vectors"].offset + 5, 1)
    table = open_table(path, "rows")
    with pytest.raises(StoreError, match=r"table\.h5: damaged, its content does not match"):
        table.verify()


def test_a_file_written_anew_is_not_read_at_the_old_places(tmp_path: Path) -> None:
    path = written(tmp_path)
    table = open_table(path, "rows")
    write_table(path, "rows", {"size": 4}, columns(vectors=VECTORS + 1))
    for read in (table.map, table.read):
        with pytest.raises(StoreError, match="was written anew while it was in use"):
            read("vectors")


def test_a_map_outlives_the_file_that_it_was_made_of(tmp_path: Path) -> None:
    path = written(tmp_path)
    vectors = open_table(path, "rows").map("vectors")
    write_table(path, "rows", {"size": 4}, columns(vectors=VECTORS + 1))
    np.testing.assert_array_equal(vectors, VECTORS)


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    table = open_table(written(tmp_path), "rows")
    with pytest.raises(StoreError, match="has no column frames"):
        table.read("frames")
    with pytest.raises(StoreError, match="column vectors is not text"):
        table.text("vectors")


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "t.h5", "rows", {}, {"names": np.array([b"\xff\xfe"])})
    with pytest.raises(StoreError, match="column names is not UTF-8"):
        open_table(tmp_path / "t.h5", "rows").text("names")


def secret(folder: Path) -> Path:
    path = folder / "secret.h5"
    with h5py.File(path, "w") as file:
        file["vectors"] = np.full((3, 4), 7, np.float32)
    return path


def external_link(file: h5py.File, folder: Path) -> None:
    file["vectors"] = h5py.ExternalLink(str(secret(folder)), "vectors")


def soft_link(file: h5py.File, folder: Path) -> None:
    file["vectors"] = h5py.SoftLink("/names")


def dangling_link(file: h5py.File, folder: Path) -> None:
    file["vectors"] = h5py.SoftLink("/nowhere")


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "raw").write_bytes(bytes(48))
    file.create_dataset("vectors", (3, 4), "f4", external=[(str(folder / "raw"), 0, 48)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource(str(secret(folder)), "vectors", (3, 4))
    file.create_virtual_dataset("vectors", layout)


def chunked(file: h5py.File, folder: Path) -> None:
    file.create_dataset("vectors", data=VECTORS, chunks=(1, 4))


def gzipped(file: h5py.File, folder: Path) -> None:
    file.create_dataset("vectors", data=VECTORS, compression="gzip")


def huge(file: h5py.File, folder: Path) -> None:
    file.create_dataset("vectors", (3, 2**45), "f4")


def unwritten(file: h5py.File, folder: Path) -> None:
    file.create_dataset("vectors", (3, 4), "f4")


def objects(file: h5py.File, folder: Path) -> None:
    file.create_dataset("vectors", (3,), h5py.ref_dtype)


def variable_text(file: h5py.File, folder: Path) -> None:
    file.create_dataset("vectors", data=["a", "b", "c"], dtype=h5py.string_dtype())


def compound(file: h5py.File, folder: Path) -> None:
    file["vectors"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def opaque(file: h5py.File, folder: Path) -> None:
    dtype = h5py.opaque_dtype(np.dtype("datetime64[s]"))
    file["vectors"] = np.zeros(3, "datetime64[s]").astype(dtype)


def clock_time(file: h5py.File, folder: Path) -> None:
    space = h5py.h5s.create_simple((3,))
    h5py.h5d.create(file.id, b"vectors", h5py.h5t.UNIX_D32LE, space)


def scalar(file: h5py.File, folder: Path) -> None:
    file["vectors"] = 1.5


def null(file: h5py.File, folder: Path) -> None:
    file["vectors"] = h5py.Empty("f4")


def group(file: h5py.File, folder: Path) -> None:
    file.create_group("vectors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_link, "vectors is a link; refused"),
        (soft_link, "vectors is a link; refused"),
        (dangling_link, "vectors is a link; refused"),
        (external_storage, "vectors is not stored plainly in this file; refused"),
        (virtual, "vectors is not stored plainly in this file; refused"),
        (chunked, "vectors is not stored plainly in this file; refused"),
        (gzipped, "vectors is not stored plainly in this file; refused"),
        (objects, "vectors is not stored plainly in this file; refused"),
        (variable_text, "vectors is not stored plainly in this file; refused"),
        (compound, "vectors is not stored plainly in this file; refused"),
        (opaque, "vectors is not stored plainly in this file; refused"),
        (huge, "vectors claims more bytes than the file has; refused"),
        (unwritten, "vectors claims more bytes than the file has; refused"),
        (scalar, "vectors has no rows; refused"),
        (null, "vectors has no rows; refused"),
        (group, "vectors is not a column; refused"),
        (clock_time, "not a readable HDF5 file of ivr; make it again"),
    ],
)
def test_a_crafted_column_is_refused(
    tmp_path: Path, change: Callable[[h5py.File, Path], None], words: str
) -> None:
    path = written(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["vectors"]
        change(file, tmp_path)
    with pytest.raises(StoreError, match=words):
        open_table(path, "rows")


def test_columns_of_different_length_are_refused(tmp_path: Path) -> None:
    with h5py.File(written(tmp_path), "r+") as file:
        file["frames"] = np.zeros(2, np.int32)
    with pytest.raises(StoreError, match="its columns differ in length"):
        open_table(tmp_path / "table.h5", "rows")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("kind", np.bytes_(b"\x1b[2J" * 99), r"holds '\\x1b.{0,80}, not 'rows'$"),
        ("kind", 3, "attribute kind is not plain text"),
        ("kind", "rows", "attribute kind is not plain text"),
        ("kind", np.array([b"rows", b"rows"]), "attribute kind is not plain text"),
        ("kind", np.bytes_(b"\xff"), "not a readable HDF5 file"),
        ("config", np.bytes_(b"{"), "its config is not JSON"),
        ("config", np.bytes_(b"[" * 9999), "its config is not JSON"),
        ("config", np.bytes_(b"[1]"), "its config is not a JSON object"),
        ("format", np.bytes_(b"1"), "written by another version of ivr"),
    ],
)
def test_a_crafted_attribute_is_refused(
    tmp_path: Path, name: str, value: object, words: str
) -> None:
    with h5py.File(written(tmp_path), "r+") as file:
        file.attrs[name] = value
    with pytest.raises(StoreError, match=words):
        open_table(tmp_path / "table.h5", "rows")


@pytest.mark.parametrize("name", ["kind", "config", "sha256", "format"])
def test_a_file_without_an_attribute_is_refused(tmp_path: Path, name: str) -> None:
    with h5py.File(written(tmp_path), "r+") as file:
        del file.attrs[name]
    with pytest.raises(StoreError, match="not a readable HDF5 file of ivr"):
        open_table(tmp_path / "table.h5", "rows")


def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path) -> None:
    good = written(tmp_path).read_bytes()
    contents = {"no.h5": b"", "text.h5": b"image,voice,label\n", "cut.h5": good[: len(good) // 2]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StoreError, match=f"{name}: not a readable HDF5 file of ivr"):
            open_table(tmp_path / name, "rows")
    with pytest.raises(StoreError, match=r"absent\.h5: no such file"):
        open_table(tmp_path / "absent.h5", "rows")
    with pytest.raises(StoreError, match="not a file"):
        open_table(tmp_path, "rows")
    with h5py.File(tmp_path / "bare.h5", "w"):
        pass
    with pytest.raises(StoreError, match="holds no columns"):
        open_table(tmp_path / "bare.h5", "rows")


def test_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"table\.h5: holds 'rows', not 'codes'"):
        open_table(written(tmp_path), "codes")


def test_a_shard_survives_and_is_named_by_its_digest(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", "rows")
    first, second = (shards.write({}, columns((name,), VECTORS[:1])) for name in NAMES[:2])
    assert first.name == f"000001-{hashlib.sha256(first.read_bytes()).hexdigest()}.h5"
    assert second.name.startswith("000002-")
    assert [table.text("names") for table in shards.tables()] == [NAMES[:1], NAMES[1:2]]
    assert len(os.listdir(tmp_path / "s")) == 2


def test_a_damaged_shard_is_not_used_and_its_number_not_given_again(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", "rows")
    first, second = (shards.write({}, columns((name,), VECTORS[:1])) for name in NAMES[:2])
    flip(second, second.stat().st_size - 1, 1)
    assert [table.path for table in shards.tables()] == [first]
    assert shards.write({}, columns()).name.startswith("000003-")


def test_files_that_are_no_shards_are_left_alone(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", "rows")
    shards.write({}, columns())
    (tmp_path / "s" / "7-notes.h5").write_text("mine")
    assert len(shards.tables()) == 1
    assert shards.write({}, columns()).name.startswith("000002-")
    (tmp_path / "s" / "7-notes.h5").unlink()
    for name in ("..9.shard.9.partial", f".{'9' * 32}.shard", f".{'9' * 32}.partial"):
        (tmp_path / "s" / name).write_text("what a killed writer leaves")
    shards.clear()
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_text_of_a_later_source_is_not_cut_to_the_width_of_the_first(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    labels = {"a.png": "sea", "b.png": "réservoir"}
    for name, label in labels.items():
        columns = {"names": text_column([name]), "labels": text_column([label])}
        write_table(tmp_path / f"{name}.h5", "rows", {}, columns)
    sources = [open_table(tmp_path / f"{name}.h5", "rows") for name in labels]
    taken = [sources[place] for place in order]
    assemble(tmp_path / "all.h5", "rows", {}, taken, ["a.png", "b.png"])
    table = open_table(tmp_path / "all.h5", "rows")
    assert table.text("labels") == ("sea", "réservoir")
    # As wide as the rows that are there need it, wherever they came from.
    assemble(tmp_path / "one.h5", "rows", {}, taken, ["a.png"])
    one = open_table(tmp_path / "one.h5", "rows")
    assert (one.text("labels"), one.columns["labels"].dtype) == (("sea",), np.dtype("S3"))
    assert rows_digest(table, ["a.png"]) == one.sha256


def test_columns_of_another_type_are_not_assembled(tmp_path: Path) -> None:
    half = VECTORS.astype(np.float16)
    for name, values in (("one", VECTORS), ("half", half), ("narrow", VECTORS[:, :2])):
        write_table(tmp_path / f"{name}.h5", "rows", {}, columns(vectors=values))
    write_table(tmp_path / "bare.h5", "rows", {}, {"names": text_column(NAMES)})
    first = open_table(tmp_path / "one.h5", "rows")
    for name in ("half", "narrow"):
        other = open_table(tmp_path / f"{name}.h5", "rows")
        with pytest.raises(StoreError, match=f"{name}.h5: column vectors has another type or sh"):
            assemble(tmp_path / "all.h5", "rows", {}, [first, other], NAMES)
    with pytest.raises(StoreError, match=r"one\.h5: not all files to join have a column vectors"):
        bare = open_table(tmp_path / "bare.h5", "rows")
        assemble(tmp_path / "all.h5", "rows", {}, [first, bare], NAMES)


def test_no_folder_means_no_shards(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", "rows")
    assert shards.tables() == []
    shards.clear()


@pytest.mark.parametrize("cuts", [(0, 5000), (0, 1, 2, 1500, 1501, 5000), (0, 1024, 2048, 5000)])
def test_an_assembled_file_does_not_tell_how_its_rows_were_spread(
    tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"{number}.wav" for number in range(5000))
    vectors = rng.normal(0, 1, (5000, 3)).astype(np.float32)
    frames = np.arange(5000, dtype=np.int32)
    everything = {"names": text_column(names), "frames": frames, "vectors": vectors}
    write_table(tmp_path / "whole.h5", "rows", {"a": 1}, everything)
    order = rng.permutation(5000)
    shards = Shards(tmp_path / "s", "rows")
    for start, end in pairwise(cuts):
        rows = order[start:end]
        part = {"names": text_column(names[row] for row in rows)}
        shards.write({"a": 1}, part | {"vectors": vectors[rows], "frames": frames[rows]})
    count = assemble(tmp_path / "made.h5", "rows", {"a": 1}, shards.tables(), names)
    assert count == 5000
    assert (tmp_path / "made.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_assembly_takes_each_name_once_and_the_last_source_of_it(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "s", "rows")
    shards.write({}, columns(("a", "b"), VECTORS[:2]))
    shards.write({}, columns(("b",), VECTORS[2:]))
    count = assemble(tmp_path / "t.h5", "rows", {}, shards.tables(), ["b", "absent", "a", "b"])
    table = open_table(tmp_path / "t.h5", "rows")
    assert count == 2
    assert table.text("names") == ("b", "a")
    np.testing.assert_array_equal(table.read("vectors"), VECTORS[[2, 0]])


def test_configs_are_equal_exactly_when_their_json_is() -> None:
    assert (
        canonical_json({"b": 1, "a": "é"})
        == canonical_json({"a": "é", "b": 1})
        == ('{"a": "é", "b": 1}')
    )
    assert canonical_json({"a": 1}) != canonical_json({"a": 1.5})


TORTURE = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from ivr.features.shards import Shards
from ivr.features.store import open_table, text_column, write_table

folder, rng, found = Path(sys.argv[1]), np.random.default_rng(0), 0

def write(number):
    vectors = np.full((50, 400), number, np.float32)
    columns = {"names": text_column(map(str, range(50))), "vectors": vectors}
    Shards(folder / "s", "rows").write({}, columns)
    write_table(folder / "t.h5", "rows", {}, columns)

began = time.monotonic()
write(0)
usual = time.monotonic() - began
for kill in range(12):
    child = os.fork()
    while not child:
        write(kill)
    time.sleep(rng.uniform(0, 4 * usual))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    tables = Shards(folder / "s", "rows").tables()
    assert len(tables) >= found
    found = len(tables)
    for table in [*tables[-3:], open_table(folder / "t.h5", "rows")]:
        table.verify()
        assert np.ptp(table.read("vectors")) == 0
print(found)
"""


def test_a_writer_killed_at_any_moment_leaves_files_that_verify(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TORTURE, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 6


def test_more_shards_than_files_may_be_open_are_assembled(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from ivr.features.shards import Shards, assemble
from ivr.features.store import open_table, text_column
folder = Path(sys.argv[1])
shards = Shards(folder / "shards", "rows")
for number in range(150):
    names = text_column([f"{number:03d}"])
    shards.write({}, {"names": names, "vectors": np.full((1, 2), number, np.float32)})
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
order = [f"{number:03d}" for number in np.random.default_rng(0).permutation(150)]
assert assemble(folder / "whole.h5", "rows", {}, shards.tables(), order) == 150
vectors = open_table(folder / "whole.h5", "rows").read("vectors")
assert vectors[:, 0].tolist() == [float(name) for name in order]
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


def test_no_byte_of_a_table_can_change_unnoticed(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    unnoticed = []
    for place in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            open_table(path, "rows").verify()
        except StoreError:
            continue
        unnoticed.append(place)
    assert not unnoticed
