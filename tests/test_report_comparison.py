"""``ivr report`` on a comparison: the table, the curves, and two methods side by side."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import assert_one_line, merged, succeeded
from conftest import ivr as command
from report_page import Element, hits_of, read_page

import ivr
from ivr.pipeline.comparison.evaluated_runs import CompareError
from ivr.pipeline.evaluation.per_query import read_queries
from ivr.pipeline.report.evaluated_run import PageError

QUICK = (
    "--bits", "8", "--device", "cpu", "--seeds", "2", "--epochs", "1",
    "--set", "divh.network.voice_channels=4", "--set", "divh.network.voice_stride=1",
    "--set", "divh.network.voice_kernel=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def comparison(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared") / "comparison"
    options = merged(QUICK, "--methods", "divh,lsh")
    succeeded(command("compare", features, "--out", folder, *options))
    return folder


@pytest.fixture(scope="module")
def page(comparison: Path, tmp_path_factory: pytest.TempPathFactory) -> Element:
    path = tmp_path_factory.mktemp("page") / "report.html"
    ivr.report(comparison, path)
    return read_page(path)


def test_the_table_has_every_row_and_marks_the_best_by_more_than_colour(
    comparison: Path, page: Element
) -> None:
    lines = json.loads((comparison / "compare.json").read_text())["lines"]
    table = page.one(id="summary").all("table")[0]
    rows = table.one("tbody").all("tr")
    assert [row.one("th").text for row in rows][:2] == ["divh", "lsh"]
    marked = [cell for cell in table.all("td") if "best:" in cell.text]
    assert marked
    assert all("★" in cell.text and cell.one("b") for cell in marked)
    key = "voice_to_image.mAP"
    best = max(
        (line for line in lines if line["kind"] == "measured"), key=lambda x: x["figures"][key]
    )
    row = next(row for row in rows if row.one("th").text == best["method"])
    cell = row.all("td", class_="best-value")[0]
    assert cell.text.startswith(f"★best:{best['figures'][key]:.0f}"[:8])


def test_the_same_query_is_answered_by_both_methods(comparison: Path, page: Element) -> None:
    names = {
        line["method"]: comparison / line["evaluations"]["0"]
        for line in json.loads((comparison / "compare.json").read_text())["lines"]
        if line["kind"] == "measured"
    }
    pairs = page.all("article", class_="pair")
    assert pairs
    for pair in pairs:
        direction = pair.attributes["data-direction"]
        values = []
        for side in pair.one("div", class_="sides").all("section"):
            method = side.attributes["aria-label"].partition(",")[0]
            shown = float(side.one("h4").text.split("AP ")[1].split(" %")[0])
            values.append(shown)
            recorded = read_queries(names[method] / "queries.h5")[direction].average_precision
            assert abs(100 * recorded - shown).min() < 0.06
            assert len(hits_of(side)) == min(10, len(recorded))
        difference = float(pair.attributes["data-ap"])
        assert difference == pytest.approx(values[0] - values[1], abs=0.11)
        assert (pair.attributes["data-better"] == "first") is (difference > 0)
    gaps = [abs(float(pair.attributes["data-ap"])) for pair in pairs]
    assert min(gaps) > 0


def test_the_curves_of_all_methods_are_in_one_picture(page: Element) -> None:
    figure = page.one(id="pictures").one("figure")
    assert "divh" in figure.one("figcaption").text
    assert {link.text for link in figure.all("a")} == {"SVG", "PDF", "data as CSV"}


def test_other_methods_can_be_chosen_and_an_unknown_one_is_named(
    comparison: Path, tmp_path: Path
) -> None:
    ivr.report(comparison, tmp_path / "report.html", methods=("lsh", "divh"))
    pair = read_page(tmp_path / "report.html").all("article", class_="pair")[0]
    sides = pair.one("div", class_="sides").all("section")
    assert [side.attributes["aria-label"] for side in sides] == ["lsh", "divh"]
    result = command("report", comparison, "--methods", "divh,csq", "--out", tmp_path / "r.html")
    assert_one_line(result, "no row 'csq'; there are divh; lsh")


def test_a_table_that_leads_elsewhere_is_refused(comparison: Path, tmp_path: Path) -> None:
    other = tmp_path / "comparison"
    shutil.copytree(comparison, other)
    table = json.loads((other / "compare.json").read_text())
    table["lines"][0]["evaluations"] = {"0": "../../../etc"}
    (other / "compare.json").write_text(json.dumps(table))
    with pytest.raises(PageError, match="which is no run in it"):
        ivr.report(other, tmp_path / "report.html")


def test_a_table_of_an_earlier_version_says_what_to_call(comparison: Path, tmp_path: Path) -> None:
    other = tmp_path / "comparison"
    shutil.copytree(comparison, other)
    table = json.loads((other / "compare.json").read_text())
    del table["heads"]
    (other / "compare.json").write_text(json.dumps(table))
    with pytest.raises(CompareError, match="call the same ivr compare again"):
        ivr.report(other, tmp_path / "report.html")


def test_every_format_of_the_table_tells_the_epochs(comparison: Path) -> None:
    told = (
        "Not the default number of epochs: divh 1 (default 120).",
        "the last epoch was the best",
    )
    for ending in ("md", "tex", "json"):
        text = " ".join((comparison / f"compare.{ending}").read_text().split())
        assert all(words in text for words in told), ending
    assert "lsh 1" not in (comparison / "compare.md").read_text()
