"""Manifests are read by columns with the rows, and the messages, of a reader row by row."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rows_of_a_manifest import rows_of_text

from ivr.features.atomic_files import InTheWayError
from ivr.pipeline.datasets import spreadsheet
from ivr.pipeline.datasets.canonical_names import canonical_key, canonical_keys
from ivr.pipeline.datasets.manifest import (
    Manifest,
    ManifestError,
    ManifestRow,
    read_manifest,
    write_manifest,
)
from ivr.pipeline.datasets.table import SPACES

NAMES = (
    *("a.tif", "b/c.tif", "./b/c.tif", "b//c.tif", "../a.tif", "/a.tif", "b/../a.tif", "a..tif"),
    *("dir/.hidden", "b/", ".", "..", "a\\b", "a\x07b", "\u00fc/\u98de.tif", " a.tif ", "", "./."),
    *("a\u3000", "a\nb.tif", "a,b.tif", 'a"b.tif', "a\x85", "a;b.tif"),
)
LABELS = (
    *("pond", "Pond", "pond ", "a_pond", "a pond", "1", "1.0", "01", "\u200b", "Z\u00fcrich"),
    *("Zu\u0308rich", "", "x\ty", "two\nlines", "\u2013", "A-1", "a 1", "\uff11", "-1", "A--1"),
)
SPLITS = ("", "train", "Train", "val", "dev", "test", "later", " TEST", "validation ")
TEXTS = ("", "a pond", "a, b; c", 'said "so"', "two\nlines", "two\r\nlines", " ", "\x00", "\u2028")
HEADERS = ("image", "voice", "label", "split", "speaker", "caption", "group", "notes", "cloud, %")


def odd_table(rng: np.random.Generator) -> bytes:
    """Return a table with some of the oddities that people and programs produce."""
    chance = rng.choice([0.0, 0.0, 0.02, 0.2])
    columns = [name for name in HEADERS if name in HEADERS[:3] or rng.random() < 0.5]
    if rng.random() < 0.3:
        columns = [str(name) for name in rng.permutation(columns)]
    pools = {"image": NAMES, "voice": NAMES, "split": SPLITS, "caption": TEXTS, "notes": TEXTS}

    def cell(column: str, row: int) -> str:
        pool = pools.get(column, TEXTS if column == "cloud, %" else LABELS)
        if rng.random() < chance:
            return str(rng.choice(np.array(pool, object)))
        plain = {"image": f"i/{row}.tif", "voice": f"{row}.wav", "label": f"class {row % 2}"}
        return plain.get(column, "")

    rows = [[cell(column, row) for column in columns] for row in range(rng.integers(0, 9))]
    header = list(columns)
    if rng.random() < 0.1:
        header[0] = f" {header[0].upper()} "
    empty = int(rng.integers(1, 3)) if rng.random() < 0.2 else 0
    table = [line + [""] * empty for line in (header, *rows)]
    for line in table:
        if rng.random() < chance / 4:
            line.append(str(rng.choice(["", "lost"])))
        if rng.random() < chance / 8:
            line.pop()
    end = str(rng.choice(["\n", "\r\n", "\r"]))
    quoting = csv.QUOTE_ALL if rng.random() < 0.2 else csv.QUOTE_MINIMAL
    file = io.StringIO(newline="")
    delimiter = str(rng.choice([",", ",", ";", "\t", "|"]))
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    for line in table:
        writer.writerow(line)
        if rng.random() < chance:
            file.write(rng.choice([end, f"  {end}", delimiter * (len(table[0]) - 1) + end]))
    return with_damage(file.getvalue(), chance, rng).encode(
        str(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le"]))
    )


def with_damage(text: str, chance: float, rng: np.random.Generator) -> str:
    if rng.random() < 0.1:
        text = text.rstrip("\r\n")
    if rng.random() < 4 * chance and text:
        place = int(rng.integers(len(text)))
        text = text[:place] + str(rng.choice(['"', '""', ",", "\n", "\r"])) + text[place:]
    return f"sep={rng.choice([',', ';'])}\n{text}" if rng.random() < 0.03 else text


def read_rows(path: Path, *, accept: bool) -> tuple[ManifestRow, ...]:
    return read_manifest(path, accept_spellings=accept).rows


def outcome(read: Callable[[], tuple[ManifestRow, ...]]) -> tuple[ManifestRow, ...] | str:
    try:
        return read()
    except ManifestError as error:
        return str(error)


def test_odd_tables_give_the_rows_or_the_message_of_a_reader_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast: list[bool] = []
    plain = spreadsheet._plain_cells
    monkeypatch.setattr(
        spreadsheet,
        "_plain_cells",
        lambda *given: fast.append((cells := plain(*given)) is not None) or cells,
    )
    path, kinds = tmp_path / "m.csv", Counter[str]()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        path.write_bytes(odd_table(rng))
        text, accept = path.read_bytes().decode(spreadsheet._encoding(path.read_bytes())), seed % 2
        wanted = outcome(partial(rows_of_text, text, accept=bool(accept)))
        found = outcome(partial(read_rows, path, accept=bool(accept)))
        if isinstance(wanted, str):
            assert found == f"{path}: {wanted}", seed
        else:
            assert found == wanted, seed
        kinds["refused" if isinstance(wanted, str) else "read"] += 1
    # Both ways of reading were tried, with both outcomes.
    assert min(kinds["refused"], kinds["read"], sum(fast), len(fast) - sum(fast)) > 25


@pytest.mark.parametrize(
    "rows",
    [
        'a.tif,v.wav,"x',
        'a.tif,v.wav,"x""',
        'a.tif,v.wav,"x" ',
        '"a".tif,v.wav,x',
        'a"b.tif,v".wav,x',
        '"a""b.tif",v.wav,x',
        '"a.tif"",v.wav,x',
        '"","v.wav","x"\n\n"","",""',
        '"a\r\nb",v.wav,x',
        "a.tif\rv.wav,w.wav,x",
        "a.tif,v.wav,x\r\r\nb.tif,,y\r",
        "a.tif,v.wav,x\n \n,,\n/b.tif,,y",
        f"a.tif,v.wav,{'x' * 140_000}",
    ],
)
def test_odd_quotes_and_line_ends_are_read_as_row_by_row(tmp_path: Path, rows: str) -> None:
    path, text = tmp_path / "m.csv", f"image,voice,label\n{rows}"
    path.write_text(text, newline="")
    wanted = outcome(partial(rows_of_text, text, accept=False))
    found = outcome(partial(read_rows, path, accept=False))
    assert found == (f"{path}: {wanted}" if isinstance(wanted, str) else wanted)


def test_keys_of_many_names_are_those_of_each_name() -> None:
    rng = np.random.default_rng(0)
    letters = np.array([*"aAzZ019 _-.,+'\u00fc\u0308\u200b\u2013\u00a0\uff11\u0661\t"], object)
    names = ["".join(rng.choice(letters, rng.integers(0, 7))) for _ in range(5000)]
    keys = canonical_keys(pa.array(names)).to_pylist()
    assert keys == [canonical_key(name) for name in names]


def test_spaces_are_those_that_python_takes_away() -> None:
    assert "".join(filter(str.isspace, map(chr, range(0x110000)))) == SPACES


def parquet(path: Path, **columns: object) -> Path:
    given = {"image": ["a.tif", "b.tif"], "voice": ["1.wav", None], "label": ["x", "y"]}
    pq.write_table(pa.table({**given, **columns}), path)
    return path


def test_a_parquet_manifest_is_known_by_its_first_bytes_and_null_is_empty(tmp_path: Path) -> None:
    path = parquet(tmp_path / "manifest.csv", split=["Train", None], speaker=[None, None])
    assert read_manifest(path).rows == (
        ManifestRow("a.tif", "1.wav", "x", "train"),
        ManifestRow("b.tif", "", "y"),
    )


def test_further_columns_of_parquet_keep_their_types_and_are_text_in_rows(tmp_path: Path) -> None:
    time = pa.array([datetime(2026, 1, 2, tzinfo=UTC), None], pa.timestamp("ms", "UTC"))
    path = parquet(tmp_path / "m.parquet", cloud=[0.25, None], time=time, bands=[[1, 2], None])
    manifest = read_manifest(path)
    assert manifest.columns["cloud"].type == pa.float64()
    assert manifest.columns["time"].type == time.type
    assert manifest.rows[0].more == (
        ("cloud", "0.25"),
        ("time", "2026-01-02 00:00:00.000Z"),
        ("bands", "[1, 2]"),
    )
    assert {value for _, value in manifest.rows[1].more} == {""}
    images = manifest.image_rows()
    assert images["image"].to_pylist() == ["a.tif", "b.tif"]
    assert images["cloud"].to_pylist() == [0.25, None]


def test_labels_that_are_numbers_or_categories_are_text(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "m.parquet", label=[3, None], speaker=pa.array(["x", "y"], pa.binary())
    )
    assert [row.label for row in read_manifest(path).rows] == ["3", ""]
    path = parquet(tmp_path / "m.parquet", label=pa.array(["u", "u"]).dictionary_encode())
    assert [row.label for row in read_manifest(path).rows] == ["u", "u"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": [1.5, 2.5]}, "column label holds double, not text; write it as text"),
        ({"caption": pa.array([b"\xff", b""])}, "column caption is not text in UTF-8"),
        ({"image": ["a.tif", "../b.tif"]}, "row 2: '../b.tif' must be a path below the root"),
        ({"image": ["a.tif", ""]}, "row 2: neither an image nor a voice"),
        ({"label": ["pond", "Pond"]}, "several spellings of one name: label 'Pond'"),
        ({"": ["", "lost"]}, "row 2: column 4 holds a value and has no name"),
        ({"Label": ["", ""]}, "column label stands twice"),
    ],
)
def test_a_parquet_manifest_obeys_the_same_rules(
    tmp_path: Path, columns: dict[str, object], words: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(parquet(tmp_path / "m.parquet", **columns))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [4, 40, -20, -1])
def test_a_damaged_parquet_file_is_one_line(tmp_path: Path, cut: int) -> None:
    path = parquet(tmp_path / "m.parquet")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ManifestError, match="not a readable Parquet file") as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_of_a_parquet_file_never_end_in_a_traceback(tmp_path: Path) -> None:
    path, rng = parquet(tmp_path / "m.parquet", cloud=[0.5, 1.5]), np.random.default_rng(0)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(150):
        data = whole.copy()
        data[rng.integers(4, len(data))] ^= np.uint8(1 << rng.integers(8))
        path.write_bytes(data.tobytes())
        found = outcome(partial(read_rows, path, accept=False))
        assert not isinstance(found, str) or "\n" not in found


def test_a_name_that_ends_in_parquet_is_written_as_parquet(tmp_path: Path) -> None:
    source = read_manifest(parquet(tmp_path / "m.parquet", cloud=pa.array([7, None], pa.int16())))
    write_manifest(tmp_path / "copy.parquet", source)
    assert read_manifest(tmp_path / "copy.parquet") == source
    table = pq.read_table(tmp_path / "copy.parquet")
    assert table.column_names == ["image", "voice", "label", "cloud"]
    assert table["voice"].null_count == 1
    write_manifest(tmp_path / "copy.csv", source)
    assert read_manifest(tmp_path / "copy.csv").rows == source.rows


def test_what_is_no_parquet_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_text("image,voice,label\na.tif,,x\n")
    with pytest.raises(InTheWayError, match="holds something else than a Parquet file"):
        write_manifest(tmp_path / "m.parquet", Manifest((ManifestRow("a.tif", "", "x"),)))


def test_text_that_is_not_utf8_is_refused_in_any_column() -> None:
    with pytest.raises(ManifestError, match=r"row 2: caption .* is not in UTF-8"):
        Manifest((ManifestRow("a", "", "x"), ManifestRow("b", "", "x", caption="\udcff")))


def test_manifests_are_equal_if_their_columns_are() -> None:
    rows = (ManifestRow("a", "", "x"), ManifestRow("b", "", "x"))
    assert Manifest(rows) == Manifest(rows)
    assert Manifest(rows) != Manifest(rows[::-1])
    assert Manifest(rows) != rows


def test_rows_of_items_are_those_in_which_they_stand_first() -> None:
    rows = (
        ManifestRow("a", "1", "x", "train", "anna", "a pond", "", (("cloud", "3"),)),
        ManifestRow("a", "2", "x", "train", "ben", "a lake", "", (("cloud", "4"),)),
        ManifestRow("", "3", "y", "test", "ben", "", "g"),
        ManifestRow("b", "", "y"),
    )
    manifest = Manifest(rows)
    images, voices = manifest.image_rows(), manifest.voice_rows()
    assert images["image"].to_pylist() == manifest.image_names() == ["a", "b"]
    assert voices["voice"].to_pylist() == manifest.voice_names() == ["1", "2", "3"]
    assert images["cloud"].to_pylist() == ["3", ""]
    assert voices["cloud"].to_pylist() == ["3", "4", ""]
    assert voices["group"].to_pylist() == ["", "", "g"]
