import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ivr.features.atomic_files import InTheWayError
from ivr.pipeline.datasets.manifest import (
    Manifest,
    ManifestError,
    ManifestRow,
    classes,
    read_manifest,
    resolve,
    write_manifest,
)
from ivr.pipeline.datasets.spreadsheet import MOST_BYTES


def written(folder: Path, text: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refused(folder: Path, text: str, words: str) -> None:
    path = written(folder, text)
    with pytest.raises(ManifestError, match=words) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_come_back_with_empty_optional_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "image,voice,label\nairport/a.tif,airport/aS0.wav,airport\n")
    assert read_manifest(path).rows == (ManifestRow("airport/a.tif", "airport/aS0.wav", "airport"),)


def test_every_column_is_read_in_any_order_and_others_are_kept(tmp_path: Path) -> None:
    text = (
        "caption,label,notes,voice,image,group,speaker,split\n"
        "a pond,pond,seen,v.wav,i.tif,scene 1,anna,val\n"
    )
    row = ManifestRow(
        "i.tif", "v.wav", "pond", "val", "anna", "a pond", "scene 1", (("notes", "seen"),)
    )
    assert read_manifest(written(tmp_path, text)).rows == (row,)


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path) -> None:
    assert read_manifest(written(tmp_path, "\ufeffimage,voice,label\na.tif,,x\n")).rows[0].image


def test_spaces_around_a_field_do_not_count(tmp_path: Path) -> None:
    path = written(tmp_path, "image,voice,label\n a.tif , v.wav, pond \n")
    assert read_manifest(path).rows == (ManifestRow("a.tif", "v.wav", "pond"),)


def test_one_file_has_one_name(tmp_path: Path) -> None:
    text = "image,voice,label\n./a//b.tif,1.wav,x\na/./b.tif,./2.wav,x\n"
    manifest = read_manifest(written(tmp_path, text))
    assert [image.name for image in manifest.images()] == ["a/b.tif"]
    assert [voice.name for voice in manifest.voices()] == ["1.wav", "2.wav"]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    rows = (
        ManifestRow("a,b.tif", "v.wav", "x", caption='a "wide", long\r\nrunway'),
        ManifestRow("Zürich/飞机.tif", "", "y", split="test"),
        ManifestRow("", "free.wav", "", speaker="anna", group="g"),
        ManifestRow("b.tif", "", "y", more=(("Sensor", "S2A; 10 m"), ("cloud, %", ""))),
        ManifestRow("c.tif", "", "y", more=(("Sensor", ""), ("cloud, %", "3"))),
    )
    path = tmp_path / "manifest.csv"
    write_manifest(path, Manifest(rows))
    empty = (("Sensor", ""), ("cloud, %", ""))
    assert read_manifest(path).rows == tuple(replace(row, more=row.more or empty) for row in rows)


def test_only_columns_that_hold_anything_are_written(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(path, Manifest((ManifestRow("a.tif", "v.wav", "x", split="train"),)))
    assert path.read_text() == "image,voice,label,split\na.tif,v.wav,x,train\n"
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.csv"]


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("image,voice", "no column label"),
        ("image;voice;class", "no column label.*found image, voice, class"),
        ("", "found none"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, header: str, missing: str) -> None:
    refused(tmp_path, header + "\n", missing)


def test_fewer_columns_can_be_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "image,voice\na.tif,v.wav\n")
    assert read_manifest(path, required=("image", "voice")).rows == (
        ManifestRow("a.tif", "v.wav", ""),
    )


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "image,voice,label,label\n", "column label stands twice")


def test_a_manifest_without_rows_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "image,voice,label\n", "no rows")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent\.csv: no such file"):
        read_manifest(tmp_path / "absent.csv")


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not a file"):
        read_manifest(tmp_path)


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes("image,voice,label\nZürich.tif,,x\n".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"line 2 is not in UTF-8 \('Zürich.*CSV UTF-8'"):
        read_manifest(path)


@pytest.mark.parametrize("line", ['"a.tif,v.wav,x', '"a"b,v.wav,x'])
def test_broken_quotes_are_refused(tmp_path: Path, line: str) -> None:
    refused(tmp_path, f"image,voice,label\n{line}\n", "not a readable CSV")


@pytest.mark.parametrize("line", ["a.tif,v.wav", "a.tif,v.wav,x,more"])
def test_too_few_or_too_many_fields_are_refused_with_their_line(tmp_path: Path, line: str) -> None:
    refused(tmp_path, f"image,voice,label\nok.tif,,x\n{line}\n", "line 3: not as many fields")


def test_the_line_is_counted_over_captions_of_two_lines_and_blank_lines(tmp_path: Path) -> None:
    text = 'image,voice,label,caption\na.tif,v.wav,x,"one\ntwo"\n\n/abs.tif,w.wav,x,\n'
    refused(tmp_path, text, "line 5: '/abs.tif'")


def test_a_row_needs_an_image_or_a_voice(tmp_path: Path) -> None:
    refused(tmp_path, "image,voice,label\n,,x\n", "line 2: neither an image nor a voice")


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.tif", "a/../../b.tif", "a/..", "//a.tif"])
@pytest.mark.parametrize("column", ["image", "voice"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, name: str, column: str) -> None:
    fields = f"{name}," if column == "image" else f",{name}"
    refused(tmp_path, f"image,voice,label\n{fields},x\n", "must be a path below the root")


@pytest.mark.parametrize("name", ["a\\b.tif", "a\0b.tif", "a\tb.tif", "a\x1b[2Jb.tif"])
def test_backslashes_and_control_characters_are_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path, f"image,voice,label\n{name},,x\n", "not a path with forward slashes")


def test_a_name_of_two_lines_is_refused_in_one_line(tmp_path: Path) -> None:
    refused(tmp_path, 'image,voice,label\n"a\nb.tif",,x\n', r"'a\\nb.tif' is not a path")


@pytest.mark.parametrize("column", ["label", "speaker", "group"])
def test_control_characters_are_refused_in_what_is_printed(tmp_path: Path, column: str) -> None:
    row = ManifestRow("a.tif", "", "x")
    with pytest.raises(ManifestError, match=rf"row 1: {column} 'a\\nb' is not one plain line"):
        Manifest((replace(row, **{column: "a\nb"}),))


def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ManifestError, match="in UTF-8"):
        Manifest((ManifestRow("bad\udcff.tif", "", "x"),))


def test_a_name_with_a_space_at_its_end_is_refused() -> None:
    with pytest.raises(ManifestError, match="begins or ends with a space"):
        Manifest((ManifestRow("a.tif ", "", "x"),))


def test_an_unknown_split_is_refused_with_those_there_are(tmp_path: Path) -> None:
    text = "image,voice,label,split\na.tif,v.wav,x,later\n"
    refused(tmp_path, text, "line 2: split must be train, val, test .*, got 'later'")


def test_a_voice_in_two_rows_is_refused(tmp_path: Path) -> None:
    text = "image,voice,label\na.tif,v.wav,x\nb.tif,v.wav,x\n"
    refused(tmp_path, text, "duplicate row: voice v.wav stands in 2 rows")


def test_an_image_twice_without_a_voice_is_refused(tmp_path: Path) -> None:
    text = "image,voice,label\na.tif,,x\na.tif,,x\n"
    refused(tmp_path, text, "duplicate row: image a.tif stands twice without a voice")


@pytest.mark.parametrize(
    ("column", "values"),
    [("label", ("x", "y")), ("split", ("train", "test")), ("group", ("g", ""))],
)
def test_an_image_with_two_values_is_refused(
    tmp_path: Path, column: str, values: tuple[str, str]
) -> None:
    label = "" if column == "label" else ",label"
    tail = "" if column == "label" else ",x"
    lines = [f"a.tif,{number}.wav,{value}{tail}" for number, value in enumerate(values)]
    text = "\n".join([f"image,voice,{column}{label}", *lines, ""])
    refused(tmp_path, text, f"image a.tif has two values of {column}: '{values[0]}' and")


def test_an_image_stands_once_and_each_voice_knows_its_image() -> None:
    manifest = Manifest((ManifestRow("a.tif", "1.wav", "x"), ManifestRow("a.tif", "2.wav", "x")))
    assert [image.name for image in manifest.images()] == ["a.tif"]
    assert [(voice.name, voice.image) for voice in manifest.voices()] == [
        ("1.wav", "a.tif"),
        ("2.wav", "a.tif"),
    ]


def test_an_image_without_a_voice_is_no_voice() -> None:
    manifest = Manifest((ManifestRow("a.tif", "", "x"),))
    assert len(manifest.images()) == 1
    assert manifest.voices() == ()


def test_a_voice_without_an_image_is_no_image_and_its_own_group() -> None:
    manifest = Manifest((ManifestRow("", "v.wav", "x"),))
    assert manifest.images() == ()
    assert [(voice.image, voice.group) for voice in manifest.voices()] == [("", "v.wav")]


def test_a_group_is_the_column_or_else_the_image() -> None:
    manifest = Manifest(
        (ManifestRow("a.tif", "1.wav", "x", group="scene"), ManifestRow("b.tif", "2.wav", "x"))
    )
    assert [voice.group for voice in manifest.voices()] == ["scene", "b.tif"]
    assert [image.group for image in manifest.images()] == ["scene", "b.tif"]


def test_speaker_and_caption_belong_to_the_voice_only() -> None:
    manifest = Manifest((ManifestRow("a.tif", "1.wav", "x", speaker="anna", caption="a pond"),))
    (image,), (voice,) = manifest.images(), manifest.voices()
    assert (image.speaker, image.caption) == ("", "")
    assert (voice.speaker, voice.caption) == ("anna", "a pond")


def test_classes_are_sorted_and_leave_the_unknown_out() -> None:
    manifest = Manifest(
        (ManifestRow("a", "", "river"), ManifestRow("b", "", ""), ManifestRow("c", "", "beach"))
    )
    assert classes(manifest.images()) == ("beach", "river")


def test_a_name_below_the_root_is_resolved(tmp_path: Path) -> None:
    assert resolve(tmp_path, "a/b.tif") == tmp_path / "a/b.tif"


def test_a_link_within_the_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.tif").touch()
    (tmp_path / "link.tif").symlink_to("real.tif")
    assert resolve(tmp_path, "link.tif") == tmp_path / "link.tif"


@pytest.mark.parametrize("target", ["secret.txt", "../secret.txt"])
def test_a_link_out_of_the_root_is_refused(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").touch()
    (root / "a.tif").symlink_to(tmp_path / "secret.txt")
    (root / "folder").symlink_to(tmp_path)
    with pytest.raises(ManifestError, match="leads out of"):
        resolve(root, "a.tif" if target == "secret.txt" else "folder/secret.txt")


def test_a_root_with_the_same_beginning_is_another_root(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data2").mkdir()
    (tmp_path / "data" / "a.tif").symlink_to(tmp_path / "data2" / "a.tif")
    with pytest.raises(ManifestError, match="leads out of"):
        resolve(tmp_path / "data", "a.tif")


def test_links_in_a_circle_do_not_end_in_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ManifestError, match="a: cannot be followed"):
        resolve(tmp_path, "a")


@pytest.mark.parametrize("name", ["Train", "training", "restval", " TRAIN "])
def test_other_names_of_the_training_split_are_understood(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"image,voice,label,split\na.tif,,x,{name}\n")
    assert read_manifest(path).rows[0].split == "train"


@pytest.mark.parametrize("name", ["Val", "validation", "dev", "valid"])
def test_other_names_of_the_validation_split_are_understood(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"image,voice,label,split\na.tif,,x,{name}\n")
    assert read_manifest(path).rows[0].split == "val"


@pytest.mark.parametrize("name", ["Test", "testing"])
def test_other_names_of_the_test_split_are_understood(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"image,voice,label,split\na.tif,,x,{name}\n")
    assert read_manifest(path).rows[0].split == "test"


SPELLINGS = [
    ("1", "1.0"),
    ("1", "01"),
    ("beach", "Beach"),
    ("beach", "beach\u200b"),
    ("beach", "\ufeffbeach"),
    ("Z\u00fcrich", "Zu\u0308rich"),
    ("golf course", "golf_course"),
    ("golf-course", "golf\u2013course"),
]


@pytest.mark.parametrize(("kept", "other"), SPELLINGS)
@pytest.mark.parametrize("column", ["label", "speaker", "group"])
def test_two_spellings_of_one_name_are_refused_or_merged(
    tmp_path: Path, column: str, kept: str, other: str
) -> None:
    given = {"label": "x", "speaker": "", "group": ""}
    lines = ["image,voice,label,speaker,group"]
    for number, name in enumerate((other, kept, other)):
        values = given | {column: name}
        lines.append(f"{number}.tif,{number}.wav,{','.join(values.values())}")
    text = "\n".join([*lines, ""])
    refused(tmp_path, text, f"several spellings of one name: {column} .* --accept-spellings")
    merged = read_manifest(written(tmp_path, text), accept_spellings=True)
    names = {getattr(row, column) for row in merged.rows}
    assert len(names) == 1
    assert names <= {kept, other}
    assert [one.column for one in merged.merged] == [column]
    assert sorted(count for _, count in merged.merged[0].counts) == [1, 2]


def test_spellings_that_look_alike_are_shown_with_their_code_points(tmp_path: Path) -> None:
    text = "image,voice,label\na.tif,,Z\u00fcrich\nb.tif,,Zu\u0308rich\nc.tif,,Z\u00fcrich\n"
    words = (
        r"label 'Zu\u0308rich' \(1 row\) and 'Z\u00fcrich' \(2 rows\): U\+0075 U\+0308 "
        r"against U\+00FC; "
    )
    refused(tmp_path, text, words)


def test_a_name_of_invisible_characters_is_no_name(tmp_path: Path) -> None:
    path = written(tmp_path, "image,voice,label\na.tif,,\u200b\nb.tif,,x\n")
    assert [row.label for row in read_manifest(path).rows] == ["", "x"]


def test_one_image_of_two_spellings_has_one_class_after_merging(tmp_path: Path) -> None:
    text = "image,voice,label\na.tif,1.wav,pond\na.tif,2.wav,Pond\n"
    merged = read_manifest(written(tmp_path, text), accept_spellings=True)
    assert [image.label for image in merged.images()] == ["pond"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("image,voice,label\na.png,,x\n", "utf-8-sig"),
        ("image,voice,label\na.png,,x\n", "utf-16"),
        ("Image,Voice,LABEL\r\na.png,,x\r\n", "utf-8"),
        ("image;voice;label\na.png;;x\n", "utf-8"),
        ("image\tvoice\tlabel\na.png\t\tx\n", "utf-16-le"),
        ('"image","voice","label"\n"a.png","","x"\n', "utf-8"),
        ('sep=;\n\n"image"; voice ;label\na.png;;x\n', "utf-8"),
    ],
)
def test_every_manifest_that_is_read_is_replaced(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    write_manifest(path, read_manifest(path))
    assert path.read_text(encoding="utf-8") == "image,voice,label\na.png,,x\n"


@pytest.mark.parametrize(
    "data",
    [
        b"name,voice,label\na.png,,x\n",
        b"dear diary\n",
        b"\x89PNG\r\n\x1a\n",
        b"image,voice,label\n\0",
        b"PK\x03\x04image,voice,label",
    ],
)
def test_what_is_no_manifest_is_not_replaced(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(data)
    with pytest.raises(InTheWayError, match="holds something else than a manifest"):
        write_manifest(path, Manifest((ManifestRow("a.png", "", "x"),)))
    assert path.read_bytes() == data


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.csv")
    # It is opened without waiting; were it waited for, this writer would let the test fail.
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(read_manifest, tmp_path / "manifest.csv")
        try:
            with pytest.raises(ManifestError, match=r"manifest\.csv: not a file"):
                found.result(timeout=20)
        finally:
            with suppress(OSError):  # no process reads it
                os.close(os.open(tmp_path / "manifest.csv", os.O_WRONLY | os.O_NONBLOCK))


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "manifest.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ManifestError, match=f"more than the {MOST_BYTES} that are read"):
        read_manifest(tmp_path / "manifest.csv")
