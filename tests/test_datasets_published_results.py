"""Published results: every figure against a transcript of the papers' tables, and in themselves."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ivr.pipeline.datasets.public_datasets import DATASETS
from ivr.pipeline.datasets.published_results import PAPERS, PublishedResult, published_results

TITLES = {"Sydney": "sydney", "UCM": "ucm", "RSICD": "rsicd"}
DIRECTIONS = {"I->A": "image_to_voice", "A->I": "voice_to_image"}
DVAN_TEST_ITEMS = {"sydney": 116, "ucm": 417, "rsicd": 1094}


def tables(transcript: str) -> Iterator[tuple[str, str, list[dict[str, str]], list[list[str]]]]:
    """Yield source, rest of the title, and rows of each table of the transcript."""
    for section in re.split(r"^## ", transcript, flags=re.M)[1:]:
        title, *lines = section.splitlines()
        cells = [[c.strip() for c in x.strip("|").split("|")] for x in lines if x.startswith("|")]
        found = re.match(r"(\w+, Table \w+)\W*(\w*)", title)
        assert found
        yield found[1], found[2], [dict(zip(cells[0], c, strict=True)) for c in cells[2:]], cells


def test_every_figure_of_the_papers_tables_is_in_and_equal(shared: Path) -> None:
    found: dict[tuple[str, str, str, str], float] = {}
    for source, name, rows, cells in tables((shared / "papers.md").read_text()):
        for row, values in zip(rows, cells[2:], strict=True):
            if "task" in row:
                head, method = DIRECTIONS[row["task"]], row["model"].replace(" + ", "+")
                for metric in cells[0][2:]:
                    key = (TITLES[name], source, f"DVAN, {method}", f"{head}.{metric}")
                    found[key] = float(row[metric])
            elif "model" in row:
                for title, data_set in TITLES.items():
                    key = (data_set, source, f"DVAN, {row['model']}", "accuracy")
                    found[key] = float(row[title])
            elif "data" in row:
                out = [term for term in ("L2", "L3") if row[term] == "no"]
                method = " without ".join(filter(None, ("DIVH", " and ".join(out))))
                for head in ("I->V", "V->I"):
                    way = "image_to_voice" if head == "I->V" else "voice_to_image"
                    key = (TITLES[row["data"]], source, method, f"{way}.mAP")
                    found[key] = float(row[head])
            else:
                metrics = ("mAP", "P@1", "P@5", "P@10")
                keys = [f"{way}.{m}" for way in DIRECTIONS.values() for m in metrics]
                for metric, value in zip(keys, values[1:], strict=True):
                    found[TITLES[name], source, values[0], metric] = float(value)
    ours = {
        (data_set, row.source, row.method, metric): value
        for data_set in DATASETS
        for kind in ("methods", "ablation", "inputs", "matching")
        for row in published_results(data_set, kind)
        for metric, value in row.metrics.items()
    }
    assert ours == found
    assert len(ours) == 3 * (10 * 8 + 4 * 2 + 5 + 5 * 20)


@pytest.mark.parametrize("data_set", DATASETS)
def test_each_data_set_has_every_kind_of_table(data_set: str) -> None:
    counts = {
        kind: len(published_results(data_set, kind))
        for kind in ("methods", "ablation", "inputs", "matching")
    }
    assert counts == {"methods": 10, "ablation": 4, "inputs": 5, "matching": 5}


def test_every_row_names_its_own_paper_and_table() -> None:
    ucm = {
        kind: {row.citation for row in published_results("ucm", kind)}
        for kind in ("methods", "ablation", "inputs", "matching")
    }
    assert ucm == {
        "methods": {f"DIVH ({PAPERS['DIVH']}), Table III"},
        "ablation": {f"DIVH ({PAPERS['DIVH']}), Table V"},
        "inputs": {"DVAN (PRRS 2018), Table IV"},
        "matching": {"DVAN (PRRS 2018), Table II"},
    }


def test_figures_that_two_papers_print_differently_keep_their_sources() -> None:
    key = "voice_to_image.mAP"
    assert row_of("ucm", "DVAN", "methods").metrics[key] == 32.28
    assert row_of("ucm", "DVAN, CNN+M", "inputs").metrics[key] == 32.38


def row_of(data_set: str, method: str, kind: str) -> PublishedResult:
    rows = published_results(data_set, kind)  # type: ignore[arg-type]
    return next(row for row in rows if row.method == method)


@pytest.mark.parametrize("data_set", DATASETS)
def test_dvan_precision_is_a_whole_count_of_its_test_items(data_set: str) -> None:
    items = DVAN_TEST_ITEMS[data_set]
    for row in published_results(data_set, "inputs"):
        for way in DIRECTIONS.values():
            hits = row.metrics[f"{way}.P@1"] * items / 100
            assert abs(hits - round(hits)) <= 0.0101 * items / 100, (row.method, way)


@pytest.mark.parametrize("data_set", DATASETS)
def test_divh_without_a_term_is_worse_and_its_ablation_repeats_its_row(data_set: str) -> None:
    whole = row_of(data_set, "DIVH", "methods").metrics
    for row in published_results(data_set, "ablation"):
        for key, value in row.metrics.items():
            assert value == whole[key] if row.method == "DIVH" else value < whole[key]


def test_no_figure_is_out_of_range_and_no_line_is_twice_there() -> None:
    path = Path(__file__).parents[1] / "pipeline" / "datasets" / "published_results.csv"
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len({(x["data_set"], x["source"], x["method"]) for x in lines}) == len(lines) == 72
    for line in lines:
        values = [float(v) for k, v in line.items() if "." in k and v] + [50.0]
        assert all(0 < value < 100 for value in values)
