"""Spellings of one name are merged on request only, and the folder of features records them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, TINY_VOICE, spoken

from ivr.features.image_config import ImageConfig
from ivr.features.store import StoreError
from ivr.pipeline.datasets.manifest import ManifestError
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.extraction.job_array import JobArrayTask
from ivr.pipeline.extraction.kept_manifest import merged_spellings
from ivr.pipeline.extraction.merge import merge
from ivr.pipeline.runs.verify import verify

CONFIG = ExtractConfig(ImageConfig("squeezenet1_0", "random"), TINY_VOICE, jobs=1, device="cpu")
ACCEPTING = replace(CONFIG, accept_spellings=True)
MERGED = [{"column": "label", "kept": "pond", "rows": {"Pond": 1, "pond": 2}}]


def written(folder: Path, labels: Sequence[str]) -> Path:
    rng = np.random.default_rng(0)
    lines = ["image;voice;label;Sensor"]
    for number, label in enumerate(labels):
        soundfile.write(folder / f"{number}.wav", spoken("pond", rng), SAMPLE_RATE)
        lines.append(f";{number}.wav;{label};S{number}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def test_two_spellings_stop_an_extraction_before_anything_is_written(tmp_path: Path) -> None:
    manifest = written(tmp_path, ["pond", "Pond", "pond"])
    with pytest.raises(ManifestError, match=r"label 'Pond' \(1 row\) and 'pond' \(2 rows\)"):
        extract(manifest, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()


def test_accepted_spellings_are_merged_in_the_copy_and_recorded(tmp_path: Path) -> None:
    manifest = written(tmp_path, ["pond", "Pond", "pond"])
    extract(manifest, tmp_path / "out", ACCEPTING)
    assert {voice.label for voice in open_features(tmp_path / "out").voice_items()} == {"pond"}
    assert merged_spellings(tmp_path / "out") == MERGED
    assert {file.state for file in verify(tmp_path / "out").files} == {"whole"}


def test_columns_that_are_not_known_are_kept_in_the_copy(tmp_path: Path) -> None:
    extract(written(tmp_path, ["pond", "river"]), tmp_path / "out", CONFIG)
    rows = open_features(tmp_path / "out").manifest.rows
    assert [row.more for row in rows] == [(("Sensor", "S0"),), (("Sensor", "S1"),)]


def test_a_folder_of_an_earlier_version_with_two_spellings_is_extracted_again(
    tmp_path: Path,
) -> None:
    extract(written(tmp_path, ["pond", "pond", "pond"]), tmp_path / "out", CONFIG)
    copy = tmp_path / "out" / "manifest.csv"
    copy.write_text(copy.read_text().replace("1.wav,pond", "1.wav,Pond"))
    with pytest.raises(ManifestError, match="--accept-spellings of ivr prepare or ivr extract"):
        open_features(tmp_path / "out")
    (voices,) = extract(copy, tmp_path / "out", ACCEPTING, root=tmp_path)
    assert (voices.rows, voices.new) == (3, 0)
    assert {voice.label for voice in open_features(tmp_path / "out").voice_items()} == {"pond"}
    assert merged_spellings(tmp_path / "out") == MERGED


def test_the_record_goes_with_the_spellings(tmp_path: Path) -> None:
    extract(written(tmp_path, ["pond", "Pond", "pond"]), tmp_path / "out", ACCEPTING)
    extract(written(tmp_path, ["pond", "pond", "pond"]), tmp_path / "out", CONFIG)
    assert merged_spellings(tmp_path / "out") == []


def test_the_record_of_a_job_array_is_that_of_one_call(tmp_path: Path) -> None:
    manifest = written(tmp_path, ["pond", "Pond", "pond"])
    for number in (1, 2):
        extract(manifest, tmp_path / "out", replace(ACCEPTING, shard=JobArrayTask(number, 2)))
    merge(tmp_path / "out")
    assert merged_spellings(tmp_path / "out") == MERGED


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "spellings.json").write_text(json.dumps(MERGED)[:-1])
    with pytest.raises(StoreError, match=r"spellings\.json: damaged .*extract again"):
        merged_spellings(tmp_path)
