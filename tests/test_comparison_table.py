"""Tables of figures over seeds, and the forms they are written in, from results made by hand."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivr.hashing.bootstrap import paired_bootstrap
from ivr.hashing.cutoff_metrics import precision_at
from ivr.hashing.metrics import METRICS, Metric
from ivr.pipeline.comparison.columns import (
    Column,
    chosen_columns,
    default_columns,
    retrieval_columns,
)
from ivr.pipeline.comparison.compare import chosen_config
from ivr.pipeline.comparison.compare_config import CompareConfig
from ivr.pipeline.comparison.comparison_table import comparison_table, metrics_of
from ivr.pipeline.comparison.differences import gaps_to
from ivr.pipeline.comparison.evaluated_runs import ComparisonRow, Evaluation
from ivr.pipeline.comparison.grid import Grid, GridRow
from ivr.pipeline.comparison.table import Spread, Table, TableRow
from ivr.pipeline.comparison.table_formats import (
    as_csv,
    as_json,
    as_latex,
    as_markdown,
    as_text,
    write_table_files,
)
from ivr.pipeline.comparison.table_notes import query_counts
from ivr.pipeline.comparison.variants import Variant
from ivr.pipeline.datasets.published_results import Kind, published_results
from ivr.pipeline.evaluation.per_query import QueryMetrics
from ivr.pipeline.extraction.feature_dataset import STREAMS

DIRECTIONS = ("image_to_voice", "voice_to_image")
CUTOFFS = [f"{letter}@{k}" for letter in "PRF" for k in (1, 5, 10)]
COLUMNS = retrieval_columns(("mAP",))


def evaluation(
    average_precision: Sequence[float],
    names: Sequence[str],
    images: Sequence[str] = (),
    dataset: str | None = None,
) -> Evaluation:
    """Both directions have the same average precisions, in [0, 1]."""
    queries = QueryMetrics(tuple(names), tuple(images or names), np.array(average_precision))
    figures = dict.fromkeys(CUTOFFS, 50.0) | {"mAP": 100 * float(np.mean(average_precision))}
    results: dict[str, Any] = {direction: figures | {"queries": 4, "gallery": 4}
                               for direction in DIRECTIONS}  # fmt: skip
    results["chance"] = dict.fromkeys(DIRECTIONS, dict.fromkeys(["mAP", *CUTOFFS], 5.0))
    results["dataset"] = dataset
    results["protocol"] = {"relevance": "class"}
    results["features"] = {"images": {"encoder": "tiny"}}
    return Evaluation(Path("nowhere"), results, dict.fromkeys(DIRECTIONS, queries))


def line(
    method: str, evaluations: Mapping[int, Evaluation], bits: int = 16, distance: str = "hamming"
) -> ComparisonRow:
    row = GridRow(Variant(method, method), bits, STREAMS, "one")
    return ComparisonRow(row, distance, False, evaluations)


def table_of(lines: Sequence[ComparisonRow], **more: Any) -> Table:
    grid = Grid((Variant("lsh", "lsh"),), seeds=(0, 1))
    figures = [metrics_of(one, COLUMNS) for one in lines]
    return comparison_table("A title", grid, lines, COLUMNS, figures, **more)


def two_lines() -> list[ComparisonRow]:
    """Two seeds of two queries; csq is ahead of dtbh by 0.5 and 0.25 of a query."""
    return [
        line("csq", {0: evaluation([1.0, 0.5], "ab"), 1: evaluation([0.5, 0.5], "bc")}),
        line("dtbh", {0: evaluation([0.5, 0.5], "ab"), 1: evaluation([0.5, 0.25], "bc")}),
    ]


TEXT = """\
A title

method       mAP I→V      mAP V→I
csq          62 ± 18*     62 ± 18*
dtbh [1]  43.8 ± 8.8+  43.8 ± 8.8+
chance          5.00         5.00
"""


def test_text_has_means_and_deviations_over_seeds_and_chance() -> None:
    # csq: 75 and 50, mean 62.5, deviation 25 / sqrt 2; dtbh: 50 and 37.5.
    assert as_text(table_of(two_lines())).startswith(TEXT)


def test_what_all_rows_share_stands_in_the_notes_and_in_csv() -> None:
    table = table_of(two_lines())
    assert (
        "16 bits, ranked by codes, trained on one voice per image; mean ± standard deviation"
        in (" ".join(as_text(table).split()))
    )
    assert "deviation (n - 1) over 2 seeds." in " ".join(as_text(table).split())
    (first, *_) = csv.DictReader(io.StringIO(as_csv(table)))
    assert (first["bits"], first["ranked by"], first["seeds"]) == ("16", "codes", "2")
    longer = line("csq", two_lines()[0].evaluations, bits=32)
    assert "| method | bits | mAP I→V |" in as_markdown(table_of([*two_lines(), longer]))


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (97.333, 0.2149, "97.33 ± 0.21"),
        (97.333, 1.2449, "97.3 ± 1.2"),
        (97.333, 0.996, "97.3 ± 1.0"),
        (97.333, 9.96, "97 ± 10"),
        (97.333, 0.0021, "97.33 ± 0.00"),
        (97.333, 0.0, "97.33 ± 0.00"),
        (97.333, 123.4, "97 ± 123"),
        (97.333, None, "97.33"),
    ],
)
def test_the_deviation_decides_the_digits(mean: float, deviation: float | None, text: str) -> None:
    assert Spread(mean, deviation).text == text


def test_markdown_and_latex_set_the_best_in_bold_and_escape() -> None:
    lines = two_lines()
    markdown = as_markdown(table_of(lines)).splitlines()
    assert markdown[:6] == [
        "### A title",
        "",
        "| method | mAP I→V | mAP V→I |",
        "| --- | --- | --- |",
        "| csq | **62 ± 18** | **62 ± 18** |",
        "| dtbh [1] | *43.8 ± 8.8* | *43.8 ± 8.8* |",
    ]
    other = line("greedy_hash", lines[1].evaluations)
    latex = as_latex(table_of([lines[0], other])).splitlines()
    (place,) = (number for number, text in enumerate(latex) if text.startswith("csq &"))
    # What a number lacks is as wide as a digit, so that points and signs of ± are aligned.
    best = r"\textbf{62\phantom{.00} $\pm$ 18}\phantom{.0}"
    assert latex[place] == rf"csq & {best} & {best} \\"
    second = r"\underline{43.8\phantom{0} $\pm$ \phantom{0}8.8}"
    assert latex[place + 1].startswith(rf"greedy\_hash & {second} &")
    rows = latex[place:]
    assert rows[2] == r"\addlinespace" and rows[3].startswith("chance & 5.00\\phantom{ ")


def test_no_footnote_is_taken_for_the_length_of_a_line_break_by_latex() -> None:
    lines = as_latex(table_of(two_lines())).splitlines()
    (note,) = (place for place, line in enumerate(lines) if line.startswith("[1] dtbh is"))
    assert lines[note - 1].endswith(r"\par")


def test_csv_and_json_hold_every_value() -> None:
    table = table_of(two_lines())
    first, second, chance = csv.DictReader(io.StringIO(as_csv(table)))
    assert first["image_to_voice.mAP"] == "62.5"
    assert float(first["image_to_voice.mAP.deviation"]) == pytest.approx(25 / 2**0.5, abs=1e-3)
    assert (second["kind"], second["image_to_voice.difference"]) == ("measured", "-18.75")
    assert second["image_to_voice.difference.seeds_ahead"] == "0"
    assert second["note"].startswith("dtbh is a reconstruction, from the abstract")
    assert (chance["kind"], chance["image_to_voice.mAP"]) == ("chance", "5")
    values = as_json(table)["lines"][1]["figures"]
    assert values["image_to_voice.difference"] == pytest.approx(-18.75)
    assert set(values) == {name for name, text in second.items() if text and "." in name}


def test_one_seed_has_no_deviation() -> None:
    table = table_of([line("csq", {0: evaluation([1.0, 0.5], "ab")})])
    assert "csq       75.00    75.00" in as_text(table)
    assert "Fewer finished seeds than asked for (2): csq, 16 bits." in as_text(table)
    assert "image_to_voice.mAP.deviation" not in as_csv(table)


def test_the_best_and_the_reference_are_those_of_as_many_bits() -> None:
    good, poor = ({0: evaluation(values, "ab")} for values in ([1.0, 1.0], [0.5, 0.5]))
    lines = [line("csq", poor, 16), line("lsh", good, 16), line("csq", poor, 32)]
    lines.append(line("lsh", {0: evaluation([0.25, 0.25], "ab")}, 32))
    rows = table_of(lines).rows[:4]
    assert [row.cells["image_to_voice.mAP"].best for row in rows] == [False, True, True, False]
    assert ["image_to_voice.difference" in row.cells for row in rows] == [True, False, False, True]
    notes = " ".join(table_of(lines).notes)
    best = "the best by the mean of the mAP of both directions"
    assert f"those of mAP from lsh (16 bits), csq (32 bits), {best}, in points" in notes
    named = table_of(lines, reference="lsh")
    assert "image_to_voice.difference" in named.rows[2].cells
    assert "those of mAP from lsh (16 bits), lsh (32 bits), in points" in " ".join(named.notes)


def test_a_line_without_a_finished_run_is_empty_and_no_reference() -> None:
    lines = [line("csq", {}), *two_lines()[1:]]
    assert "csq       0" in as_text(table_of(lines)).splitlines()
    assert "difference" not in as_csv(table_of(lines))


def test_queries_are_paired_by_name_whatever_their_order() -> None:
    ours = line("csq", {0: evaluation([0.9, 0.1, 0.5], "abc")})
    theirs = line("lsh", {0: evaluation([0.4, 0.1, 0.7], ["c", "b", "a"])})
    gap = gaps_to(ours, theirs)["image_to_voice"]
    (expected,) = paired_bootstrap(
        100 * np.array([[0.2], [0.0], [0.1]]), np.arange(3), np.random.default_rng(0)
    )
    assert gap.difference.mean == pytest.approx(expected.mean) == pytest.approx(10)
    assert (gap.difference.low, gap.difference.high) == pytest.approx((expected.low, expected.high))
    assert (gap.ahead, gap.seeds) == (1, 1)


def test_queries_of_one_image_are_drawn_together_in_all_seeds() -> None:
    voices = {0: ["a1", "a2", "b1"], 1: ["a1", "b2", "c1"]}
    images = {seed: [name[0] for name in names] for seed, names in voices.items()}
    ours, theirs = (
        line("csq", {seed: evaluation(values[seed], voices[seed], images[seed]) for seed in (0, 1)})
        for values in ({0: [0.9, 0.8, 0.3], 1: [0.7, 0.2, 0.4]}, {0: [0.1] * 3, 1: [0.1] * 3})
    )
    (expected,) = paired_bootstrap(
        100 * np.array([[0.8], [0.7], [0.2], [0.6], [0.1], [0.3]]),
        np.array([0, 0, 1, 0, 1, 2]),
        np.random.default_rng(0),
    )
    found = gaps_to(ours, theirs)["voice_to_image"].difference
    assert (found.mean, found.low, found.high, found.p) == pytest.approx(
        (expected.mean, expected.low, expected.high, expected.p)
    )


def test_only_seeds_and_queries_that_both_have_are_compared() -> None:
    ours = line("csq", {0: evaluation([0.5, np.nan], "ab"), 1: evaluation([1.0], "a")})
    theirs = line("lsh", {0: evaluation([0.25, 0.5], "ab"), 2: evaluation([0.0], "a")})
    gap = gaps_to(ours, theirs)["image_to_voice"]
    assert (gap.difference.mean, gap.seeds) == (25, 1)


def test_published_rows_stand_under_a_known_data_set_marked_as_recorded() -> None:
    evaluations = {0: evaluation([1.0, 0.5], "ab", dataset="ucm")}
    columns = retrieval_columns(("mAP", "P@5"))
    grid = Grid((Variant("lsh", "lsh"),), seeds=(0,))
    lines = [line("csq", evaluations)]
    figures = [metrics_of(lines[0], columns)]
    table = comparison_table("A title", grid, lines, columns, figures)
    published = [row for row in table.rows if row.kind == "published"]
    assert [row.heads["method"] for row in published] == [
        result.method for result in published_results("ucm")
    ]
    markdown = as_markdown(table)
    assert "| DIVH [1] | 67.87 | 65.24 | 74.99 | 81.20 |" in markdown
    assert "[1] published, on recorded voices: DIVH (IEEE JSTARS 2022, " in markdown
    assert "Table III." in markdown
    kinds: tuple[tuple[Kind | None, str], ...] = (("ablation", "DIVH"), ("inputs", "DVAN"))
    for kind, paper in kinds:
        some = comparison_table("", grid, lines, columns, figures, published=kind)
        shown = [row for row in some.rows if row.kind == "published"]
        assert len(shown) == len(published_results("ucm", kind or "methods"))
        assert all(row.note.startswith(f"published, on recorded voices: {paper}") for row in shown)
    none = comparison_table("", grid, lines, columns, figures, published=None)
    assert all(row.kind != "published" for row in none.rows)


def test_settings_that_no_label_says_are_noted_with_their_rows() -> None:
    evaluations = two_lines()[0].evaluations
    rows = [
        GridRow(Variant("plain", "divh", ("training.epochs=2",)), 16, STREAMS, "one"),
        GridRow(Variant("gamma=1", "divh", ("gamma=1", "eta=0", "training.epochs=2")), 16, STREAMS,
            "one"),
    ]  # fmt: skip
    notes = table_of([ComparisonRow(row, "hamming", False, evaluations) for row in rows]).notes
    assert "training.epochs=2: all rows." in notes
    assert "eta=0: gamma=1." in notes
    assert not any(note.startswith("gamma=1:") for note in notes)


def test_many_figures_stand_in_a_block_a_direction() -> None:
    lines = two_lines()
    columns = retrieval_columns(("mAP", *CUTOFFS))
    grid = Grid((Variant("lsh", "lsh"),), seeds=(0, 1))
    table = comparison_table(
        "A title", grid, lines, columns, [metrics_of(one, columns) for one in lines]
    )
    heads = [block.splitlines()[0] for block in as_text(table).split("\n\n")[1:-1]]
    assert len(heads) == 6 and all(len(head) <= 100 for head in heads)
    directions = [{way for way in ("I→V", "V→I") if way in head} for head in heads]
    assert directions == [{"I→V"}] * 2 + [{"V→I"}] * 2 + [{"I→V"}, {"V→I"}]
    names = [name for head in heads for name in re.findall(r"\S+ [IV]→[IV]", head)]
    assert names == [column.head for column in table.columns]
    assert [name.split()[0] for name in names[-2:]] == ["difference", "difference"]


def test_a_table_is_written_in_every_form(tmp_path: Path) -> None:
    table = table_of(two_lines())
    paths = write_table_files(tmp_path, "name", table)
    assert [path.name for path in paths] == ["name.csv", "name.md", "name.tex", "name.json"]
    assert (tmp_path / "name.csv").read_text() == as_csv(table)
    assert (tmp_path / "name.md").read_text() == as_markdown(table)
    assert (tmp_path / "name.tex").read_text() == as_latex(table)
    assert json.loads((tmp_path / "name.json").read_text()) == as_json(table)


def test_a_metric_that_is_added_by_one_entry_has_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = Metric(
        "first place", "Place of the first relevant item.", precision_at, more_is_better=False
    )
    monkeypatch.setitem(METRICS, "first place", metric)
    assert chosen_config(CompareConfig(columns=("first place",))).columns == ("first place",)
    lines = []
    for name, place in (("csq", 3.0), ("dtbh", 2.0)):
        found = evaluation([0.5, 0.5], "ab")
        for direction in DIRECTIONS:
            found.results[direction]["first place"] = place
            found.results["chance"][direction] |= {"first place": 9.0}
        lines.append(line(name, {0: found}))
    columns = retrieval_columns(("first place",))
    grid = Grid((Variant("lsh", "lsh"),), seeds=(0,))
    found_metrics = [metrics_of(one, columns) for one in lines]
    table = comparison_table("A title", grid, lines, columns, found_metrics, differences=False)
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [row["image_to_voice.first place"] for row in rows] == ["3", "2", "9"]
    # The least value is the best, as the entry says.
    assert "| **2.00** | **2.00** |" in as_markdown(table)


def test_chance_within_a_radius_is_that_of_one_method_alone() -> None:
    columns = retrieval_columns(("mAP", "R@r<=2"))
    grid = Grid((Variant("lsh", "lsh"),), seeds=(0,))
    lines = []
    for name, chance in (("csq", 3.0), ("dtbh", 7.0)):
        found = evaluation([0.5, 0.5], "ab")
        for direction in DIRECTIONS:
            found.results[direction] = found.results[direction] | {"R@r<=2": 40.0}
            found.results["chance"] |= {
                direction: found.results["chance"][direction] | {"R@r<=2": chance}
            }
        lines.append(line(name, {0: found}))

    def of_chance(some: Sequence[ComparisonRow]) -> str:
        metrics = [metrics_of(one, columns) for one in some]
        table = comparison_table("A title", grid, some, columns, metrics, differences=False)
        (*_, row) = csv.DictReader(io.StringIO(as_csv(table)))
        assert (row["kind"], row["image_to_voice.mAP"]) == ("chance", "5")
        return str(row["image_to_voice.R@r<=2"])

    assert [of_chance(lines[:1]), of_chance(lines[1:])] == ["3", "7"]
    assert of_chance(lines) == ""


def test_the_legend_says_by_what_a_value_is_the_best() -> None:
    def legend(*columns: Column) -> str:
        cells = {column.key: Spread(1.0, 0.1, best=True) for column in columns}
        rows = (TableRow("measured", {"method": "a"}, cells, "", {0: "a", 1: "b"}),)
        return " ".join(as_text(Table("title", ("method",), columns, rows)).split())

    up, down = Column("mAP", "image_to_voice"), Column("dead bits", lowest=True)
    plain = Column("agreement", ranked=False)
    ends = " of its column among the rows with as many bits"
    assert f"+ second best: the greatest mean{ends}" in legend(up, plain)
    assert f"+ second best: the least mean{ends}" in legend(down, plain)
    assert f"the greatest, or the least where less is better, mean{ends}" in legend(up, down)


def test_numbers_of_queries_stand_in_the_order_of_the_columns() -> None:
    ways = {"voice_to_image": (3, 4), "image_to_voice": (5, 6)}
    results = {way: {"queries": n, "gallery": of} for way, (n, of) in ways.items()}
    columns = [Column("mAP", way) for way in ways]
    assert query_counts(results, columns) == "3 queries on 4 (V→I), 5 queries on 6 (I→V)"
    assert query_counts(results, columns[1:]) == "5 queries on 6 (I→V)"
    same = {way: {"queries": 3, "gallery": 4} for way in ways}
    assert query_counts(same, columns) == "3 queries on 4 in each direction"


def test_latex_has_signs_of_minus_and_an_italic_p() -> None:
    text = as_latex(table_of(two_lines()))
    gap, _ = re.findall(r"^dtbh \[1\] & ([^&]*), ahead", text.partition("difference I")[2], re.M)
    assert re.fullmatch(r"\$-\$18\.75 \[\$-\$[\d.]+, [+\d.$-]+\], \$p\$ (=|\$<\$) [\d.]+", gap)
    assert "(n $-$ 1) over 2 seeds" in text
    assert "80/20" in text


def test_a_negative_mean_has_a_sign_of_minus_in_latex() -> None:
    column = Column("gap", "image_to_voice")
    rows = (TableRow("measured", {"method": "a"}, {column.key: Spread(-4.26, 0.51)}),)
    text = as_latex(Table("title", ("method",), (column,), rows))
    assert "\na & $-$4.26 $\\pm$ 0.51 \\\\\n" in text


def ranked_rows() -> list[ComparisonRow]:
    """Return two rows: csq has the better mAP, dtbh the better ranks."""
    found = []
    for name, value, places in (("csq", 0.9, (8.0, 12.0)), ("dtbh", 0.5, (3.0, 3.5))):
        by_seed = {seed: evaluation([value], ["a"]) for seed in (0, 1)}
        for seed, one in by_seed.items():
            for direction in DIRECTIONS:
                ranks = {"median rank": places[seed], "mean rank": 10 * places[seed]}
                one.results[direction] |= ranks
                one.results["chance"][direction] |= {"median rank": 40.5, "mean rank": 50.0}
        found.append(line(name, by_seed))
    return found


def test_the_least_rank_is_the_best_and_the_table_says_what_is_no_percentage() -> None:
    lines = ranked_rows()
    columns = retrieval_columns(("mAP", "median rank"))
    grid = Grid((Variant("lsh", "lsh"),), seeds=(0, 1))
    table = comparison_table(
        "A title", grid, lines, columns, [metrics_of(one, columns) for one in lines]
    )
    assert table.notes[0].startswith(
        "Percent (median rank: rank of the nearest relevant item, the least is the best); protocol"
    )
    cells = {row.heads["method"]: row.cells for row in table.rows}
    for direction in DIRECTIONS:
        assert cells["csq"][f"{direction}.mAP"] == Spread(90, 0, best=True)
        assert cells["csq"][f"{direction}.median rank"] == Spread(10, 8**0.5, second=True)
        assert cells["dtbh"][f"{direction}.mAP"] == Spread(50, 0, second=True)
        assert cells["dtbh"][f"{direction}.median rank"] == Spread(3.25, 0.125**0.5, best=True)
        assert cells["chance"][f"{direction}.median rank"] == Spread(40.5)
    assert "3.25 ± 0.35*" in as_text(table) and "10.0 ± 2.8+" in as_text(table)
    assert "**3.25 ± 0.35**" in as_markdown(table) and "*10.0 ± 2.8*" in as_markdown(table)
    assert r"\textbf{3.25 $\pm$ 0.35}" in as_latex(table)
    assert "or the least where less is better" in as_text(table)
    (first, second) = as_json(table)["lines"][:2]
    assert first["best"] == [f"{direction}.mAP" for direction in DIRECTIONS]
    assert second["best"] == [f"{direction}.median rank" for direction in DIRECTIONS]
    # Differences stay those of mAP, in points.
    assert table.rows[1].cells["image_to_voice.difference"].values()[""] == pytest.approx(-40)


def test_a_table_of_ranks_alone_is_not_in_percent() -> None:
    lines = ranked_rows()
    columns = retrieval_columns(("mean rank", "median rank"))
    grid = Grid((Variant("lsh", "lsh"),), seeds=(0, 1))
    found = [metrics_of(one, columns) for one in lines]
    table = comparison_table("A title", grid, lines, columns, found, differences=False)
    assert table.notes[0].startswith("Rank of the nearest relevant item, the least is the best; ")
    assert "ercent" not in as_text(table)


def test_only_pairs_show_ranks_unless_they_are_asked_for() -> None:
    shown = {
        relevance: {column.name for column in default_columns("results", (), relevance)}
        for relevance in ("class", "pair")
    }
    assert shown["pair"] - shown["class"] == {"H@1", "H@5", "H@10", "mean rank", "median rank"}
    assert not {name for name in shown["class"] if "rank" in name}
    asked = chosen_columns(("median rank_upper",), "results", (), differences=False)
    assert [(column.name, column.lowest) for column in asked] == [("median rank_upper", True)] * 2
