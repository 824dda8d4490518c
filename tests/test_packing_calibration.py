"""The confidence of known queries: its threshold, what it is measured against, and its storage."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_world import World, tiny_blueprint

import ivr
from ivr.features import encoders
from ivr.hashing.codes import packed_signs
from ivr.pipeline.archive.distances import UNCLEAR, Confidence, against_known
from ivr.pipeline.packing import calibrate
from ivr.pipeline.packing import calibration as calibration_module
from ivr.pipeline.packing.calibrate import run_calibrations
from ivr.pipeline.packing.calibration import (
    Calibration,
    as_stored,
    calibrated,
    from_stored,
    standing_out,
)
from ivr.pipeline.packing.code_maker import open_model
from ivr.pipeline.packing.model_folder import PackError
from ivr.pipeline.packing.search import EncodedQuery
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.run_folder import read_config
from ivr.pipeline.runtime.digests import record_digests

CLASSES = 7


def known_items(
    bits: int, count: int, rng: np.random.Generator, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sign codes of real outputs around one centre per class, and their classes."""
    labels = rng.integers(0, CLASSES, count)
    spread = rng.uniform(0.3, 1.5, (count, 1))
    return packed_signs(centres[labels] + spread * rng.normal(size=(count, bits)), bits), labels


def values_of(found: Calibration, queries: np.ndarray) -> np.ndarray:
    return np.array([float(standing_out(*found.distances(query))) for query in queries])


@pytest.mark.parametrize("bits", [16, 32, 64, 128, 256])
def test_the_share_of_other_known_queries_below_the_threshold_is_about_the_quantile(
    bits: int,
) -> None:
    rng = np.random.default_rng(bits)
    below, at_most = [], []
    for _ in range(12):
        centres = rng.normal(size=(CLASSES, bits))
        items, _ = known_items(bits, 300, rng, centres)
        queries, _ = known_items(bits, 1200, rng, centres)
        found = calibrated(queries[:600], items, np.zeros((600, 300), bool), 0.05)
        assert found is not None
        values = values_of(found, queries[600:])
        below.append((values < found.threshold).mean())
        at_most.append((values <= found.threshold).mean())
    # Codes of few bits have few distances: the quantile lies among equal values.
    assert np.mean(below) <= 0.06
    assert np.mean(at_most) >= 0.04
    if bits >= 64:
        assert np.mean(below) >= 0.03


def test_a_larger_quantile_has_no_smaller_threshold() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, 64))
    items, _ = known_items(64, 100, rng, centres)
    queries, _ = known_items(64, 100, rng, centres)
    none = np.zeros((100, 100), bool)
    found = [calibrated(queries, items, none, q) for q in (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)]
    thresholds = [one.threshold for one in found if one is not None]
    assert len(thresholds) == 6
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1]


def test_a_query_is_not_compared_with_its_own_item() -> None:
    items = np.tile(np.array([[0, 255], [0, 15], [255, 255]], np.uint8), (10, 1))
    items[0] = [0, 0]
    queries = np.zeros((20, 2), np.uint8)
    own = np.zeros((20, 30), bool)
    # Its own item is at 0 bits, the others at 4 (10 times), 8 (9 times) and 16 (10 times).
    with_own = calibrated(queries, items, own)
    own[:, 0] = True
    without = calibrated(queries, items, own)
    assert with_own is not None and without is not None
    assert with_own.threshold == 1.0
    assert without.threshold == 1 - 4 / 8
    assert calibrated(queries[:19], items, own[:19]) is None
    assert calibrated(queries, items[:19], own[:, :19]) is None
    assert calibrated(queries, items, np.ones((20, 30), bool)) is None


def query_of(code: list[int], items: list[list[int]], threshold: float) -> EncodedQuery:
    known = Calibration(np.array(items, np.uint8), threshold, 0.05, 20)
    return EncodedQuery(Path("-"), np.array([code], np.uint8), (), known)


def test_confidence_falls_with_the_first_hit_and_depends_on_nothing_else_in_the_archive() -> None:
    # Known items at 2, 8 and 16 bits.
    query = query_of([0, 0], [[0, 3], [0, 255], [255, 255]], 0.6)
    found = [against_known(Confidence(0.0, first, 9.0), query) for first in range(12)]
    values = [one.value for one in found if one is not None]
    assert values == sorted(values, reverse=True)
    # No nearer than the nearest known item: in a large archive any query has near items.
    assert values[:5] == [0.75, 0.75, 0.75, 0.625, 0.5]
    assert values[8:] == [0.0] * 4
    assert [one.unclear for one in found if one is not None] == [False] * 4 + [True] * 8
    near, far = found[0], found[4]
    assert near is not None and far is not None
    assert (near.first, near.known, near.median, near.threshold) == (0, 2, 8, 0.6)
    assert far.words == (
        "confidence 0.50: first hit at 4 bits, nearest known item at 2, half of these within 8; "
        "probably about nothing known"
    )
    # What the archive's median was has no influence.
    assert against_known(Confidence(1.0, 4, 60.0), query) == far
    assert against_known(None, query) is None


def test_without_calibration_the_archive_and_the_constant_count() -> None:
    found = Confidence(0.4, 6, 10.0)
    plain = EncodedQuery(Path("-"), np.zeros((1, 2), np.uint8), ())
    assert against_known(found, plain) is found
    assert (found.threshold, found.known, found.unclear) == (UNCLEAR, None, True)
    assert not Confidence(0.5, 5, 10.0).unclear


def test_a_stored_calibration_is_the_same_and_a_damaged_one_is_refused(
    packed: Path, tmp_path: Path
) -> None:
    def model_with(confidence: Any) -> Path:
        folder = Path(shutil.copytree(packed, tmp_path / "model", dirs_exist_ok=True))
        description = json.loads((folder / "model.json").read_text())
        if confidence is None:
            del description["confidence"]
        else:
            description["confidence"] = confidence
        (folder / "model.json").write_text(json.dumps(description))
        record_digests(folder, ["model.json"])
        return folder

    known = Calibration(np.arange(20, dtype=np.uint8)[:, None], 0.25, 0.05, 40)
    stored = dict(as_stored(known, "by hand"))
    found = open_model(model_with({"voice": stored})).calibrations["voice"]
    np.testing.assert_array_equal(found.codes, known.codes)
    assert (found.threshold, found.quantile, found.queries) == (0.25, 0.05, 40)
    assert open_model(model_with(None)).calibrations == {}
    for change, words in (
        ({"codes": ["0102"]}, "codes of known items that have not 8 bits"),
        ({"codes": ["xy"]}, "codes of known items that are not hexadecimal"),
        ({"codes": []}, "codes of known items that have not 8 bits"),
        ({"threshold": 1.5}, "a threshold outside 0 to 1"),
        ({"threshold": "high"}, "not the description of a model"),
    ):
        with pytest.raises(PackError, match=words):
            open_model(model_with({"voice": {**stored, **change}}))
    assert from_stored({}, 64) == {}


def test_packing_calibrates_by_the_validation_split_and_says_when_it_cannot(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
    run = Path(shutil.copytree(world.run, tmp_path / "run"))
    config = read_config(run)
    sha256 = open_model(run, device="cpu").model_sha256
    assert run_calibrations(run, config, sha256) == {}
    assert "images and" in caplog.text and "fewer than 20" in caplog.text
    for module in (calibrate, calibration_module):
        monkeypatch.setattr(module, "LEAST", 1)
    model = tmp_path / "model"
    ivr.pack(run, model, encoder=False, inputs=4)
    found = open_model(model).calibrations
    stored = read_codes(run / "codes.h5")
    for query, items in (("voice", stored.images), ("image", stored.voices)):
        rows = [row for row, split in enumerate(items.splits) if split == "val"]
        assert 0 < len(rows) < len(items.names)
        np.testing.assert_array_equal(found[query].codes, items.codes[rows])
        assert found[query].queries == len(rows)
    assert "With a confidence below" in (model / "README.md").read_text()
    caplog.clear()
    assert run_calibrations(run, config, "other") == {}
    assert "of other weights; make it again with ivr encode" in caplog.text
    (run / "codes.h5").unlink()
    assert run_calibrations(run, config, sha256) == {}
    assert "codes.h5: missing" in caplog.text
