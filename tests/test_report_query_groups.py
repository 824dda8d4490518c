"""Results by speaker and by sentence: means of recorded queries, and when there are none."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_page import read_page
from tiny_world import World

import ivr
from ivr.pipeline.evaluation.per_query import read_queries
from ivr.pipeline.report import report as report_module
from ivr.pipeline.report.evaluated_run import EvaluatedRun, read_evaluated_run
from ivr.pipeline.report.query_groups import UNKNOWN, group_tables
from ivr.pipeline.runs.codes_file import CodedItems

WAY = "voice_to_image"
Texts = Callable[[str, int], str]


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("groups") / "run"
    shutil.copytree(world.run, folder)
    ivr.evaluate(folder, database="all", voices="all")
    return folder


def named(found: EvaluatedRun, speaker: Texts, caption: Texts) -> EvaluatedRun:
    """Return ``found`` with speakers and captions by name and number of each voice."""

    def told(items: CodedItems) -> CodedItems:
        numbers = {name: number for number, name in enumerate(found.codes.voices.names)}
        texts: list[Sequence[str]] = [
            tuple(make(name, numbers[name]) for name in items.names) for make in (speaker, caption)
        ]
        return replace(items, speakers=texts[0], captions=texts[1])

    queries = {**found.selection.queries, WAY: told(found.selection.queries[WAY])}
    return replace(
        found,
        codes=replace(found.codes, voices=told(found.codes.voices)),
        selection=replace(found.selection, queries=queries),
    )


def splits(found: EvaluatedRun) -> dict[str, str]:
    return dict(zip(found.codes.voices.names, found.codes.voices.splits, strict=True))


def test_groups_are_means_of_the_recorded_queries_with_chance_and_n(run: Path) -> None:
    bare = read_evaluated_run(run)
    side = splits(bare)
    found = named(
        bare,
        lambda _, number: ("", "anna", "bert")[number % 3],
        lambda name, _: "A new one" if side[name] == "test" and name.endswith("0.wav") else "Old!",
    )
    queries = found.selection.queries[WAY]
    recorded = dict(zip(queries.names, bare.queries[WAY].average_precision.tolist(), strict=True))
    (file,) = run.glob("evaluations/*/queries.h5")
    assert recorded == dict(
        zip(read_queries(file)[WAY].names, read_queries(file)[WAY].average_precision, strict=True)
    )
    speakers, *_ = tables = group_tables(found)
    assert [group.name for group in speakers.groups] == ["anna", "bert", UNKNOWN]
    chance = json.loads((file.parent / "results.json").read_text())["chance"][WAY]["mAP"]
    for table, texts in zip(tables, (queries.speakers, queries.captions), strict=False):
        assert sum(group.queries for group in table.groups) == len(queries.names)
        for group in table.groups:
            own = {"anna": "anna", "bert": "bert", UNKNOWN: "", "new": "A new one"}.get(
                group.name, "Old!"
            )
            values = [
                recorded[n] for n, text in zip(queries.names, texts, strict=True) if text == own
            ]
            assert group.queries == len(values)
            assert group.value == pytest.approx(100 * np.mean(values))
            # All classes have as many items, so every group has the chance of the whole.
            assert group.chance == pytest.approx(chance)
            assert group.interval is None or group.interval[0] <= group.value <= group.interval[1]
    trained = {own for name, own in zip(found.codes.voices.names, found.codes.voices.speakers,
               strict=True) if side[name] in ("train", "val")}  # fmt: skip
    assert {group.name: group.trained for group in speakers.groups[:2]} == {
        name: name in trained for name in ("anna", "bert")
    }


def test_a_sentence_of_training_is_known_in_other_letters_too(run: Path) -> None:
    bare = read_evaluated_run(run)
    side = splits(bare)
    asked = [name for name in bare.selection.queries[WAY].names]
    first = next(name for name in asked if side[name] == "test")
    found = named(
        bare,
        lambda *_: "",
        lambda name, _: (
            {first: "Never said"}.get(name) or ("A river." if side[name] == "test" else "a  RIVER")
        ),
    )
    (table,) = group_tables(found)
    assert table.head == "Sentence"
    assert {group.name: group.queries for group in table.groups} == {
        "spoken in training too": len(asked) - 1, "new": 1,
    }  # fmt: skip
    assert next(group for group in table.groups if group.name == "new").interval is None


@pytest.mark.parametrize(
    ("speaker", "caption"),
    [("", ""), ("anna", ""), ("anna", "The same sentence")],
)
def test_there_is_no_table_where_the_queries_do_not_differ(
    run: Path, speaker: str, caption: str
) -> None:
    found = named(read_evaluated_run(run), lambda *_: speaker, lambda *_: caption)
    assert group_tables(found) == []


def test_the_page_shows_the_tables_or_says_that_there_are_none(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluatedRun, "pictures", lambda self: [])
    ivr.report(run, tmp_path / "none.html")
    assert (
        "There is no table by speaker or by sentence"
        in read_page(tmp_path / "none.html").one(id="classes").text
    )
    read = report_module.read_evaluated_run
    monkeypatch.setattr(
        report_module,
        "read_evaluated_run",
        lambda *given: named(read(*given), lambda _, n: f"<b>{n % 2}</b>", lambda *_: ""),
    )
    ivr.report(run, tmp_path / "some.html")
    (table,) = read_page(tmp_path / "some.html").all("table", class_="groups")
    assert [head.text for head in table.one("thead").all("th")] == [
        "Speaker", "in training", "mAP", "95 % interval", "chance", "n",
    ]  # fmt: skip
    assert [row.one("th").text for row in table.one("tbody").all("tr")] == ["<b>0</b>", "<b>1</b>"]
