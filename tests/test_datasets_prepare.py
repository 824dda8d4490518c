import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ivr.names import UnknownNameError
from ivr.pipeline.datasets.layout import Sources
from ivr.pipeline.datasets.layouts import read_layout
from ivr.pipeline.datasets.manifest import Manifest, ManifestError, ManifestRow, read_manifest
from ivr.pipeline.datasets.pairing import PairingError
from ivr.pipeline.datasets.prepare import PrepareResult, prepare, summarize
from ivr.pipeline.datasets.prepare_config import PrepareConfig
from ivr.pipeline.datasets.public_datasets import (
    DATASETS,
    known_dataset,
    spelling,
)


def touch(root: Path, names: Iterable[str]) -> Path:
    paths = [root / name for name in names]
    for parent in {root, *(path.parent for path in paths)}:
        parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        path.touch()
    return root


def table(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


def by_voice(manifest: Manifest) -> dict[str, ManifestRow]:
    return {row.voice: row for row in manifest.rows if row.voice}


def by_image(manifest: Manifest) -> dict[str, ManifestRow]:
    return {row.image: row for row in manifest.rows if row.image}


def five(stem: str, first: int = 0, mark: str = "S") -> list[str]:
    return [f"{stem}{mark}{number}.wav" for number in range(first, first + 5)]


@pytest.fixture(scope="session")
def ucm_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch(tmp_path_factory.mktemp("ucm"), [f"{n}.tif" for n in range(1, 2101)])


@pytest.fixture(scope="session")
def sydney_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch(tmp_path_factory.mktemp("sydney"), [f"{n}.tif" for n in range(1, 614)])


# UC Merced.


def test_ucm_numbers_tell_the_class_in_alphabetical_order(ucm_images: Path) -> None:
    rows = by_image(read_layout("ucm", Sources(ucm_images)))
    for number, label in [
        (1, "agricultural"),
        (100, "agricultural"),
        (101, "airplane"),
        (1100, "harbor"),
        (1101, "intersection"),
        (2001, "tenniscourt"),
        (2100, "tenniscourt"),
    ]:
        assert rows[f"{number}.tif"].label == label


def test_ucm_voices_go_to_their_number_and_images_without_are_kept(
    ucm_images: Path, tmp_path: Path
) -> None:
    voices = touch(tmp_path / "voices", [*five("1"), *five("10"), *five("101")])
    manifest = read_layout("ucm", Sources(ucm_images, voices))
    rows = by_voice(manifest)
    assert rows["10S3.wav"] == ManifestRow("10.tif", "10S3.wav", "agricultural")
    assert rows["101S0.wav"].label == "airplane"
    assert Counter(row.image for row in rows.values()) == {"1.tif": 5, "10.tif": 5, "101.tif": 5}
    assert len(manifest.images()) == 2100


def test_images_come_in_the_order_of_their_numbers(ucm_images: Path) -> None:
    names = [image.name for image in read_layout("ucm", Sources(ucm_images)).images()]
    assert names == [f"{number}.tif" for number in range(1, 2101)]


def test_a_gap_in_the_ucm_numbers_leaves_the_class_unproved(tmp_path: Path) -> None:
    images = touch(tmp_path, [f"{n}.tif" for n in range(1, 2102) if n != 17])
    with pytest.raises(
        PairingError, match=r"missing image numbers: 1, e.g. 17.*1 to 2100.*--table"
    ):
        read_layout("ucm", Sources(images))


def test_an_image_beyond_the_numbers_leaves_the_class_unproved(tmp_path: Path) -> None:
    images = touch(tmp_path, [f"{n}.tif" for n in range(1, 615)])
    with pytest.raises(PairingError, match=r"outside Sydney: 1, e.g. 614\.tif"):
        read_layout("sydney", Sources(images))


def test_two_images_of_one_number_leave_the_class_unproved(tmp_path: Path) -> None:
    images = touch(tmp_path, [*(f"{n}.tif" for n in range(1, 614)), "5.png"])
    with pytest.raises(PairingError, match="614 images, some with the same number"):
        read_layout("sydney", Sources(images))


def test_numbers_from_0_are_refused(tmp_path: Path) -> None:
    images = touch(tmp_path, [f"{n}.tif" for n in range(613)])
    with pytest.raises(PairingError, match=r"missing image numbers: 1, e.g. 613"):
        read_layout("sydney", Sources(images))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["7S0.wav", "7S1.wav", "7S2.wav", "7S3.wav"], "0, 1, 2, 3"),
        (five("7", first=1), "1, 2, 3, 4, 5"),
        ([*five("7"), "7S9.wav"], "0, 1, 2, 3, 4, 9"),
        (["7.wav"], "no number"),
        ([*five("7"), "7_0.wav"], "0, 0, 1, 2, 3, 4"),
    ],
)
def test_ucm_voices_numbered_otherwise_than_0_to_4_are_not_proved(
    ucm_images: Path, tmp_path: Path, names: list[str], found: str
) -> None:
    voices = touch(tmp_path, [*five("8"), *names])
    with pytest.raises(PairingError, match=rf"not numbered 0 to 4: 1, e.g. 7\.tif has {found};"):
        read_layout("ucm", Sources(ucm_images, voices))


def test_a_voice_of_no_image_is_named(ucm_images: Path, tmp_path: Path) -> None:
    voices = touch(tmp_path, ["2101S0.wav", "0S1.wav", *five("1")])
    with pytest.raises(PairingError, match=r"fit no image: 2, e.g. 0S1\.wav; .*--table"):
        read_layout("ucm", Sources(ucm_images, voices))


def test_a_table_settles_what_names_do_not_prove(ucm_images: Path, tmp_path: Path) -> None:
    voices = touch(tmp_path / "voices", [*five("1"), "7S0.wav", "visitor.wav", "noise.wav"])
    said = table(
        tmp_path,
        "image,voice,label,speaker\n7.tif,7S0.wav,,\n9.tif,visitor.wav,farm,anna\n,noise.wav,,\n",
    )
    rows = by_voice(read_layout("ucm", Sources(ucm_images, voices, table=said)))
    assert rows["7S0.wav"] == ManifestRow("7.tif", "7S0.wav", "agricultural")
    assert rows["visitor.wav"] == ManifestRow("9.tif", "visitor.wav", "farm", speaker="anna")
    assert rows["noise.wav"] == ManifestRow("", "noise.wav", "")
    assert rows["1S2.wav"].image == "1.tif"


def test_a_table_explains_the_numbers_of_the_images_it_names(
    ucm_images: Path, tmp_path: Path
) -> None:
    voices = touch(tmp_path / "voices", [*five("7")[:4], "last.wav"])
    said = table(tmp_path, "image,voice\n7.tif,last.wav\n")
    rows = by_voice(read_layout("ucm", Sources(ucm_images, voices, table=said)))
    assert {row.image for row in rows.values()} == {"7.tif"}
    assert len(rows) == 5


def test_a_table_needs_no_label_column(ucm_images: Path, tmp_path: Path) -> None:
    voices = touch(tmp_path / "voices", ["x.wav"])
    said = table(tmp_path, "image,voice\n7.tif,x.wav\n")
    rows = by_voice(read_layout("ucm", Sources(ucm_images, voices, table=said)))
    assert rows["x.wav"].label == "agricultural"


@pytest.mark.parametrize("line", ["9999.tif,x.wav", "7.tif,y.wav"])
def test_a_table_of_files_that_are_not_there_is_refused(
    ucm_images: Path, tmp_path: Path, line: str
) -> None:
    voices = touch(tmp_path / "voices", ["x.wav"])
    said = table(tmp_path, f"image,voice\n{line}\n")
    with pytest.raises(PairingError, match=r"of the table that are not in the folder: 1, e.g."):
        read_layout("ucm", Sources(ucm_images, voices, table=said))


def test_a_table_with_every_class_replaces_the_number_rule(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", ["1.tif", "2.tif"])
    said = table(tmp_path, "image,voice,label\n1.tif,,pond\n2.tif,,river\n")
    rows = by_image(read_layout("ucm", Sources(images, table=said)))
    assert (rows["1.tif"].label, rows["2.tif"].label) == ("pond", "river")


@pytest.mark.parametrize("mark", ["_", "S", "-"])
def test_ucm_in_class_folders_goes_by_folder_and_stem(tmp_path: Path, mark: str) -> None:
    images = touch(tmp_path / "i", ["beach/beach00.jpg", "beach/beach01.jpg", "river/river00.jpg"])
    voices = touch(tmp_path / "v", five("beach/beach01", first=1, mark=mark))
    manifest = read_layout("ucm", Sources(images, voices))
    assert {row.image for row in by_voice(manifest).values()} == {"beach/beach01.jpg"}
    assert by_image(manifest)["river/river00.jpg"].label == "river"


def test_four_of_five_ucm_voices_are_not_proved_in_folders_either(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["beach/beach00.jpg"])
    voices = touch(tmp_path / "v", five("beach/beach00", first=1, mark="_")[:4])
    with pytest.raises(PairingError, match=r"not numbered 0 to 4 or 1 to 5: 1, e.g. beach/beach00"):
        read_layout("ucm", Sources(images, voices))


def test_a_folder_that_is_no_ucm_class_is_named(tmp_path: Path) -> None:
    images = touch(tmp_path, ["beach/a.jpg", "bridge/b.jpg"])
    with pytest.raises(PairingError, match=r"in no class of UC Merced: 1, e.g. bridge/b\.jpg"):
        read_layout("ucm", Sources(images))


# Sydney.


def test_sydney_numbers_tell_the_class(sydney_images: Path) -> None:
    rows = by_image(read_layout("sydney", Sources(sydney_images)))
    for number, label in [
        (1, "residential"),
        (242, "residential"),
        (243, "airport"),
        (264, "airport"),
        (265, "meadow"),
        (315, "river"),
        (360, "ocean"),
        (452, "industrial"),
        (547, "industrial"),
        (548, "runway"),
        (613, "runway"),
    ]:
        assert rows[f"{number}.tif"].label == label


def test_sydney_without_its_last_image_is_not_proved(tmp_path: Path) -> None:
    images = touch(tmp_path, [f"{n}.tif" for n in range(1, 613)])
    with pytest.raises(PairingError, match=r"missing image numbers: 1, e.g. 613.*Sydney is whole"):
        read_layout("sydney", Sources(images))


def test_sydney_in_other_names_is_not_proved(tmp_path: Path) -> None:
    with pytest.raises(PairingError, match=r"without a number: 1, e.g. runway\.tif"):
        read_layout("sydney", Sources(touch(tmp_path, ["runway.tif"])))


# RSICD.


def test_rsicd_prefixes_and_class_lists_tell_the_class(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["airport_1.jpg", "storagetanks_12.jpg", "00042.jpg"])
    lists = touch(tmp_path / "lists", [])
    (lists / "airport.txt").write_text("airport_1.jpg\n\n")
    (lists / "Bare Land.txt").write_text("00042.jpg\n")
    rows = by_image(read_layout("rsicd", Sources(images, class_lists=lists)))
    assert {name: row.label for name, row in rows.items()} == {
        "airport_1.jpg": "airport",
        "storagetanks_12.jpg": "storagetanks",
        "00042.jpg": "bareland",
    }


def test_a_bare_number_without_a_list_has_no_class(tmp_path: Path) -> None:
    images = touch(tmp_path, ["airport_1.jpg", "00042.jpg"])
    with pytest.raises(PairingError, match=r"images without a class .*: 1, e.g. 00042\.jpg"):
        read_layout("rsicd", Sources(images))


def test_a_prefix_that_is_no_rsicd_class_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(PairingError, match=r"images without a class .*: 1, e.g. img_1\.jpg"):
        read_layout("rsicd", Sources(touch(tmp_path, ["img_1.jpg"])))


def test_a_list_that_contradicts_the_name_is_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["airport_1.jpg"])
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "beach.txt").write_text("airport_1.jpg\n")
    with pytest.raises(PairingError, match=r"e.g. airport_1\.jpg in the list beach"):
        read_layout("rsicd", Sources(images, class_lists=lists))


def test_an_image_in_two_lists_is_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["00042.jpg"])
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "beach.txt").write_text("00042.jpg\n")
    (lists / "river.txt").write_text("00042\n")
    with pytest.raises(PairingError, match="'00042' is also in the list 'beach'"):
        read_layout("rsicd", Sources(images, class_lists=lists))


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    images = touch(tmp_path, ["airport_1.jpg"])
    with pytest.raises(ManifestError, match="holds no class list"):
        read_layout("rsicd", Sources(images, class_lists=tmp_path))


def test_rsicd_voices_go_by_stem_with_sentence_numbers(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["airport_1.jpg", "airport_10.jpg"])
    voices = touch(tmp_path / "v", [*five("airport_1"), *five("airport_10", first=5)])
    rows = by_voice(read_layout("rsicd", Sources(images, voices)))
    assert rows["airport_10S5.wav"].image == rows["airport_10S9.wav"].image == "airport_10.jpg"
    assert rows["airport_1S4.wav"].image == "airport_1.jpg"


def test_sentence_numbers_across_two_blocks_are_not_proved(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["airport_1.jpg"])
    voices = touch(tmp_path / "v", five("airport_1", first=3))
    with pytest.raises(PairingError, match=r"not numbered 5j .* airport_1\.jpg has 3, 4, 5, 6, 7"):
        read_layout("rsicd", Sources(images, voices))


def test_two_images_with_the_same_sentence_numbers_are_not_proved(tmp_path: Path) -> None:
    names = ["airport_1", "airport_2", "airport_3"]
    images = touch(tmp_path / "i", [f"{name}.jpg" for name in names])
    voices = touch(
        tmp_path / "v", [*five(names[0]), *five(names[1], first=5), *five(names[2], first=5)]
    )
    with pytest.raises(PairingError, match=r"share sentence numbers: 1, e.g. airport_3.*from 5"):
        read_layout("rsicd", Sources(images, voices))


def test_all_rsicd_images_may_number_from_0(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["airport_1.jpg", "beach_2.jpg"])
    voices = touch(tmp_path / "v", [*five("airport_1"), *five("beach_2")])
    assert len(by_voice(read_layout("rsicd", Sources(images, voices)))) == 10


# Folders.


def test_a_folder_is_a_class_and_voices_mirror_it(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/1.jpg", "river/1.jpg"])
    voices = touch(tmp_path / "v", ["pond/1_1.wav", "pond/1_2.wav", "river/1.flac"])
    rows = by_voice(read_layout("folders", Sources(images, voices)))
    assert rows == {
        "pond/1_1.wav": ManifestRow("pond/1.jpg", "pond/1_1.wav", "pond"),
        "pond/1_2.wav": ManifestRow("pond/1.jpg", "pond/1_2.wav", "pond"),
        "river/1.flac": ManifestRow("river/1.jpg", "river/1.flac", "river"),
    }


def test_voices_beside_each_other_fit_images_of_any_folder(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/p1.jpg", "river/r1.jpg"])
    voices = touch(tmp_path / "v", ["p1.wav", "r1.wav"])
    rows = by_voice(read_layout("folders", Sources(images, voices)))
    assert rows["r1.wav"].image == "river/r1.jpg"


def test_a_voice_that_fits_two_images_is_not_proved(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/1.jpg", "river/1.jpg"])
    voices = touch(tmp_path / "v", ["1_1.wav"])
    words = r"fit several images: 1, e.g. 1_1\.wav fits pond/1\.jpg and river/1\.jpg"
    with pytest.raises(PairingError, match=words):
        read_layout("folders", Sources(images, voices))


def test_a_voice_that_is_read_two_ways_is_not_proved(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/a.jpg", "pond/a_1.jpg"])
    voices = touch(tmp_path / "v", ["pond/a_1.wav"])
    with pytest.raises(PairingError, match=r"fits pond/a_1\.jpg and pond/a\.jpg"):
        read_layout("folders", Sources(images, voices))


def test_a_voice_of_another_class_folder_fits_nothing(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/a.jpg"])
    voices = touch(tmp_path / "v", ["river/a.wav"])
    with pytest.raises(PairingError, match=r"fit no image: 1, e.g. river/a\.wav"):
        read_layout("folders", Sources(images, voices))


@pytest.mark.parametrize(("numbers", "found"), [("13", "1, 3"), ("23", "2, 3"), ("11", "1, 1")])
def test_numbers_with_a_gap_or_twice_are_not_proved(
    tmp_path: Path, numbers: str, found: str
) -> None:
    images = touch(tmp_path / "i", ["pond/a.jpg", "pond/b.jpg"])
    strange = [f"pond/b{mark}{number}.wav" for mark, number in zip("_-", numbers, strict=True)]
    voices = touch(tmp_path / "v", ["pond/a_1.wav", "pond/a_2.wav", *strange])
    with pytest.raises(PairingError, match=rf"without a gap: 1, e.g. pond/b\.jpg has {found};"):
        read_layout("folders", Sources(images, voices))


@pytest.mark.parametrize("name", ["a.jpg", "land/pond/a.jpg"])
def test_an_image_that_is_not_in_a_class_folder_is_refused(tmp_path: Path, name: str) -> None:
    images = touch(tmp_path, ["pond/b.jpg", name])
    with pytest.raises(PairingError, match=f"not in <class>/<name>: 1, e.g. {name}"):
        read_layout("folders", Sources(images))


def test_what_archives_leave_is_not_an_image(tmp_path: Path) -> None:
    left = ["pond/._a.jpg", "__MACOSX/pond/a.jpg", ".trash/b.jpg", "pond/Thumbs.db"]
    images = touch(tmp_path, ["pond/a.JPG", "river/b.JPG", *left])
    assert list(by_image(read_layout("folders", Sources(images)))) == ["pond/a.JPG", "river/b.JPG"]


def test_a_linked_folder_is_not_searched(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/a.jpg", "lake/c.jpg"])
    (images / "river").symlink_to(touch(tmp_path / "other", ["b.jpg"]))
    assert set(by_image(read_layout("folders", Sources(images)))) == {"pond/a.jpg", "lake/c.jpg"}


def test_a_file_name_that_clears_the_screen_is_passed_over_and_shown_harmless(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = touch(tmp_path, ["pond/\x1b[2Ja.jpg"])
    with pytest.raises(ManifestError, match=r"holds no image .* that can be named"):
        read_layout("folders", Sources(images))
    caplog.clear()
    touch(images, ["pond/b.jpg", "lake/c.jpg"])
    assert set(by_image(read_layout("folders", Sources(images)))) == {"pond/b.jpg", "lake/c.jpg"}
    assert caplog.messages == [
        "passed over pond/\\u001b[2Ja.jpg: its name is not a path with forward slashes, in UTF-8, "
        "without control characters"
    ]


def test_a_name_of_the_json_that_clears_the_screen_is_shown_harmless(tmp_path: Path) -> None:
    path = karpathy(tmp_path, "rsicd", entry("\x1b[2Ja.jpg", "val", ()))
    images = touch(tmp_path / "i", ["airport_1.jpg"])
    with pytest.raises(PairingError, match=r"e.g. '\\x1b\[2Ja.jpg'"):
        read_layout("karpathy", Sources(images, json=path))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no image \(\.tif"):
        read_layout("folders", Sources(tmp_path))


def test_a_folder_without_voices_is_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/a.jpg"])
    with pytest.raises(ManifestError, match="holds no voice"):
        read_layout("folders", Sources(images, images))


def test_a_link_out_of_the_image_folder_is_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/a.jpg"])
    (tmp_path / "secret.jpg").touch()
    (images / "pond" / "b.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(ManifestError, match=r"pond/b\.jpg: leads out of"):
        read_layout("folders", Sources(images))


@pytest.mark.parametrize(
    ("layout", "sources", "option"),
    [
        ("ucm", {"json": Path("x")}, "--json"),
        ("folders", {"class_lists": Path("x")}, "--class-lists"),
        ("karpathy", {"captions": (Path("x"),)}, "--captions"),
    ],
)
def test_an_option_that_a_layout_cannot_use_is_refused(
    layout: str, sources: dict[str, Any], option: str
) -> None:
    with pytest.raises(ManifestError, match=f"the layout '{layout}' does not use {option}"):
        read_layout(layout, Sources(Path("images"), **sources))


# Captions.


def captions(folder: Path, name: str, lines: Iterable[str]) -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_captions_follow_the_numbers_of_images_and_voices(ucm_images: Path, tmp_path: Path) -> None:
    voices = touch(tmp_path / "v", [*five("1"), *five("2100")])
    lines = [f"image {number} sentence {k}" for number in range(1, 2101) for k in range(5)]
    path = captions(tmp_path, "ucm_caps.txt", lines)
    rows = by_voice(read_layout("ucm", Sources(ucm_images, voices, captions=(path,))))
    assert rows["1S0.wav"].caption == "image 1 sentence 0"
    assert rows["2100S3.wav"].caption == "image 2100 sentence 3"


@pytest.mark.parametrize("repeats", [1, 5])
def test_captions_follow_the_file_names_beside_them(tmp_path: Path, repeats: int) -> None:
    images = touch(tmp_path / "i", ["airport_1.jpg", "beach_2.jpg", "beach_3.jpg"])
    voices = touch(
        tmp_path / "v",
        [*five("airport_1"), *five("beach_2", first=5), *five("beach_3", first=10)],
    )
    names = ["beach_2.jpg", "airport_1.jpg"]
    captions(tmp_path, "test_filename.txt", [name for name in names for _ in range(repeats)])
    path = captions(tmp_path, "test_caps.txt", [f"{name} {k}" for name in names for k in "abcde"])
    rows = by_voice(read_layout("rsicd", Sources(images, voices, captions=(path,))))
    assert rows["beach_2S6.wav"].caption == "beach_2.jpg b"
    assert rows["airport_1S4.wav"].caption == "airport_1.jpg e"
    assert rows["beach_3S10.wav"].caption == ""


def test_captions_that_are_not_five_per_image_are_refused(ucm_images: Path, tmp_path: Path) -> None:
    path = captions(tmp_path, "ucm_caps.txt", ["a"] * 9)
    with pytest.raises(PairingError, match="9 lines for 1 image, not 5 per image"):
        read_layout("ucm", Sources(ucm_images, captions=(path,)))


def test_captions_of_images_that_are_not_there_are_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["airport_1.jpg"])
    path = captions(tmp_path, "x_caps.txt", ["a"] * 5)
    with pytest.raises(PairingError, match=r"with captions in .* not in the folder: 1, e.g. 1;"):
        read_layout("rsicd", Sources(images, captions=(path,)))


def test_voices_beyond_five_captions_are_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", ["pond/1.jpg", "river/2.jpg"])
    voices = touch(tmp_path / "v", [f"pond/1_{k}.wav" for k in range(1, 7)])
    path = captions(tmp_path, "x_caps.txt", "abcde")
    with pytest.raises(
        PairingError, match=r"not one of the five captions of an image.* pond/1_6\.wav"
    ):
        read_layout("folders", Sources(images, voices, captions=(path,)))


# Karpathy JSON.


def entry(name: str, split: str, sentids: Iterable[int], **more: object) -> dict[str, object]:
    said = [{"raw": f"sentence {k} .", "sentid": k, "tokens": [], "imgid": 0} for k in sentids]
    return {"filename": name, "split": split, "sentences": said, **more}


def karpathy(folder: Path, dataset: str, *entries: dict[str, object]) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps({"images": entries, "dataset": dataset}))
    return path


def test_splits_and_sentences_come_from_the_json(tmp_path: Path) -> None:
    names = ["airport_1.jpg", "beach_2.jpg", "beach_3.jpg", "beach_4.jpg"]
    splits = ["train", "restval", "val", "test"]
    path = karpathy(
        tmp_path,
        "rsicd",
        *(
            entry(name, split, range(5 * n, 5 * n + 5))
            for n, (name, split) in enumerate(zip(names, splits, strict=True))
        ),
    )
    images = touch(tmp_path / "i", names)
    voices = touch(tmp_path / "v", [*five("airport_1"), *five("beach_4", first=15)])
    manifest = read_layout("karpathy", Sources(images, voices, json=path))
    assert [row.split for row in by_image(manifest).values()] == ["train", "train", "val", "test"]
    row = by_voice(manifest)["beach_4S17.wav"]
    expected = ManifestRow(
        "beach_4.jpg", "beach_4S17.wav", "beach", "test", caption="sentence 17 ."
    )
    assert row == expected


def test_voices_numbered_by_place_get_the_sentence_of_that_place(tmp_path: Path) -> None:
    path = karpathy(
        tmp_path,
        "rsicd",
        entry("airport_1.jpg", "train", range(5)),
        entry("beach_2.jpg", "test", range(5, 10)),
    )
    images = touch(tmp_path / "i", ["airport_1.jpg", "beach_2.jpg"])
    voices = touch(tmp_path / "v", [*five("airport_1"), *five("beach_2")])
    rows = by_voice(read_layout("karpathy", Sources(images, voices, json=path)))
    assert rows["beach_2S1.wav"].caption == "sentence 6 ."


def test_numbers_that_are_neither_sentids_nor_places_are_not_proved(tmp_path: Path) -> None:
    path = karpathy(
        tmp_path,
        "rsicd",
        entry("airport_1.jpg", "train", range(5)),
        entry("beach_2.jpg", "test", range(5, 10)),
    )
    images = touch(tmp_path / "i", ["airport_1.jpg", "beach_2.jpg"])
    voices = touch(tmp_path / "v", ["airport_1S0.wav", "beach_2S77.wav"])
    with pytest.raises(PairingError, match=r"neither sentids nor .*: 1, e.g. beach_2S77\.wav"):
        read_layout("karpathy", Sources(images, voices, json=path))


def test_numbers_that_may_be_sentids_or_places_are_not_proved(tmp_path: Path) -> None:
    path = karpathy(
        tmp_path,
        "rsicd",
        entry("airport_1.jpg", "train", range(2)),
        entry("beach_2.jpg", "test", range(2, 7)),
    )
    images = touch(tmp_path / "i", ["airport_1.jpg", "beach_2.jpg"])
    voices = touch(tmp_path / "v", ["airport_1S0.wav", "beach_2S3.wav"])
    with pytest.raises(PairingError, match=r"may be sentids or positions: 1, e.g. beach_2S3\.wav"):
        read_layout("karpathy", Sources(images, voices, json=path))


def test_one_sentence_spoken_twice_for_an_image_is_not_proved(tmp_path: Path) -> None:
    path = karpathy(tmp_path, "rsicd", entry("airport_1.jpg", "train", range(5)))
    images = touch(tmp_path / "i", ["airport_1.jpg"])
    voices = touch(tmp_path / "v", ["airport_1S0.wav", "airport_1_0.wav"])
    with pytest.raises(PairingError, match="the number of another of their image: 1"):
        read_layout("karpathy", Sources(images, voices, json=path))


@pytest.mark.parametrize(
    ("dataset", "count", "number", "label"),
    [("UCM", 2100, 101, "airplane"), ("Sydney_captions", 613, 613, "runway")],
)
def test_the_number_rule_follows_the_data_set_of_the_json(
    tmp_path: Path,
    ucm_images: Path,
    sydney_images: Path,
    dataset: str,
    count: int,
    number: int,
    label: str,
) -> None:
    images = ucm_images if dataset == "UCM" else sydney_images
    entries = (entry(f"{n}.tif", "train", ()) for n in range(1, count + 1))
    path = karpathy(tmp_path, dataset, *entries)
    rows = by_image(read_layout("karpathy", Sources(images, json=path)))
    assert rows[f"{number}.tif"].label == label


def test_any_prefix_is_a_class_in_a_data_set_that_is_not_known(tmp_path: Path) -> None:
    path = karpathy(
        tmp_path,
        "nwpu",
        entry("tennis_court_001.jpg", "train", ()),
        entry("snowberg_002.jpg", "test", ()),
        entry("tennis_court_003.jpg", "test", ()),
    )
    names = ["tennis_court_001.jpg", "snowberg_002.jpg", "tennis_court_003.jpg"]
    images = touch(tmp_path / "i", names)
    rows = by_image(read_layout("karpathy", Sources(images, json=path)))
    assert rows["tennis_court_001.jpg"].label == "tenniscourt"


def test_the_suffix_of_an_image_does_not_count(tmp_path: Path) -> None:
    path = karpathy(tmp_path, "rsicd", entry("airport_1.tif", "val", (), filepath="imgs"))
    images = touch(tmp_path / "i", ["airport_1.jpg"])
    rows = by_image(read_layout("karpathy", Sources(images, json=path)))
    assert rows["airport_1.jpg"].split == "val"


def test_an_image_of_the_json_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = karpathy(
        tmp_path,
        "rsicd",
        entry("airport_1.jpg", "val", ()),
        entry("airport_2.jpg", "val", ()),
    )
    images = touch(tmp_path / "i", ["airport_1.jpg"])
    with pytest.raises(PairingError, match=r"of the JSON that are not .*: 1, e.g. airport_2\.jpg"):
        read_layout("karpathy", Sources(images, json=path))


def test_an_image_that_is_not_in_the_json_is_named_unless_a_table_has_it(tmp_path: Path) -> None:
    path = karpathy(tmp_path, "rsicd", entry("airport_1.jpg", "val", ()))
    images = touch(tmp_path / "i", ["airport_1.jpg", "mine.jpg"])
    with pytest.raises(PairingError, match=r"images that are not in the JSON: 1, e.g. mine\.jpg"):
        read_layout("karpathy", Sources(images, json=path))
    said = table(tmp_path, "image,voice,label,split\nmine.jpg,,beach,test\n")
    rows = by_image(read_layout("karpathy", Sources(images, json=path, table=said)))
    assert (rows["mine.jpg"].label, rows["mine.jpg"].split) == ("beach", "test")


def test_the_layout_karpathy_asks_for_its_json(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="give it with --json"):
        read_layout("karpathy", Sources(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a readable JSON file"),
        ("[" * 100_000, "not a readable JSON file"),
        ("9" * 5000, "not a readable JSON file"),
        ("[]", "not a JSON object"),
        ('{"images": []}', "has no list 'images'"),
        ('{"images": [1]}', "image 0: 'filename' is missing or not a str"),
        ('{"images": [{"filename": "a.jpg"}]}', "image 0: 'split' is missing"),
        (
            '{"images": [{"filename": "a.jpg", "split": "later", "sentences": []}]}',
            "split must be train, .*, got 'later'",
        ),
        (
            '{"images": [{"filename": "a.jpg", "split": "val", "sentences": [{"raw": "x"}]}]}',
            "'sentid' is missing or not a int",
        ),
        (
            '{"images": [{"filename": "a.jpg", "split": "val", "sentences": []},'
            '{"filename": "a.jpg", "split": "test", "sentences": []}]}',
            "image 'a.jpg' stands 2 times",
        ),
    ],
)
def test_a_json_that_cannot_be_used_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(content)
    with pytest.raises(ManifestError, match=words):
        read_layout("karpathy", Sources(tmp_path, json=path))


# The stage.


def small_set(folder: Path) -> PrepareConfig:
    names = [f"{label}/{n}" for label in ("pond", "river") for n in range(10)]
    images = touch(folder / "i", [f"{name}.jpg" for name in names])
    voices = touch(folder / "v", [f"{name}_{k}.wav" for name in names[:15] for k in (1, 2)])
    return PrepareConfig(images, voices)


def test_the_manifest_is_written_and_summed_up(tmp_path: Path) -> None:
    out = tmp_path / "manifest.csv"
    summary = prepare("folders", out, small_set(tmp_path))
    assert summary == PrepareResult(
        manifest=out,
        images=20,
        voices=30,
        images_by_class={"pond": 10, "river": 10},
        images_by_voices={0: 5, 2: 15},
        images_by_split={},
        free_voices=0,
        dataset=None,
    )
    assert summarize(read_manifest(out), out) == summary
    assert "split" not in out.read_text().splitlines()[0]


def test_a_cut_fills_the_split_column_from_the_seed(tmp_path: Path) -> None:
    sources, out = small_set(tmp_path), tmp_path / "manifest.csv"
    summary = prepare("folders", out, sources, split="80/20", seed=1)
    assert summary.images_by_split == {"train": 14, "val": 2, "test": 4}
    first = out.read_text()
    prepare("folders", out, sources, split="80/20", seed=2, force=True)
    assert out.read_text() != first
    prepare("folders", out, sources, split="80/20", seed=1, force=True)
    assert out.read_text() == first


def test_an_existing_manifest_is_kept_unless_forced(tmp_path: Path) -> None:
    out = tmp_path / "manifest.csv"
    out.write_text("mine")
    with pytest.raises(ManifestError, match=r"exists; .* with --force"):
        prepare("folders", out, small_set(tmp_path))
    assert out.read_text() == "mine"


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "manifest.csv"
    summary = prepare("folders", out, small_set(tmp_path), dry_run=True)
    assert summary.images == 20
    assert not out.exists()


def test_a_folder_to_write_to_that_is_not_there_is_named(tmp_path: Path) -> None:
    out = tmp_path / "absent" / "manifest.csv"
    with pytest.raises(ManifestError, match="absent: no such folder"):
        prepare("folders", out, small_set(tmp_path))


def test_an_unknown_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match="no layout 'aid'; there are folders, karpathy, rsicd,"
    ):
        prepare("aid", tmp_path / "m.csv", images=tmp_path)


# What is published.


def test_the_data_sets_have_21_7_and_30_classes() -> None:
    assert {name: len(set(known.classes)) for name, known in DATASETS.items()} == {
        "ucm": 21,
        "sydney": 7,
        "rsicd": 30,
    }
    for name in ("ucm", "rsicd"):
        assert list(DATASETS[name].classes) == sorted(DATASETS[name].classes)


@pytest.mark.parametrize("name", DATASETS)
def test_each_data_set_has_classes_in_one_place(name: str) -> None:
    dataset = DATASETS[name]
    assert list(map(spelling, dataset.classes)) == list(dataset.classes)
    assert tuple(dataset.images_per_class) in ((), dataset.classes)


def test_image_numbers_cover_the_data_sets_whose_classes_follow_from_them() -> None:
    sizes = {name: sum(known.images_per_class.values()) for name, known in DATASETS.items()}
    assert sizes == {"ucm": 2100, "sydney": 613, "rsicd": 0}


def test_a_data_set_is_known_by_its_classes_in_any_spelling() -> None:
    assert known_dataset(DATASETS["sydney"].classes) == "sydney"
    assert known_dataset(DATASETS["rsicd"].classes) == "rsicd"
    spelled = [
        name.upper().replace("COURT", " court").replace("PARK", "-_park")
        for name in DATASETS["ucm"].classes
    ]
    assert known_dataset([*spelled, "beach"]) == "ucm"


def test_a_part_of_a_data_set_is_not_known() -> None:
    assert known_dataset(DATASETS["ucm"].classes[:-1]) is None
    assert known_dataset([*DATASETS["sydney"].classes, "pond"]) is None
    assert known_dataset([]) is None


def own_json(folder: Path, images: Mapping[str, str]) -> PrepareConfig:
    """Images with their splits in a JSON of an unknown data set, one voice each."""
    (folder / "images").mkdir()
    (folder / "voices").mkdir()
    records = []
    for name, split in images.items():
        (folder / "images" / name).touch()
        (folder / "voices" / f"{Path(name).stem}_0.wav").touch()
        sentences = [{"raw": "a scene", "sentid": len(records)}]
        records.append({"filename": name, "split": split, "sentences": sentences})
    (folder / "own.json").write_text(json.dumps({"dataset": "own", "images": records}))
    return PrepareConfig(
        images=folder / "images", voices=folder / "voices", json=folder / "own.json"
    )


SPLIT_OF_SIX = ("train", "train", "train", "train", "val", "test")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train_{}.png"] * 4 + ["val_{}.png", "test_{}.png"], "'test' of image names is the name"),
        (["train_A_{}.png"] * 4 + ["val_A_{}.png", "test_A_{}.png"], "is the name of a split"),
        (["Training{}.png", "pond{}.png"] * 3, "'Training' of image names is the name of a split"),
        (["img_{}.png"] * 6, "all images have the prefix 'img', which tells no classes apart"),
        (["a_{}.png"] * 4 + ["b_{}.png", "c_{}.png"], r"\(a, b, c\) is in one split of its own"),
    ],
)
def test_a_prefix_that_names_no_class_is_refused_with_the_way_out(
    tmp_path: Path, names: list[str], words: str
) -> None:
    images = {
        name.format(number): split
        for number, (name, split) in enumerate(zip(names, SPLIT_OF_SIX, strict=True))
    }
    with pytest.raises(PairingError, match=f"{words}.*--class-lists, or give a CSV.*--table$"):
        prepare("karpathy", tmp_path / "m.csv", own_json(tmp_path, images))


def test_a_prefix_that_is_in_all_splits_is_a_class(tmp_path: Path) -> None:
    names = ["pond_{}.png", "trainstation_{}.png"] * 3
    splits = ("train", "train", "val", "val", "test", "test")
    images = {
        name.format(number): split
        for number, (name, split) in enumerate(zip(names, splits, strict=True))
    }
    summary = prepare("karpathy", tmp_path / "m.csv", own_json(tmp_path, images))
    assert summary.images_by_class == {"pond": 3, "trainstation": 3}


def test_class_lists_give_the_classes_that_prefixes_do_not(tmp_path: Path) -> None:
    images = {f"img_{number}.png": split for number, split in enumerate(SPLIT_OF_SIX)}
    config = own_json(tmp_path, images)
    (tmp_path / "lists").mkdir()
    for label, some in (("pond", list(images)[::2]), ("river", list(images)[1::2])):
        (tmp_path / "lists" / f"{label}.txt").write_text("\n".join(some))
    summary = prepare("karpathy", tmp_path / "m.csv", config, class_lists=tmp_path / "lists")
    assert summary.images_by_class == {"pond": 3, "river": 3}


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("train", "test"), "folder 'test' of image names is the name of a split"),
        (("Dev", "pond"), "folder 'Dev' of image names is the name of a split"),
        (("train_images", "test_images"), "'test_images' of image names is the name of a split"),
        (("pond",), "all images have the folder 'pond', which tells no classes apart"),
    ],
)
def test_a_folder_that_names_no_class_is_refused_with_the_way_out(
    tmp_path: Path, folders: tuple[str, ...], words: str
) -> None:
    for folder in folders:
        (tmp_path / "images" / folder).mkdir(parents=True)
        (tmp_path / "images" / folder / "0.png").touch()
    with pytest.raises(PairingError, match=f"{words}.*with --table$"):
        prepare("folders", tmp_path / "m.csv", images=tmp_path / "images")


def test_every_kind_of_file_that_is_decoded_is_found(tmp_path: Path) -> None:
    images = ["a.jpg", "b.JP2", "c.tiff", "d.png", "e.j2k"]
    voices = ["a.mp3", "b.M4A", "c.webm", "d.aiff", "e.opus"]
    touch(tmp_path / "i", [f"{label}/{name}" for label in ("pond", "lake") for name in images])
    touch(tmp_path / "v", [f"{label}/{name}" for label in ("pond", "lake") for name in voices])
    config = PrepareConfig(images=tmp_path / "i", voices=tmp_path / "v")
    summary = prepare("folders", tmp_path / "m.csv", config)
    assert (summary.images, summary.voices, summary.passed_over) == (10, 10, {})
