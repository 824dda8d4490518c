"""``ivr report`` on a comparison: the table, the curves, and two methods side by side."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import assert_one_line, merged, succeeded
from conftest import ivr as command
from report_page import Element, hits_of, read_page

import ivr
from ivr.pipeline.comparison.evaluated_runs import CompareError
from ivr.pipeline.evaluation.per_query import read_queries
from ivr.pipeline.report import report as report_module
from ivr.pipeline.report.compared import _chosen, read_comparison
from ivr.pipeline.report.compared_table import aligned, unbroken
from ivr.pipeline.report.comparison_page import Pair, comparison_pairs
from ivr.pipeline.report.evaluated_run import PageError
from ivr.pipeline.report.report_config import ReportConfig
from ivr.pipeline.runs.run_folder import read_json

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
    table = page.one(id="methods").all("table")[0]
    assert table.one("caption").text.startswith("Voice finds images (V→I), percent:")
    rows = table.one("tbody").all("tr")
    assert [row.one("th").text for row in rows][:2] == ["divh", "lsh"]
    marked = [cell for cell in table.all("td") if "best mean" in cell.text]
    assert marked
    assert all("★" in cell.text and cell.one("b") for cell in marked)
    key = "voice_to_image.mAP"
    best = max(
        (line for line in lines if line["kind"] == "measured"), key=lambda x: x["figures"][key]
    )
    row = next(row for row in rows if row.one("th").text == best["method"])
    cell = row.all("td", class_="best-value")[0]
    assert cell.text.startswith(f"{best['figures'][key]:.0f}"[:8])


def test_ranks_are_said_to_be_no_percentages(features: Path, tmp_path: Path) -> None:
    methods = ("--methods", "lsh,cca_sign", "--bits", 8, "--seeds", 1, "--device", "cpu")
    succeeded(command("compare", features, "--out", tmp_path / "c", *methods, "--protocol", "pair"))
    ivr.report(tmp_path / "c", tmp_path / "report.html")
    table = read_page(tmp_path / "report.html").one(id="methods").all("table")[0]
    assert "percent (mean rank, median rank: rank of the" in table.one("caption").text
    heads = [head.text for head in table.one("thead").all("th")]
    lines = json.loads((tmp_path / "c" / "compare.json").read_text())["lines"]
    key = "voice_to_image.mean rank"
    ranks = [line["figures"][key] for line in lines if line["kind"] == "measured"]
    assert [key in line["best"] for line in lines][:2] == [rank == min(ranks) for rank in ranks]
    for row, rank in zip(table.one("tbody").all("tr"), ranks, strict=False):
        cell = row.all("td")[heads.index("mean rank") - 1].text.replace("\u2007", "")
        assert cell.startswith(f"{rank:.2f}") and ("★" in cell) == (rank == min(ranks))


def test_what_all_rows_share_is_in_the_caption_and_takes_no_column(page: Element) -> None:
    table = page.one(id="methods").all("table")[0]
    heads = [head.text for head in table.one("thead").all("th")]
    assert heads[:2] == ["method", "mAP"]
    assert "8 bits, ranked by codes, seeds per row: 2" in table.one("caption").text


def test_the_first_lines_say_which_row_is_best_and_by_how_much(
    comparison: Path, page: Element
) -> None:
    lines = json.loads((comparison / "compare.json").read_text())["lines"]
    figures = {line["method"]: line["figures"] for line in lines if line["kind"] == "measured"}
    ways = ("voice_to_image", "image_to_voice")
    second, best = sorted(figures, key=lambda name: sum(figures[name][f"{w}.mAP"] for w in ways))
    values = " / ".join(f"{figures[best][f'{way}.mAP']:.1f}" for way in ways)
    text = page.one(id="summary").text
    assert f"{best} is best by mean mAP of both directions: {values} %" in text
    apart = -figures[second]["voice_to_image.difference"]
    low, high = (-figures[second][f"voice_to_image.difference.{e}"] for e in ("high", "low"))
    assert f"ahead of {second} by {apart:.1f} [{low:.1f} to {high:.1f}] / " in text
    within = any(figures[second][f"{way}.difference.high"] >= 0 for way in ways)
    assert ("is not certain" in text) is within
    assert "Each row has 2 trainings" in text
    assert "Only 2 trainings per row" in page.one(id="limits").text


def test_epochs_that_are_not_the_default_or_still_rise_are_warned_of(page: Element) -> None:
    warned = [one.text for one in page.one(id="summary").all("p", class_="warn")]
    assert "Take care: Not the default number of epochs: divh 1 (default 120)." in warned
    assert any(
        "the last epoch has the best validation mAP in divh (2 of 2 runs)" in text
        for text in warned
    )
    assert not any("Still rising" in note.text for note in page.one(id="notes").all("li"))


def test_what_was_run_has_a_column_per_row(comparison: Path, page: Element) -> None:
    table = page.one(id="run").all("table")[0]
    assert [head.text for head in table.one("thead").all("th")] == ["", "divh", "lsh"]
    told = {
        row.one("th").text: [c.text for c in row.all("td")] for row in table.one("tbody").all("tr")
    }
    assert told["Epochs"] == ["1 (default 120)", "none: computed in one step, or no history"]
    changed = told["Options other than the defaults"]
    assert set(changed[0].split("; ")) == {
        "network.voice_channels=4", "network.voice_stride=1", "network.voice_kernel=3",
        "training.epochs=1",
    }  # fmt: skip
    assert changed[1] == "none"
    for line in json.loads((comparison / "compare.json").read_text())["lines"][:2]:
        for seed, place in line["evaluations"].items():
            results = json.loads((comparison / place / "results.json").read_text())
            digest = results["codes"]["model_sha256"]
            assert digest in told[f"sha256 of the model, seed {seed}"]


def test_all_queries_are_counted_by_the_method_that_is_ahead(
    comparison: Path, page: Element
) -> None:
    lines = json.loads((comparison / "compare.json").read_text())["lines"]
    places = {line["method"]: line["evaluations"] for line in lines if line["evaluations"]}
    table = page.one(id="pairs").all("table")[0]
    first = table.one("thead").all("th")[1].text.removesuffix(" ahead")
    second = next(name for name in places if name != first)
    one, other = (read_queries(comparison / places[n]["0"] / "queries.h5") for n in (first, second))
    for row, way in zip(
        table.one("tbody").all("tr"), ("voice_to_image", "image_to_voice"), strict=True
    ):
        theirs = dict(zip(other[way].names, other[way].average_precision, strict=True))
        gaps = [
            value - theirs[name]
            for name, value in zip(one[way].names, one[way].average_precision, strict=True)
        ]
        ahead, behind = sum(gap > 1e-9 for gap in gaps), sum(gap < -1e-9 for gap in gaps)
        assert [cell.text for cell in row.all("td")] == [
            str(ahead), str(len(gaps) - ahead - behind), str(behind)
        ]  # fmt: skip


def test_points_and_signs_of_numbers_align() -> None:
    digit, point = "\u2007", "\u2008"
    assert aligned(["92.50 ± 0.42", "88.2 ± 2.7", "6.04", "62 ± 18", "", "-4.0 [-5, -3]"]) == [
        "92.50 ± 0.42", f"88.2{digit} ± 2.7", f"{digit}6.04", f"62{point}{digit}{digit} ± 18", "",
        "-4.0 [-5, -3]",
    ]  # fmt: skip
    assert unbroken("UC, 64 bits, 2 seeds, n = 420") == (
        "UC, 64\u00a0bits, 2\u00a0seeds, n\u00a0=\u00a0420"
    )


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
        names_of = [side.attributes["aria-label"] for side in pair.all("section")]
        ahead = names_of[0 if difference > 0 else 1]
        assert f"{ahead} is ahead by {abs(difference):.1f} points" in pair.one(class_="meta").text
        assert difference == pytest.approx(values[0] - values[1], abs=0.11)
        assert (pair.attributes["data-better"] == "first") is (difference > 0)
    gaps = [abs(float(pair.attributes["data-ap"])) for pair in pairs]
    assert min(gaps) > 0
    assert gaps == sorted(gaps, reverse=True)
    told = page.one(id="pairs").all("table")[0].one("tbody").all("tr")
    shown = {(pair.attributes["data-direction"], pair.attributes["data-better"]) for pair in pairs}
    for row, way in zip(told, ("voice_to_image", "image_to_voice"), strict=True):
        ahead, _, behind = (int(cell.text) for cell in row.all("td"))
        assert ((way, "first") in shown) == (ahead > 0)
        assert ((way, "second") in shown) == (behind > 0)
    assert shown
    assert "the greatest difference first" in page.one(id="pairs").text


def test_the_order_of_the_methods_turns_the_sign_and_changes_nothing_else(
    comparison: Path,
) -> None:
    found = read_comparison(comparison, ReportConfig())
    (first, second), turned = found.sides, replace(found, sides=found.sides[::-1])
    ways = {}
    for name, sides in (("as it is", found), ("turned", turned)):
        pairs = comparison_pairs(sides, ReportConfig())
        ways[name] = {(pair.direction, pair.anchor): pair.difference for pair in pairs}
    assert first != second
    assert ways["as it is"]
    assert ways["turned"] == {key: -apart for key, apart in ways["as it is"].items()}


def test_right_hits_are_counted_by_their_mean_over_ties(
    comparison: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(*given: Any) -> list[Pair]:
        first, second = comparison_pairs(*given)[:2]
        cards = [replace(card, right=2, expected=1.4) for _, card in first.sides]
        tied = tuple(zip((name for name, _ in first.sides), cards, strict=True))
        cards = [replace(card, right=2, expected=2.0) for _, card in second.sides]
        sure = tuple(zip((name for name, _ in second.sides), cards, strict=True))
        return [replace(first, sides=tied), replace(second, sides=sure)]

    monkeypatch.setattr(report_module, "comparison_pairs", pairs)
    monkeypatch.setattr(report_module, "comparison_pictures", lambda _: [])
    ivr.report(comparison, tmp_path / "report.html")
    tied, sure = read_page(tmp_path / "report.html").all("article", class_="pair")
    heads = [side.one("h4").text for side in tied.all("section") + sure.all("section")]
    ends = [head.rpartition(" · ")[2] for head in heads]
    count = len(hits_of(tied.all("section")[0]))
    assert ends[:2] == 2 * [f"1.4 of the first {count} right, mean over ties"]
    assert ends[2:] == 2 * [f"2 of the first {count} right"]


def test_differences_by_class_are_the_first_method_less_the_second(
    comparison: Path, page: Element
) -> None:
    lines = json.loads((comparison / "compare.json").read_text())["lines"]
    table = page.one("details", class_="by-class").one("table")
    first, second = (cell.text.rpartition(" ")[0] for cell in table.one("thead").all("th")[1:3])
    results = {
        line["method"]: read_json(comparison / line["evaluations"]["0"] / "results.json")
        for line in lines
        if line["evaluations"]
    }
    for row in table.one("tbody").all("tr"):
        cells = [cell.text for cell in row.all("td")]
        for way, some in (("voice_to_image", cells[:3]), ("image_to_voice", cells[3:])):
            label = row.one("th").text
            ours, theirs = (results[name][way]["per_class"][label] for name in (first, second))
            assert some[:2] == [f"{ours:.1f}", f"{theirs:.1f}"]
            assert float(some[2]) == pytest.approx(ours - theirs, abs=0.06)


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
        "the last epoch has the best validation mAP",
    )
    for ending in ("md", "tex", "json"):
        text = " ".join((comparison / f"compare.{ending}").read_text().split())
        assert all(words in text for words in told), ending
    assert "lsh 1" not in (comparison / "compare.md").read_text()


def test_the_two_rows_with_the_best_mean_of_both_directions_stand_side_by_side() -> None:
    values = {"poor": (10, 20), "best": (90, 70), "one way": (99, 1), "second": (60, 80)}
    rows: dict[str, Any] = {
        name: {"figures": {"voice_to_image.mAP": one, "image_to_voice.mAP": other}}
        for name, (one, other) in values.items()
    }
    assert _chosen(rows, (), Path("compare.json")) == ("best", "second")
    assert _chosen({"best": rows["best"]}, (), Path("compare.json")) is None
