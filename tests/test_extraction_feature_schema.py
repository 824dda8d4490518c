"""Settings decide whether rows may stand in one file; where they were computed does not."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY_VOICE
from test_extraction_extract import CONFIG, STOPPED_AT_ONCE, made

from ivr.features.store import open_table, write_table
from ivr.pipeline.datasets.manifest import Manifest, read_manifest, write_manifest
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.feature_schema import VOICES, different_settings, joint_config
from ivr.pipeline.extraction.job_array import JobArrayTask
from ivr.pipeline.extraction.merge import merge
from ivr.pipeline.extraction.plan import plan

ON_GPU = replace(CONFIG, voice=replace(TINY_VOICE, backend="torch"))


def test_voices_of_another_backend_are_kept_and_both_are_recorded(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    write_manifest(tmp_path / "first.csv", Manifest(read_manifest(manifest).rows[:4]))
    extract(tmp_path / "first.csv", tmp_path / "out", CONFIG)
    (voices,) = extract(manifest, tmp_path / "out", ON_GPU)
    assert (voices.rows, voices.new) == (6, 2)
    made_with = open_table(voices.path, VOICES).config["made_with"]
    assert made_with["backend"] == "fast and torch"
    (voices,) = extract(manifest, tmp_path / "out", CONFIG)
    assert (voices.rows, voices.new) == (6, 0)


def test_a_stopped_call_is_continued_with_another_backend(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    extract(manifest, tmp_path / "out", STOPPED_AT_ONCE)
    (voices,) = extract(manifest, tmp_path / "out", ON_GPU)
    assert (voices.rows, voices.new) == (6, 2)


def test_tasks_of_different_backends_are_merged(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    for number, config in enumerate((CONFIG, ON_GPU), 1):
        extract(manifest, tmp_path / "out", replace(config, shard=JobArrayTask(number, 2)))
    (voices,) = merge(tmp_path / "out")
    assert voices.rows == 6
    assert open_table(voices.path, VOICES).config["made_with"]["backend"] == "fast and torch"


def test_a_file_whose_settings_still_hold_the_backend_is_continued(tmp_path: Path) -> None:
    manifest = made(tmp_path, 0, 6)
    write_manifest(tmp_path / "first.csv", Manifest(read_manifest(manifest).rows[:4]))
    (voices,) = extract(tmp_path / "first.csv", tmp_path / "out", CONFIG)
    table = open_table(voices.path, VOICES)
    made_with = {n: v for n, v in table.config["made_with"].items() if n != "backend"}
    settings = {**table.config["settings"], "backend": "torch"}
    columns = {name: table.read(name) for name in table.columns}
    write_table(voices.path, VOICES, {"settings": settings, "made_with": made_with}, columns)
    assert plan(manifest, tmp_path / "out", CONFIG).voices.done == 4  # type: ignore[union-attr]
    (voices,) = extract(manifest, tmp_path / "out", CONFIG)
    assert (voices.rows, voices.new) == (6, 2)
    config = open_table(voices.path, VOICES).config
    assert "backend" not in config["settings"]
    assert config["made_with"]["backend"] == "fast and torch"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"hop": 80}, {"hop": 80}, []),
        ({"hop": 80, "backend": "fast"}, {"hop": 80, "backend": "torch"}, []),
        ({"hop": 80, "backend": "fast"}, {"hop": 80}, []),
        ({"hop": 80}, {"hop": 100}, [("hop", 80, 100)]),
        ({"top_db": 80.0}, {"top_db": 80}, [("top_db", 80.0, 80)]),
        ({"hop": 80, "mels": 4}, {"hop": 80}, [("mels", 4, "not recorded")]),
        ({}, {"relu": None}, [("relu", "not recorded", None)]),
        ({"a": 1, "b": 2}, {"a": 3, "b": 4}, [("a", 1, 3), ("b", 2, 4)]),
    ],
)
def test_settings_differ_in_what_decides_the_vectors(
    old: dict[str, object], new: dict[str, object], expected: list[tuple[str, object, object]]
) -> None:
    assert different_settings(old, new) == expected


def test_notes_of_all_sources_are_joined_once(tmp_path: Path) -> None:
    (voices,) = extract(made(tmp_path, 0, 1), tmp_path / "out", CONFIG)
    table = open_table(voices.path, VOICES)

    def noted(**notes: object):  # type: ignore[no-untyped-def]
        return replace(table, config={**table.config, "made_with": notes})

    tables = [noted(torch="2.9", batch_size=32), noted(torch="2.10"), noted(torch="2.10 and 2.9")]
    assert joint_config(tables, {"hop": 80, "backend": "fast"}) == {
        "settings": {"hop": 80},
        "made_with": {"torch": "2.10 and 2.9", "batch_size": 32},
    }
