"""Every method from features to metrics."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ivr.features.store import open_table, write_table
from ivr.hashing.distances import measure_of
from ivr.hashing.method_table import RANKS_BY, method_table
from ivr.hashing.methods import method_entry, method_names, own_method_names
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.evaluation.evaluate import evaluate, evaluate_codes
from ivr.pipeline.evaluation.protocol import PROTOCOLS, Protocol
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.evaluation.select import EvaluateError
from ivr.pipeline.runs import checkpoint as stage
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError, load_model, read_config
from ivr.pipeline.runs.train import describe_run, resume_run, train_run

SMALL = ("network.voice_channels=8", "network.voice_stride=1", "network.voice_kernel=3",
         "network.image_hidden=16",
         # The classes of the made-up voices are tones, which are nothing but their means.
         "network.voice_mean=kept", "network.voice_warp=0", "network.voice_stretch=0",
         "network.voice_tilt=0", "network.voice_pool=4")  # fmt: skip
OPTIONS = {
    "dvan": ("hidden=64", "audio=16", "length=256"),
    "cmir_net": (*SMALL, "features=16"),
    "dtbh": (*SMALL, "features=16"),
    "dqh": (*SMALL, "features=16"),
    "dblp": ("width=16", "channels=8,8,8,8", "frame_pool=1"),
}
TRAINING = TrainConfig(epochs=12, batch_size=6, learning_rate=0.02, validate_every=4)
METHODS = method_names()
TRAINED = [name for name in METHODS if method_entry(name).trained]
FREE = [name for name in METHODS if name not in TRAINED]
EVERYTHING = Protocol(voices="all", database="all", test=None)


def config_of(name: str) -> RunConfig:
    if name in FREE:
        return RunConfig(name, bits=16, voices="all", seed=1, device="cpu")
    training = replace(TRAINING, epochs=24, learning_rate=0.01) if name == "dvan" else TRAINING
    return RunConfig(
        name, bits=16, voices="all", seed=1, options=OPTIONS.get(name, SMALL), training=training,
        device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of every method, read only."""
    folder = tmp_path_factory.mktemp("runs")
    for name in METHODS:
        train_run(features, folder / name, config_of(name))
    return folder


@pytest.fixture(scope="module")
def results(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of every method, ranked by its own distance."""
    folder = tmp_path_factory.mktemp("results")
    return {name: evaluate(runs / name, EVERYTHING, out=folder / name).results for name in METHODS}


def figures(results: dict[str, Any]) -> dict[str, float]:
    return {
        f"{direction} {name}": value
        for direction in ("image_to_voice", "voice_to_image")
        for name, value in results[direction].items()
        if not name.startswith("per_class")
    }


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_ranks_by_and_reconstructs_is_in_the_results_and_printed(
    results: dict[str, dict[str, Any]], name: str
) -> None:
    found, method = results[name], method_entry(name).build
    assert found["protocol"]["distance"] == method.distance
    assert found["run"]["source"] == method.source != ""
    assert found["run"]["reconstruction"] == method.reconstruction
    json.dumps(found)
    first, *others = results_table(found).splitlines()
    assert first.startswith(name)
    assert f"ranked by {RANKS_BY[method.distance]}" in " ".join(" ".join(others).split())
    assert ("reconstruction" in first) == bool(method.reconstruction)
    assert (f"reconstruction: {method.reconstruction}" in others) == bool(method.reconstruction)
    assert ("matching accuracy" in "\n".join(others)) == (method.distance == "matching")


def test_reconstructions_are_those_of_papers_that_could_not_be_read_in_full() -> None:
    texts = {name: method_entry(name).build.reconstruction for name in own_method_names()}
    assert {name for name, text in texts.items() if text} == {"cmir_net", "scrl", "dtbh", "dqh"}
    assert not any("\n" in text for text in texts.values())


@pytest.mark.parametrize("name", METHODS)
def test_codes_are_signs_and_outputs_stand_beside_them_where_they_are_ranked(
    features: Path, runs: Path, name: str
) -> None:
    codes = read_codes(runs / name / "codes.h5")
    model = load_model(runs / name, read_config(runs / name), torch.device("cpu")).eval()
    assert codes.images.codes.shape == (18, 2)
    if model.distance == "hamming":
        assert codes.images.outputs is codes.voices.outputs is None
        return
    for items in (codes.images, codes.voices):
        assert items.outputs is not None
        assert items.outputs.dtype == np.float32
        assert items.outputs.shape == (len(items.names), model.width)
        bits = np.packbits(items.outputs[:, :16] >= 0, axis=1)
        np.testing.assert_array_equal(items.codes, bits)
    chosen = codes.voices.select([3, 0])
    assert chosen.outputs is not None
    np.testing.assert_array_equal(chosen.outputs[1], codes.voices.outputs[0])


def average_precision(distance: list[float], relevant: list[bool]) -> float:
    """Of a list without ties."""
    order = sorted(range(len(distance)), key=distance.__getitem__)
    hits, total = 0, 0.0
    for place, item in enumerate(order, 1):
        if relevant[item]:
            hits += 1
            total += hits / place
    return total / hits


def test_figures_of_outputs_are_those_of_their_euclidean_distances(
    runs: Path, results: dict[str, dict[str, Any]]
) -> None:
    for name in ("scrl", "cmir_net"):
        codes = read_codes(runs / name / "codes.h5")
        tested = [row for row, split in enumerate(codes.images.splits) if split == "test"]
        values = []
        for row in tested:
            x = codes.images.outputs[row].astype(np.float64)
            distance = [
                float(np.sqrt(((x - v.astype(np.float64)) ** 2).sum()))
                for v in codes.voices.outputs
            ]
            relevant = [label == codes.images.labels[row] for label in codes.voices.labels]
            values.append(average_precision(distance, relevant))
        assert results[name]["image_to_voice"]["mAP"] == pytest.approx(100 * np.mean(values))


def test_figures_of_dvan_are_those_of_a_loop_over_matching_probabilities(
    runs: Path, results: dict[str, dict[str, Any]]
) -> None:
    codes = read_codes(runs / "dvan" / "codes.h5")
    weights = load_file(runs / "dvan" / "model.safetensors")
    answer = weights["answer.weight"].double().numpy(), weights["answer.bias"].double().numpy()
    tested = [row for row, split in enumerate(codes.voices.splits) if split == "test"]
    values = []
    for row in tested:
        voice = codes.voices.outputs[row].astype(np.float64)
        unlikely = []
        for image in codes.images.outputs:
            answers = np.exp(answer[0] @ np.tanh(image.astype(np.float64) + voice) + answer[1])
            unlikely.append(float(1 - answers[1] / answers.sum()))
        relevant = [label == codes.voices.labels[row] for label in codes.images.labels]
        values.append(average_precision(unlikely, relevant))
    found = results["dvan"]["voice_to_image"]["mAP"]
    assert found == pytest.approx(100 * np.mean(values), rel=1e-3)


@pytest.mark.parametrize("name", ["scrl", "dvan"])
def test_after_sign_the_figures_are_those_of_the_codes_alone(
    runs: Path, results: dict[str, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    protocol = replace(EVERYTHING, distance="hamming", seed=1)
    signs = evaluate(runs / name, protocol, out=tmp_path).results
    codes = read_codes(runs / name / "codes.h5")
    bare = replace(
        codes,
        images=replace(codes.images, outputs=None),
        voices=replace(codes.voices, outputs=None),
    )
    expected = evaluate_codes(bare, protocol).results
    assert figures(signs) == figures(expected)
    assert signs["protocol"]["distance"] == "hamming"
    assert "matching" not in signs
    assert "ranked by Hamming distance of the codes" in " ".join(results_table(signs).split())


@pytest.mark.parametrize("preset", PROTOCOLS)
@pytest.mark.parametrize("name", ["scrl", "dvan"])
def test_every_protocol_ranks_outputs(runs: Path, name: str, preset: str) -> None:
    codes, config = read_codes(runs / name / "codes.h5"), read_config(runs / name)
    measure = measure_of(load_model(runs / name, config, torch.device("cpu")))
    protocol = replace(PROTOCOLS[preset], distance=method_entry(name).build.distance, seed=0)
    found = [
        evaluate_codes(codes, replace(protocol, ties=ties), measure).results
        for ties in ("expectation", "file-order")
    ]
    # Real distances hardly tie, so the order of the file says nothing.
    assert figures(found[0]) == pytest.approx(figures(found[1]))
    assert found[0]["image_to_voice"]["mAP"] > 0


def test_curves_of_outputs_are_drawn_by_rank(runs: Path, tmp_path: Path) -> None:
    evaluate(runs / "scrl", EVERYTHING, out=tmp_path)
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert {line.split(",")[1] for line in lines[1:]} == {"retrieved", "rank"}
    assert (tmp_path / "pictures" / "precision-recall.png").stat().st_size > 10_000


def test_a_distance_that_the_method_does_not_have_is_refused(runs: Path, tmp_path: Path) -> None:
    words = "csq ranks by hamming, not by euclidean"
    with pytest.raises(EvaluateError, match=words):
        evaluate(runs / "csq", replace(EVERYTHING, distance="euclidean"), out=tmp_path)
    with pytest.raises(EvaluateError, match="scrl ranks by euclidean, not by matching"):
        evaluate(runs / "scrl", replace(EVERYTHING, distance="matching"), out=tmp_path)


def test_a_run_of_a_method_that_is_not_there_is_refused(runs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs / "lsh", tmp_path / "copy"))
    config = read_config(copy) | {"method": "of tomorrow"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"config.json of the run: no method 'of tomorrow'; there"):
        evaluate(copy, EVERYTHING)


def test_codes_without_outputs_say_how_to_make_them(runs: Path, tmp_path: Path) -> None:
    table = open_table(runs / "scrl" / "codes.h5", "codes")
    columns = {name: table.read(name) for name in table.columns if name != "outputs"}
    write_table(tmp_path / "codes.h5", table.kind, table.config, columns)
    with pytest.raises(EvaluateError, match="has no outputs to rank by; make it again with ivr"):
        evaluate(runs / "scrl", EVERYTHING, codes=tmp_path / "codes.h5", out=tmp_path)


@pytest.mark.parametrize("name", FREE)
def test_a_method_that_is_not_trained_leaves_one_line_and_no_checkpoint(
    features: Path, runs: Path, tmp_path: Path, name: str
) -> None:
    run = runs / name
    assert {path.name for path in run.iterdir()} == {
        ".lock",
        "config.json", "splits.json", "items.h5", "model.safetensors", "history.jsonl", "codes.h5",
        "digests.json",
    }  # fmt: skip
    (line,) = (run / "history.jsonl").read_text().splitlines()
    assert json.loads(line)["losses"] == {}
    assert json.loads(line)["image_to_voice"] > 0
    assert read_config(run)["training"] == {}
    stopped = Path(shutil.copytree(run, tmp_path / "run"))
    for left in ("model.safetensors", "codes.h5"):
        (stopped / left).unlink()
    resume_run(stopped, device="cpu")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, stopped))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert len((stopped / "history.jsonl").read_text().splitlines()) == 1
    codes = [open_table(folder / "codes.h5", "codes").read("codes") for folder in (run, stopped)]
    np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize("name", FREE)
def test_how_to_train_is_refused_for_a_method_that_is_not_trained(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is not trained in steps: leave out how to"):
        replace(config_of(name), training=TrainConfig(epochs=3))


@pytest.mark.parametrize("name", METHODS)
def test_config_json_says_whose_method_it_is_and_how_it_was_trained(
    features: Path, runs: Path, name: str
) -> None:
    config = read_config(runs / name)
    assert config["source"] == method_entry(name).build.source
    assert config["reconstruction"] == method_entry(name).build.reconstruction
    if name in TRAINED:
        assert config["training"]["optimiser"] == ("sgd" if name == "divh" else "adamw")
        assert config["training"]["learning_rate"] in (0.01, 0.02)


def test_a_model_that_cannot_be_built_is_refused_before_anything_is_written(
    features: Path, tmp_path: Path
) -> None:
    config = replace(config_of("dvan"), options=("hidden=8",))
    with pytest.raises(RunError, match="dvan: hidden must be at least bits=16, got 8"):
        train_run(features, tmp_path / "run", config)
    with pytest.raises(RunError, match="dvan: hidden must be"):
        describe_run(features, config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["hashnet", "cmir_net", "dvan", "csq"])
def test_a_method_that_was_stopped_goes_on_to_the_same_bits(
    features: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    class Stopped(Exception):
        pass

    def stop(path: Path, epoch: Any) -> None:
        if epoch.number == 7:
            raise Stopped
        write(path, epoch)

    write = stage.write_history
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(stage, "write_history", stop)
        train_run(features, tmp_path / "run", config_of(name))
    resume_run(tmp_path / "run", device="cpu")
    for file in ("model.safetensors", "checkpoint.safetensors"):
        ours, theirs = (load_file(folder / file) for folder in (runs / name, tmp_path / "run"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def documented() -> str:
    return (Path(__file__).resolve().parents[1] / "docs" / "explanation" / "methods.md").read_text()


def test_the_table_of_methods_in_the_docs_is_the_one_that_the_code_gives() -> None:
    rows = [line for line in documented().splitlines() if line.startswith("|")]
    assert "\n".join(rows) + "\n" == method_table()


def test_the_table_of_methods_names_source_distance_and_reconstruction_of_each() -> None:
    _, _, *rows = (line.strip("| ").split(" | ") for line in method_table().splitlines())
    assert [row[0].strip("`") for row in rows] == list(own_method_names())
    for name, what, source, ranks_by, differences in rows:
        method = method_entry(name.strip("`")).build
        assert what
        assert (source, ranks_by) == (method.source, RANKS_BY[method.distance])
        assert ("**reconstruction**" in differences) == bool(method.reconstruction)
