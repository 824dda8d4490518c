"""Files of pictures: every format opens, equal data gives equal bytes, names are harmless."""

import csv
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from evaluation_world import ALL, random_codes, results_and_curves
from hostile_names import names
from matplotlib.figure import Figure
from PIL import Image

from ivr.features.atomic_files import InTheWayError
from ivr.pipeline.evaluation.code_pictures import code_pictures
from ivr.pipeline.evaluation.evaluation_pictures import evaluation_pictures
from ivr.pipeline.evaluation.picture_subject import subject_of
from ivr.pipeline.pictures.captions import Subject, caption, title, titled_axes
from ivr.pipeline.pictures.class_precision import (
    MOST_CLASSES,
    ClassPrecision,
    class_precision_rows,
    draw_class_precision,
)
from ivr.pipeline.pictures.confusion import (
    ClassConfusion,
    confusion_rows,
    confusions_size,
    draw_confusions,
)
from ivr.pipeline.pictures.picture_files import (
    EVALUATION,
    FORMATS,
    Picture,
    csv_text,
    svg_text,
    write_picture,
)
from ivr.pipeline.pictures.style import DARK, LIGHT, Theme, new_figure, styled

HOSTILE = (
    "<script>alert(1)</script>",
    r"$\frac$",
    r"\input{/etc/passwd}",
    "a\x1b[2J\nb",
    "\u202etxt.exe",
    "x" * 300,
    "_hidden",
    "森林",
    "غابة",
    "-->",
    "]]>",
    "",
)
SUBJECT = Subject(
    data="my-data",
    methods=("divh",),
    bits=64,
    seeds=(0, 1, 2, 3, 4),
    queries={"image_to_voice": 420, "voice_to_image": 1},
    gallery={"image_to_voice": 420, "voice_to_image": 420},
    protocol="relevance by class; searched: the test split",
    chance={"image_to_voice": 6.04, "voice_to_image": 6.04},
)


def class_precision(classes: tuple[str, ...], ceiling: float = 100) -> list[ClassPrecision]:
    count = len(classes)
    return [
        ClassPrecision(
            label=label,
            classes=classes,
            precision=np.linspace(start, 90, count),
            queries=np.arange(1, count + 1),
            chance=np.full(count, 5.0),
            ceiling=np.full(count, ceiling),
        )
        for label, start in (("image → voice", 10), ("voice → image", 30))
    ]


def picture(classes: tuple[str, ...] = ("beach", "forest"), name: str = "my-data") -> Picture:
    directions = class_precision(classes)
    heading = title("Average precision by class", replace(SUBJECT, data=name))

    def draw(theme: Theme) -> Figure:
        return titled_axes(
            heading,
            lambda axes, theme: draw_class_precision(axes, directions, theme),
            theme,
        )

    words = caption("Average precision by class", replace(SUBJECT, data=name))
    return Picture("by-class", heading, words, class_precision_rows(directions), draw)


def test_every_format_opens(tmp_path: Path) -> None:
    write_picture(tmp_path, picture(), FORMATS)

    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".pdf", ".png", ".svg"]
    with Image.open(tmp_path / "by-class.png") as image:
        image.load()
        assert image.size == (870, 600)
        corner = image.convert("RGBA").getpixel((0, 0))
        assert image.text["Title"] == picture().title  # type: ignore[attr-defined]
    assert corner == (255, 255, 255, 255)
    pdf = (tmp_path / "by-class.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"/FontFile2" in pdf  # a TrueType font is embedded
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    root = ElementTree.parse(tmp_path / "by-class.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_text_of_an_svg_is_text(tmp_path: Path) -> None:
    root = ElementTree.fromstring(svg_text(picture()))
    texts = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}

    assert {"beach, n = 1", "forest, n = 2", "mean average precision, %"} <= texts


def test_equal_data_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_picture(tmp_path / name, picture(), FORMATS)
    for kind in (*FORMATS, "csv"):
        one, two = ((tmp_path / name / f"by-class.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two, kind


def test_an_svg_for_a_page_has_a_clear_background_and_the_colours_of_its_theme() -> None:
    light, dark = svg_text(picture(), LIGHT), svg_text(picture(), DARK)

    for text, theme, other in ((light, LIGHT, DARK), (dark, DARK, LIGHT)):
        assert text.startswith("<svg")
        assert theme.lines[0] in text
        assert theme.ink in text
        assert other.lines[0] not in text
        assert theme.paper not in text.partition("axes_1")[0]  # nothing is painted behind it


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_drawn_as_they_are_and_break_no_format(tmp_path: Path, name: str) -> None:
    made = picture((name, "beach"), name)
    write_picture(tmp_path, made, FORMATS)
    root = ElementTree.parse(tmp_path / "by-class.svg").getroot()

    assert not [node for node in root.iter() if node.tag.endswith(("script", "foreignObject"))]
    texts = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    (row,) = (text for text in texts if text.endswith(", n = 1"))
    assert len(row) < 60
    assert not any(ord(letter) < 32 or letter == "\u202e" for letter in row + made.title)
    if name and name.isprintable() and len(name) < 20:
        assert row == f"{name}, n = 1"
    with Image.open(tmp_path / "by-class.png") as image:
        assert image.size == (870, 600)
    with (tmp_path / "by-class.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["class"] == name  # the data keeps the whole name


def test_the_data_is_that_of_the_picture() -> None:
    directions = class_precision(("beach", "forest"), ceiling=80)
    rows = list(csv.DictReader(StringIO(csv_text(class_precision_rows(directions)))))

    assert [(row["line"], row["class"]) for row in rows] == [
        ("image → voice", "beach"), ("image → voice", "forest"),
        ("voice → image", "beach"), ("voice → image", "forest"),
    ]  # fmt: skip
    assert [float(row["average_precision"]) for row in rows] == [10, 90, 30, 90]
    assert {(row["queries"], row["ceiling"]) for row in rows} == {
        ("1", "80.0000"),
        ("2", "80.0000"),
    }


def test_unknown_numbers_are_empty_in_the_data() -> None:
    assert csv_text([{"a": None, "b": float("nan"), "c": 1, "d": 0.5}]) == "a,b,c,d\n,,1,0.5000\n"
    assert csv_text([]) == ""


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "by-class.pdf").write_text("my notes")
    with pytest.raises(InTheWayError, match="holds something else than a PDF file"):
        write_picture(tmp_path, picture(), ["pdf"])
    write_picture(tmp_path, picture(), ["svg"])
    write_picture(tmp_path, picture(), ["svg"])  # its own kind is


def test_without_formats_only_the_data_is_written(tmp_path: Path) -> None:
    write_picture(tmp_path, picture(), [])
    assert [path.name for path in tmp_path.iterdir()] == ["by-class.csv"]


def test_titles_are_neutral_and_captions_say_data_n_method_bits_seeds_and_chance() -> None:
    several = replace(SUBJECT, methods=("divh", "lsh"))
    kind = "Precision over retrieved items"

    assert title(kind, several) == "Precision over retrieved items, my-data, 64 bits, 5 seeds"
    assert title(kind, replace(SUBJECT, seeds=(3,))) == (
        "Precision over retrieved items, my-data, divh, 64 bits, seed 3"
    )
    words = caption(kind, several, "Dotted: chance")
    assert words == (
        "Precision over retrieved items, my-data, divh, lsh, 64 bits, 5 seeds. "
        "image → voice: 420 queries on 420 items, chance mAP 6.0 %; "
        "voice → image: 1 query on 420 items, chance mAP 6.0 %. "
        "Relevance by class; searched: the test split. Dotted: chance."
    )


def test_of_very_many_classes_the_best_and_the_worst_are_shown_and_all_are_in_the_data() -> None:
    names = tuple(f"class {number}" for number in range(200))
    directions = class_precision(names)
    with styled():
        axes = new_figure(6, 14).subplots()
        draw_class_precision(axes, directions)
    shown = [text.get_text().partition(",")[0] for text in axes.get_yticklabels()]

    assert len(shown) == MOST_CLASSES
    assert (shown[0], shown[-1]) == ("class 199", "class 0")
    assert len(class_precision_rows(directions)) == 400


def confusion(ceiling: list[float] | None) -> ClassConfusion:
    return ClassConfusion(
        label="voice → image",
        classes=("a", "b"),
        share=np.array([[55.0, 45.0], [10.0, 50.0]]),
        queries=np.array([6, 5]),
        ceiling=None if ceiling is None else np.array(ceiling),
        chance=np.array([70.0, 30.0]),
        nearest=10,
    )


@pytest.mark.parametrize(("ceiling", "columns"), [([60.0, 50.0], 3), ([100.0, 100.0], 2)])
def test_a_confusion_shows_the_ceiling_of_its_diagonal_and_chance(
    ceiling: list[float], columns: int
) -> None:
    shown = [confusion(ceiling)]
    with styled():
        sheet = new_figure(*confusions_size(shown))
        panels = [sheet.subplots()]
        draw_confusions(panels, shown)
    labels = [text.get_text() for text in panels[0].get_xticklabels()]
    numbers = [text.get_text() for text in panels[0].texts]

    assert (labels == ["a", "b", "ceiling"]) == (columns == 3)
    assert [text.get_text() for text in panels[0].get_yticklabels()] == [
        "a, n = 6", "b, n = 5", "chance",
    ]  # fmt: skip
    assert numbers[-2:] == ["70", "30"]
    assert ("60" in numbers) == (columns == 3)
    image = panels[0].images[0]
    assert image.norm.vmax == max(ceiling)  # a perfect ranking is the darkest shade
    bar = sheet.axes[1].get_ylabel()
    assert bar == ("percent; at most 60 can be reached" if columns == 3 else "percent")
    assert confusion_rows(shown)[0] == {
        "line": "voice → image", "class": "a", "found": "a", "share": 55.0, "queries": 6,
        "ceiling": ceiling[0], "chance": 70.0,
    }  # fmt: skip


def test_a_caption_names_a_column_of_ceilings_only_where_one_is_drawn() -> None:
    for images, drawn in ((9, True), (120, False)):
        results, curves = results_and_curves(random_codes(0, images=images), ALL)
        (picture,) = (
            one for one in code_pictures(subject_of(results), results) if one.name == "confusion"
        )
        with styled():
            panel = picture.draw(LIGHT).axes[0]
        labels = [text.get_text() for text in panel.get_xticklabels()]
        assert ("ceiling" in labels) is drawn
        assert ("Right column: the ceiling" in picture.caption) is drawn
        (line,) = (
            one for one in evaluation_pictures(results, curves) if one.name == "precision-recall"
        )
        assert "One line for both directions, which count the same pairs" in line.caption
        assert "The shade follows the square root of the percentage" in picture.caption


def test_precision_and_recall_by_query_are_a_picture_of_their_own() -> None:
    results, curves = results_and_curves(random_codes(0, images=9), ALL)
    found = {one.name: one for one in evaluation_pictures(results, curves)}
    assert set(found) <= set(EVALUATION)
    pooled, by_query = found["precision-recall"], found["precision-recall-by-query"]
    assert "pooled over the queries" in pooled.caption
    assert "has precision 0" not in pooled.caption
    assert "mean over the queries" in by_query.title
    assert "A query with no item within the radius has precision 0" in by_query.caption
    points = curves["image_to_voice"].by_query
    assert points is not None
    rows = [row for row in by_query.rows if row["line"].startswith("image")]
    assert [row["at"] for row in rows] == points.radius.tolist()
    assert [row["precision"] for row in rows] == pytest.approx((100 * points.precision).tolist())
    assert [row["precision"] for row in pooled.rows] != [row["precision"] for row in by_query.rows]


def test_a_class_without_queries_is_drawn_empty() -> None:
    shown = [replace(confusion(None), share=np.array([[np.nan, np.nan], [10.0, 90.0]]))]
    with styled():
        sheet = new_figure(*confusions_size(shown))
        draw_confusions([sheet.subplots()], shown)
        sheet.savefig(BytesIO(), format="png")


def test_very_many_hostile_names_break_no_picture(tmp_path: Path) -> None:
    some = [name for name in names(120) if name.strip()]
    for place in range(0, len(some), 20):
        part = tuple(dict.fromkeys(some[place : place + 20]))
        made = picture(part, name=part[0])
        text = svg_text(made)
        root = ElementTree.fromstring(text)
        told = "".join(root.itertext())
        assert not set(told) & set("\x00\x07\x1b\u200b\u202e\u2066")
        assert {one.tag.rpartition("}")[2] for one in root.iter()} <= {
            one.tag.rpartition("}")[2] for one in ElementTree.fromstring(svg_text(picture())).iter()
        } | {"style"}
    write_picture(tmp_path, made, FORMATS)
