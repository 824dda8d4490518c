"""Tables as spreadsheets save them are read as they were meant, or refused in one line."""

from pathlib import Path

import pytest

from ivr.pipeline.datasets.manifest import ManifestError, ManifestRow, read_manifest

HEADER = ("image", "voice", "label", "split", "caption")
ROWS = (
    ("a, b.tif", "1.wav", "Zürich", "train", "two\nlines; and, more"),
    ("c.tif", "2.wav", "pond", "test", 'a "wide" pond'),
)
WANTED = tuple(ManifestRow(*row[:4], caption=row[4]) for row in ROWS)


def sheet(delimiter: str = ",", end: str = "\r\n", extra: int = 0) -> str:
    """The rows with every cell quoted, and ``extra`` empty columns."""
    quoted = [
        delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) + delimiter * extra
        for row in (HEADER, *ROWS)
    ]
    return "".join(line + end for line in quoted)


def rows_of(folder: Path, data: bytes) -> tuple[ManifestRow, ...]:
    (folder / "table.csv").write_bytes(data)
    return read_manifest(folder / "table.csv").rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_delimiter_encoding_and_line_end_gives_the_same_rows(
    tmp_path: Path, encoding: str, delimiter: str, end: str
) -> None:
    assert rows_of(tmp_path, sheet(delimiter, end).encode(encoding)) == WANTED


def test_utf_16_of_the_other_byte_order_is_read_by_its_mark(tmp_path: Path) -> None:
    assert rows_of(tmp_path, b"\xfe\xff" + sheet("\t").encode("utf-16-be")) == WANTED


@pytest.mark.parametrize("extra", [1, 3])
def test_empty_columns_at_the_end_are_no_columns(tmp_path: Path, extra: int) -> None:
    assert rows_of(tmp_path, sheet(extra=extra).encode()) == WANTED


def test_an_empty_column_in_the_middle_is_left_out(tmp_path: Path) -> None:
    text = "image,,voice,label\na.tif,,v.wav,x\n"
    assert rows_of(tmp_path, text.encode()) == (ManifestRow("a.tif", "v.wav", "x"),)


def test_a_value_in_a_column_without_a_name_is_refused_with_its_place(tmp_path: Path) -> None:
    text = "image,,voice,label\na.tif,,v.wav,x\nb.tif,lost,w.wav,x\n"
    with pytest.raises(ManifestError, match="line 3: column 2 holds a value and has no name"):
        rows_of(tmp_path, text.encode())


def test_a_value_beyond_the_last_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"line 2: not as many .*'lost' is in none"):
        rows_of(tmp_path, b"image,voice,label,,\na.tif,v.wav,x,,lost\n")


def test_rows_of_empty_cells_are_left_out(tmp_path: Path) -> None:
    text = "image;voice;label\n;;\na.tif;v.wav;x\n ;;\n"
    assert rows_of(tmp_path, text.encode()) == (ManifestRow("a.tif", "v.wav", "x"),)


def test_the_line_with_the_delimiter_that_excel_writes_is_read(tmp_path: Path) -> None:
    text = "sep=;\r\n" + sheet(";")
    assert rows_of(tmp_path, text.encode()) == WANTED


def test_lines_are_counted_from_the_first_one_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"line 3: '/abs\.tif' must be a path"):
        rows_of(tmp_path, b"sep=;\nimage;voice;label\n/abs.tif;v.wav;x\n")


def test_the_case_of_column_names_does_not_count(tmp_path: Path) -> None:
    text = "Image, VOICE ,Label\na.tif,v.wav,x\n"
    assert rows_of(tmp_path, text.encode()) == (ManifestRow("a.tif", "v.wav", "x"),)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (sheet(";").encode("cp1252"), "line 2 is not in UTF-8 .'Zürich', .*CSV UTF-8.*iconv"),
        (b"PK\x03\x04" + bytes(60), "an Excel or other workbook.*save it as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0" + bytes(60), "an Excel workbook.*save it as 'CSV UTF-8'"),
        (sheet().encode("utf-16")[:-1], "not readable as UTF-16.*save it as 'CSV UTF-8'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_that_says_what_to_do(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with pytest.raises(ManifestError, match=words) as caught:
        rows_of(tmp_path, data)
    assert "\n" not in str(caught.value)
