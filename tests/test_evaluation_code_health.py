import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ivr.features.store import StoreError, open_table, write_table
from ivr.hashing.codes import pack, unpack
from ivr.hashing.distances import euclidean_distance
from ivr.pipeline.evaluation import rank, score
from ivr.pipeline.evaluation.evaluate import evaluate, evaluate_codes
from ivr.pipeline.evaluation.protocol import PROTOCOLS, Protocol
from ivr.pipeline.evaluation.report import Report, report_pictures
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.pictures.picture_files import write_picture
from ivr.pipeline.runs.codes_file import CodedItems, Codes, read_codes
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import load_model, read_config
from ivr.pipeline.runs.train import train_run

ALL = Protocol(voices="all", test=None, seed=0)
DIRECTIONS = ("image_to_voice", "voice_to_image")


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of codes of 24 bits, read only."""
    config = RunConfig(method="lsh", bits=24, seed=1, device="cpu")
    return train_run(features, tmp_path_factory.mktemp("runs") / "run", config)


def coded(
    names: Sequence[str], codes: np.ndarray, labels: Sequence[str], images: Sequence[str]
) -> CodedItems:
    """Items of the test split with outputs, whose signs are the codes."""
    blank, size = ("",) * len(names), np.random.default_rng(0).uniform(1, 2, codes.shape)
    return CodedItems(tuple(names), pack(codes), tuple(labels), ("test",) * len(names),
                      tuple(images), blank, blank, (size * codes).astype(np.float32))  # fmt: skip


def some_codes(images: int = 7, voices_each: int = 2, bits: int = 24) -> Codes:
    """Codes of three classes, every bit biased."""
    rng = np.random.default_rng(images)
    names = [f"{number}.png" for number in range(images)]
    labels = [("a", "b", "c")[number % 3] for number in range(images)]
    own = np.repeat(np.arange(images), voices_each)
    bias = rng.uniform(0.2, 0.8, bits)
    codes = [np.where(rng.random((n, bits)) < bias, 1, -1) for n in (images, len(own))]
    return Codes(
        coded(names, codes[0], labels, names),
        coded([f"{n}.wav" for n in range(len(own))], codes[1],
              [labels[n] for n in own], [names[n] for n in own]),
        {},
    )  # fmt: skip


def entries(items: CodedItems, bits: int) -> np.ndarray:
    return unpack(items.codes, 8 * items.codes.shape[1])[:, :bits].astype(int)


def assert_section(health: dict[str, Any], codes: Codes, bits: int) -> None:
    """Compare with loops over items and bits."""
    images, voices = entries(codes.images, bits), entries(codes.voices, bits)
    assert health["bits"] == bits
    sides = (("images", images), ("voices", voices), ("both", np.concatenate([images, voices])))
    for kind, table in sides:
        found = health[kind]
        share = [float(np.mean([code[bit] == 1 for code in table])) for bit in range(bits)]
        assert found["positive"] == pytest.approx([100 * p for p in share], abs=1e-4)
        assert found["dead_bits"] == [bit for bit in range(bits) if share[bit] in (0, 1)]
        imbalance = 100 * np.mean([abs(2 * p - 1) for p in share])
        assert found["imbalance"] == pytest.approx(imbalance, abs=1e-4)
        assert found["items"] == len(table)
        assert found["distinct_codes"] == len({tuple(code) for code in table.tolist()})
        alive = [bit for bit in range(bits) if bit not in found["dead_bits"]]
        pairs = [
            100 * abs(np.corrcoef(table[:, a], table[:, b])[0, 1])
            for a in alive
            for b in alive
            if a < b
        ]
        assert found["correlation_mean"] == pytest.approx(np.mean(pairs), abs=1e-4)
        assert found["correlation_max"] == pytest.approx(max(pairs), abs=1e-4)
    row = {name: number for number, name in enumerate(codes.images.names)}
    equal = [images[row[name]] == voice
             for name, voice in zip(codes.voices.images, voices, strict=True)]  # fmt: skip
    assert health["agreement"] == pytest.approx(100 * np.mean(equal), abs=1e-4)
    assert_distances(health, codes, images, voices, bits)


def assert_distances(
    health: dict[str, Any], codes: Codes, images: np.ndarray, voices: np.ndarray, bits: int
) -> None:
    relevant, other = [], []
    for image, label in zip(images, codes.images.labels, strict=True):
        for voice, spoken in zip(voices, codes.voices.labels, strict=True):
            (relevant if label == spoken else other).append(int((image != voice).sum()))
    for direction in DIRECTIONS:
        found = health[direction]["distances"]
        for kind, distances in (("relevant", relevant), ("other", other)):
            counts = [distances.count(d) for d in range(bits + 1)]
            assert found[kind] == counts
            shares = [100 * count / len(distances) for count in counts]
            assert found[f"{kind}_share"] == pytest.approx(shares, abs=1e-4)
            assert found[f"{kind}_mean"] == pytest.approx(np.mean(distances), abs=1e-4)
        gap = 100 * (np.mean(other) - np.mean(relevant)) / bits
        assert found["gap"] == pytest.approx(gap, abs=1e-4)


@pytest.mark.parametrize("bits", [None, 8, 16])
def test_health_is_that_of_the_codes_that_are_ranked(bits: int | None) -> None:
    codes = some_codes()
    results = evaluate_codes(codes, replace(ALL, bits=bits)).results
    assert_section(results["health"], codes, bits or 24)
    assert results["health"]["quantisation_error"] is None


def test_codes_of_a_method_that_ranks_by_outputs_are_their_signs() -> None:
    codes = some_codes(12)
    own = evaluate_codes(codes, replace(ALL, distance="euclidean"), euclidean_distance).results
    signs = evaluate_codes(codes, ALL).results
    assert_section(own["health"], codes, 24)
    for direction in DIRECTIONS:
        ours, theirs = own["health"][direction], signs["health"][direction]
        assert ours["distances"] == theirs["distances"]
        assert ours["confusion"] != theirs["confusion"]


@pytest.mark.parametrize("measure", [None, euclidean_distance])
@pytest.mark.parametrize("at_once", [1, 100_000])
def test_the_diagonal_of_the_confusion_is_precision_at_ten_by_class(
    measure: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank, "CELLS_AT_ONCE", at_once)
    monkeypatch.setattr(score, "CELLS_AT_ONCE", at_once)
    codes = some_codes(12)
    protocol = ALL if measure is None else replace(ALL, distance="euclidean")
    results = evaluate_codes(codes, protocol, measure).results
    for direction in DIRECTIONS:
        found = results["health"][direction]["confusion"]
        share, asked = np.array(found["share"]), np.array(found["queries"])
        assert asked.sum() == results[direction]["queries"]
        assert results["health"]["classes"] == ["a", "b", "c"]
        mean = np.average(np.diagonal(share), weights=asked)
        assert mean == pytest.approx(results[direction]["P@10"], abs=1e-3)
        assert share.sum(axis=1) == pytest.approx(100, abs=1e-3)


def test_by_pairs_the_distances_are_those_of_pairs_and_classes_may_lack() -> None:
    codes = some_codes(5)
    pairs = evaluate_codes(codes, replace(ALL, relevance="pair")).results
    distances = pairs["health"]["image_to_voice"]["distances"]
    assert (sum(distances["relevant"]), sum(distances["other"])) == (10, 40)
    assert np.array(pairs["health"]["voice_to_image"]["confusion"]["share"]).shape == (3, 3)
    nameless = Codes(
        replace(codes.images, labels=("",) * 5), replace(codes.voices, labels=("",) * 10), {}
    )
    health = evaluate_codes(nameless, replace(ALL, relevance="pair")).results["health"]
    assert health["classes"] == []
    assert health["image_to_voice"]["confusion"] is None
    half = Codes(replace(codes.images, labels=("", *codes.images.labels[1:])), codes.voices, {})
    asked = evaluate_codes(half, replace(ALL, relevance="pair")).results["health"]["image_to_voice"]
    assert sum(asked["confusion"]["queries"]) == 4


def test_one_item_that_is_all_there_is_unknown_where_it_must_be(tmp_path: Path) -> None:
    found = evaluate_codes(some_codes(1, voices_each=1), ALL)
    health = found.health.section
    assert len(health["images"]["dead_bits"]) == 24
    assert health["images"]["correlation_mean"] is None
    assert health["image_to_voice"]["distances"]["overlap"] is None
    assert health["image_to_voice"]["distances"]["other_share"] == [None] * 25
    assert "overlap unknown" in results_table(found.results)
    for name in ("distances", "bit-balance", "bit-correlation", "confusion"):
        assert len(size_of(found, name, tmp_path)) == 2


def test_equal_codes_are_told_and_drawn(tmp_path: Path) -> None:
    codes = some_codes(6)
    flat = Codes(*(replace(side, codes=np.full_like(side.codes, 255))
                   for side in (codes.images, codes.voices)), {})  # fmt: skip
    found = evaluate_codes(flat, ALL)
    both = found.health.section["both"]
    assert (both["distinct_codes"], both["entropy"], both["imbalance"]) == (1, 0, 100)
    assert found.health.section["image_to_voice"]["distances"]["overlap"] == 100
    # All are tied: what is found first is as common as in the gallery.
    assert found.health.section["image_to_voice"]["confusion"]["share"][0] == pytest.approx(
        [100 / 3] * 3, abs=1e-4
    )
    assert "bits: 24 of 24 dead" in results_table(found.results)
    for name in ("distances", "bit-balance", "bit-correlation", "confusion"):
        assert len(size_of(found, name, tmp_path)) == 2


def size_of(found: Report, name: str, folder: Path) -> tuple[int, int]:
    """Return the size in pixels of the picture ``name``, written into ``folder`` as PNG."""
    (picture,) = (picture for picture in report_pictures(found) if picture.name == name)
    write_picture(folder, picture)
    with Image.open(folder / f"{name}.png") as image:
        return image.size


def test_an_image_without_its_voice_agrees_with_none() -> None:
    codes = some_codes(4)
    strangers = replace(codes.voices, images=("",) * 8)
    assert (
        evaluate_codes(replace(codes, voices=strangers), ALL).results["health"]["agreement"] is None
    )


def test_many_classes_are_drawn_and_very_many_are_not_confused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(300)]
    labels = [f"class {number}" for number in range(300)]
    codes = [np.where(rng.random((300, 16)) < 0.5, 1, -1) for _ in range(2)]
    items = [coded(names, table, labels, names) for table in codes]
    few = Codes(items[0].select(range(100)), items[1].select(range(100)), {})
    found = evaluate_codes(few, ALL)
    assert len(found.health.section["image_to_voice"]["confusion"]["share"]) == 100
    _, height = size_of(found, "confusion", tmp_path)
    found = evaluate_codes(Codes(*items, {}), ALL)
    assert found.health.section["image_to_voice"]["confusion"] is None
    assert "confusion" not in {picture.name for picture in report_pictures(found)}
    assert height > 2 * size_of(found, "distances", tmp_path)[1]


@pytest.mark.filterwarnings("error")
def test_names_of_classes_are_drawn_as_they_are_and_have_room(tmp_path: Path) -> None:
    odd = {"a": r"$\frac$", "b": "森_{", "c": "c" * 300}
    codes = some_codes()
    found = evaluate_codes(
        Codes(*(replace(items, labels=tuple(odd[label] for label in items.labels))
                for items in (codes.images, codes.voices)), {}),
        ALL,
    )  # fmt: skip
    assert found.health.section["classes"] == sorted(odd.values())
    for name in ("confusion", "class-precision"):
        assert size_of(found, name, tmp_path)[0] > 800


def test_encode_measures_the_quantisation_error_of_the_test_split(
    features: Path, run: Path, tmp_path: Path
) -> None:
    config, codes = read_config(run), read_codes(run / "codes.h5")
    model, data = load_model(run, config, torch.device("cpu")).eval(), open_features(features)
    outputs = {"images": [], "voices": []}  # type: dict[str, list[np.ndarray]]
    with torch.no_grad():
        for name, split in zip(codes.images.names, codes.images.splits, strict=True):
            if split == "test":
                vector = torch.tensor(data.image_vectors([name]))
                outputs["images"].append(model.encode_images(vector).numpy())
        for name, split in zip(codes.voices.names, codes.voices.splits, strict=True):
            if split == "test":
                vectors, frames = data.voice_vectors([name], config["streams"])
                pooled = model.pool(torch.tensor(vectors), torch.tensor(frames))
                outputs["voices"].append(model.encode_voices(*pooled).numpy())
    for bits in (None, 8, 16):
        protocol = replace(PROTOCOLS["divh"], bits=bits)
        found = evaluate(run, protocol, out=tmp_path / str(bits)).results["health"]
        for kind, parts in outputs.items():
            size = np.abs(np.concatenate(parts)[:, :bits]).astype(float)
            expected = 100 * ((size - size.mean()) ** 2).sum() / (size**2).sum()
            assert found["quantisation_error"][kind] == pytest.approx(expected, abs=1e-3)


def test_codes_of_an_earlier_version_have_an_unknown_quantisation_error(
    run: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    with_config(copy / "codes.h5", None)
    results = evaluate(copy, PROTOCOLS["divh"]).results
    assert results["health"]["quantisation_error"] is None
    assert "quantisation error: unknown until ivr encode" in results_table(results)
    encode_run(copy, device="cpu")
    assert evaluate(copy, PROTOCOLS["divh"]).results["health"]["quantisation_error"]["images"] > 0


@pytest.mark.parametrize(
    "damaged", [7, {}, {"images": [0.1] * 3}, {"images": [0.1], "voices": [0.1] * 3},
                {"images": ["x"] * 3, "voices": [0.1] * 3}],
)  # fmt: skip
def test_a_damaged_quantisation_error_is_refused(run: Path, tmp_path: Path, damaged: Any) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    with_config(copy / "codes.h5", damaged)
    with pytest.raises(StoreError, match="damaged quantisation_error; make them again"):
        evaluate(copy, PROTOCOLS["divh"])


def with_config(path: Path, error: Any) -> None:
    """Write the codes in ``path`` anew with ``error``, without any for None."""
    table = open_table(path, "codes")
    columns = {name: table.read(name) for name in table.columns}
    config = {name: value for name, value in table.config.items() if name != "quantisation_error"}
    write_table(path, "codes", config | ({} if error is None else {"quantisation_error": error}),
                columns)  # fmt: skip


def test_the_table_tells_the_health_in_three_lines(run: Path, tmp_path: Path) -> None:
    results = evaluate(run, PROTOCOLS["divh"], out=tmp_path).results
    lines = results_table(results).splitlines()
    health = results["health"]
    (bits,) = (line for line in lines if line.startswith("bits: "))
    assert f"imbalance {health['both']['imbalance']:.1f} %" in bits
    assert f"agree on {health['agreement']:.1f} %" in bits
    (codes,) = (line for line in lines if line.startswith("distinct codes: "))
    images = health["images"]
    assert f": {images['distinct_codes']} of {images['items']} images, " in codes
    assert f"voices {health['quantisation_error']['voices']:.1f} %" in codes
    (pairs,) = (line for line in lines if line.startswith("distances of relevant"))
    found = health["image_to_voice"]["distances"]
    assert f": {found['relevant_mean']:.1f} and {found['other_mean']:.1f} (image -> voice" in pairs
    with Image.open(tmp_path / "pictures" / "confusion.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 10
