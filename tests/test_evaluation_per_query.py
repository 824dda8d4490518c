"""Average precision of every query, as it is written beside the results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ivr.features.store import StoreError, open_table, write_table
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.evaluation.per_query import read_queries
from ivr.pipeline.evaluation.protocol import PROTOCOLS
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import QUERY_TABLE
from ivr.pipeline.runs.train import train_run


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a method that needs no training, read only."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train_run(features, folder, RunConfig("lsh", bits=16, device="cpu"))


def test_the_mean_of_every_query_is_the_map_of_the_results(run: Path, tmp_path: Path) -> None:
    protocol = replace(PROTOCOLS["divh"], voices="all", database="all")
    results = evaluate(run, protocol, out=tmp_path).results
    queries = read_queries(tmp_path / "queries.h5")
    for direction in ("image_to_voice", "voice_to_image"):
        mean = 100 * queries[direction].average_precision.mean()
        assert mean == pytest.approx(results[direction]["mAP"], abs=1e-9)
    codes = read_codes(run / "codes.h5")
    tested = [name for name, split in zip(codes.voices.names, codes.voices.splits, strict=True)
              if split == "test"]  # fmt: skip
    assert list(queries["voice_to_image"].names) == tested


def test_a_voice_is_kept_with_its_image_and_an_image_with_itself(run: Path, tmp_path: Path) -> None:
    evaluate(run, PROTOCOLS["pair"], out=tmp_path)
    queries = read_queries(tmp_path / "queries.h5")
    assert queries["image_to_voice"].images == queries["image_to_voice"].names
    codes = read_codes(run / "codes.h5")
    image = dict(zip(codes.voices.names, codes.voices.images, strict=True))
    voices = queries["voice_to_image"]
    assert voices.images == tuple(image[name] for name in voices.names)


def test_a_query_that_is_left_out_is_not_a_number(run: Path, tmp_path: Path) -> None:
    # Codes of which every voice belongs to one image: the other images have no pair.
    protocol = replace(PROTOCOLS["pair"], empty="skip", database="all")
    table = open_table(run / "codes.h5", "codes")
    columns = {name: table.read(name) for name in table.columns}
    voices = columns["modality"] == 1
    tested = np.flatnonzero((columns["modality"] == 0) & (columns["splits"] == b"test"))
    columns["images"] = columns["images"].copy()
    columns["images"][voices] = columns["names"][tested[0]]
    write_table(tmp_path / "codes.h5", "codes", table.config, columns)
    evaluate(run, protocol, codes=tmp_path / "codes.h5", out=tmp_path)
    queries = read_queries(tmp_path / "queries.h5")["image_to_voice"]
    left = np.isnan(queries.average_precision)
    assert [name for name, out in zip(queries.names, left, strict=True) if not out] == [
        columns["names"][tested[0]].decode()
    ]


def test_another_table_is_refused_in_one_line(tmp_path: Path) -> None:
    write_table(tmp_path / "queries.h5", QUERY_TABLE, {}, {"names": np.array([b"a"])})
    with pytest.raises(StoreError, match="not a file that ivr evaluate writes"):
        read_queries(tmp_path / "queries.h5")
