import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_one_line, ivr, merged, succeeded
from safetensors.numpy import load_file

from ivr.cli import main
from ivr.cli.train_hash import train_hash as train_command
from ivr.features.store import open_table, write_table
from ivr.hashing.codes import unpack
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.methods.divh import DIVHConfig
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runtime.config_options import describe

SMALL = (
    "--bits", "16", "--device", "cpu", "--batch-size", "6", "--learning-rate", "0.01",
    "--set", "network.voice_channels=8", "--set", "network.voice_stride=1",
    "--set", "network.voice_kernel=3",
)  # fmt: skip
SHORT = (*SMALL, "--epochs", "2")


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, read only."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    succeeded(ivr("train-hash", features, "--out", folder, *SHORT))
    return folder


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def with_rows(features: Path, to: Path, change: Callable[[ManifestRow], ManifestRow]) -> Path:
    """A copy of ``features`` whose manifest has ``change`` of each row."""
    copied(features, to)
    rows = read_manifest(to / "manifest.csv").rows
    write_manifest(to / "manifest.csv", Manifest(tuple(change(row) for row in rows)))
    return to


def other_encoder(features: Path, to: Path) -> Path:
    copied(features, to)
    table = open_table(to / "images.h5", "image features")
    config = {**table.config, "settings": {**table.config["settings"], "encoder": "resnet50"}}
    columns = {name: table.read(name) for name in table.columns}
    write_table(to / "images.h5", table.kind, config, columns)
    return to


def test_from_images_and_voices_to_figures(media_set: Path) -> None:
    features, run = media_set / "features", media_set / "run"
    extracted = succeeded(
        ivr(
            "extract", media_set / "manifest.csv", "--out", features, "--encoder", "squeezenet1_0",
            "--weights", "random", "--voice-option", "frames=30", "--jobs", "1", "--device", "cpu",
        )
    )  # fmt: skip
    assert f"next: ivr train-hash {features} --out RUN" in extracted.stdout
    trained = succeeded(
        ivr("train-hash", features, "--out", run, *SMALL, "--voices", "all", "--epochs", "8")
    )
    assert trained.stdout == f"{run}: model, history and codes; next: ivr evaluate {run}\n"
    assert "epoch 8/8: loss" in trained.stderr
    table = succeeded(ivr("evaluate", run)).stdout
    assert "3 queries on 3 (image -> voice), 3 queries on 3 (voice -> image)" in table
    assert "chance" in table
    everything = succeeded(ivr("evaluate", run, "--voices", "all", "--database", "all", "--json"))
    results = json.loads(everything.stdout)
    assert all(0 < results[d]["mAP"] <= 100 for d in ("image_to_voice", "voice_to_image"))
    assert results["image_to_voice"]["gallery"] == 36
    assert (run / "pictures" / "precision.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (run / "curves.csv").read_text().startswith("direction,curve,at,precision,recall,")


def test_json_is_one_object_in_percent_and_the_same_as_the_file(run: Path, tmp_path: Path) -> None:
    result = succeeded(ivr("evaluate", run, "--json", "--out", tmp_path))
    found = json.loads(result.stdout)
    assert found == json.loads((tmp_path / "results.json").read_text())
    assert {"image_to_voice", "voice_to_image", "chance", "protocol"} <= set(found)
    names = {f"{letter}@{k}" for letter in "PRF" for k in (1, 5, 10)}
    for figures in (found, found["chance"]):
        for direction in ("image_to_voice", "voice_to_image"):
            assert {"mAP", "mAP_lower", "mAP_upper", *names} <= set(figures[direction])
    # Three images of three classes: one relevant item among three, so the bounds are in percent.
    assert found["chance"]["image_to_voice"]["mAP"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 3) / 3)
    assert found["chance"]["image_to_voice"]["P@1"] == pytest.approx(100 / 3)
    assert found["chance"]["voice_to_image"]["R@10"] == pytest.approx(100)
    assert found["protocol"]["voices"] == "one"


def test_every_option_of_evaluate_reaches_the_protocol(run: Path, tmp_path: Path) -> None:
    options = {
        "relevance": "pair", "database": "train", "voices": "all", "cutoff": 7,
        "denominator": "min", "ties": "file-order", "empty": "skip", "seed": 5,
    }  # fmt: skip
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    # Queries of the test split have no pair in the training split.
    assert_one_line(ivr("evaluate", run, "--out", tmp_path, *given), "no query has a relevant item")
    options["database"] = "all"
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    result = succeeded(ivr("evaluate", run, "--json", "--out", tmp_path, *given))
    found = json.loads(result.stdout)["protocol"]
    assert {name: found[name] for name in options} == options


def test_a_preset_is_overridden_option_by_option(run: Path, tmp_path: Path) -> None:
    result = ivr("evaluate", run, "--protocol", "rsicd-150", "--cutoff", "9", "--out", tmp_path,
                 "--json")  # fmt: skip
    found = json.loads(succeeded(result).stdout)["protocol"]
    assert (found["cutoff"], found["denominator"], found["voices"]) == (9, "hits", "all")


def test_encode_writes_codes_and_says_where(run: Path, features: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.h5"
    result = succeeded(ivr("encode", run, "--features", features, "--out", path, "--device", "cpu"))
    assert result.stdout == f"{path}: written\n"
    ours, theirs = read_codes(run / "codes.h5"), read_codes(path)
    np.testing.assert_array_equal(unpack(theirs.images.codes, 16), unpack(ours.images.codes, 16))


def test_describe_prints_every_option_of_the_method_without_any_features() -> None:
    lines = succeeded(ivr("train-hash", "--describe", "divh")).stdout.splitlines()
    heads = [line for line in lines if not line.startswith((" ", "#"))]
    assert heads == [f"{name}={default}" for name, default, _ in describe(DIVHConfig)]
    assert "gamma=" in heads[0]
    assert any(head.startswith("network.dropout=") for head in heads)
    texts = " ".join(line.strip() for line in lines if line.startswith(" "))
    for _, _, text in describe(DIVHConfig):
        assert text in texts


def test_every_method_is_named_in_the_help_and_described() -> None:
    (option,) = (p for p in train_command.params if "--method" in p.opts)
    *named, own = option.help.removeprefix("Hashing method: ").split(", ")  # type: ignore[attr-defined]
    assert (tuple(named), own) == (method_names(), "or module:Class for a method of your own.")
    for name in named:
        entry = method_entry(name)
        lines = succeeded(ivr("train-hash", "--describe", name)).stdout.splitlines()
        assert lines[0] == f"# {name}: {entry.build.source}"
        assert lines[1] == f"# ranks by {entry.build.distance} distance"
        reconstructed = [line for line in lines if line.startswith("# reconstruction")]
        mark = entry.build.reconstruction
        assert reconstructed == ([f"# reconstruction, {mark}"] if mark else [])
        heads = [line for line in lines if not line.startswith((" ", "#"))]
        assert heads == [f"{name}={default}" for name, default, _ in describe(entry.config)]
    # A nested default is the method's own.
    text = succeeded(ivr("train-hash", "--describe", "scrl")).stdout
    assert "network.voice_stride=2,1,1" in text


def test_a_reconstruction_is_said_while_it_is_trained(features: Path, tmp_path: Path) -> None:
    result = ivr("train-hash", features, "--out", tmp_path / "run", "--method", "dtbh", *SHORT)
    said = succeeded(result).stderr
    assert "method: dtbh, DTBH, Remote Sensing 2020, 12(1), 84" in said
    assert f"reconstruction: {method_entry('dtbh').build.reconstruction}" in said
    table = succeeded(ivr("evaluate", tmp_path / "run")).stdout
    assert table.startswith("dtbh (reconstruction), 16 bits\n")


def test_sign_codes_of_a_real_valued_method_are_ranked_when_asked(
    features: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeded(ivr("train-hash", features, "--out", run, "--method", "scrl", *SHORT))
    found = [
        json.loads(succeeded(ivr("evaluate", run, "--json", *more)).stdout)["protocol"]["distance"]
        for more in ((), ("--distance", "own"), ("--distance", "hamming"))
    ]
    assert found == ["euclidean", "euclidean", "hamming"]


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(
    features: Path, tmp_path: Path
) -> None:
    result = ivr("train-hash", features, "--out", tmp_path / "run", "--dry-run", *SHORT,
                 "--set", "gamma=0.25", "--seed", 4, "--split", "80/10/10")  # fmt: skip
    found = json.loads(succeeded(result).stdout)
    assert found["options"]["gamma"] == 0.25
    assert (found["seed"], found["split"]["seed"], found["split"]["test"]) == (4, 4, 0.1)
    assert found["training"]["epochs"] == 2
    assert list(tmp_path.iterdir()) == []


def test_the_split_can_have_a_seed_of_its_own(features: Path, tmp_path: Path) -> None:
    result = ivr("train-hash", features, "--out", tmp_path / "run", "--dry-run", *SHORT,
                 "--seed", 4, "--split-seed", 0)  # fmt: skip
    found = json.loads(succeeded(result).stdout)
    assert (found["seed"], found["split"]["seed"]) == (4, 0)


def test_a_run_in_the_way_is_refused_and_overwritten_when_asked(
    features: Path, run: Path, tmp_path: Path
) -> None:
    copy = copied(run, tmp_path / "copy")
    again = ("train-hash", features, "--out", copy, *SHORT, "--seed", 9)
    assert_one_line(
        ivr(*again), "exists already; continue it with --resume, start anew with --overwrite"
    )
    succeeded(ivr(*again, "--overwrite"))
    assert json.loads((copy / "config.json").read_text())["seed"] == 9


def test_overwrite_does_not_remove_a_folder_that_is_no_run(features: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "config.json").write_text("{}")
    result = ivr("train-hash", features, "--out", tmp_path, "--overwrite", *SHORT)
    assert_one_line(result, "config.json: not the config of a run")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_killed_run_goes_on_to_the_same_bits_as_one_that_was_not(
    features: Path, tmp_path: Path
) -> None:
    options = (*SMALL, "--epochs", "25")
    killed, history = tmp_path / "killed", tmp_path / "killed" / "history.jsonl"
    command = [sys.executable, "-m", "ivr", "train-hash", features, "--out", killed, *options]
    with subprocess.Popen(
        list(map(str, command)),
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        deadline = time.monotonic() + 120
        while not history.exists() or history.read_text().count("\n") < 3:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "codes.h5").exists()
    assert json.loads((killed / ".lock").read_text())["held"]
    resumed = succeeded(ivr("train-hash", features, "--out", killed, "--resume"))
    assert "continuing after epoch" in resumed.stderr
    whole = tmp_path / "whole"
    succeeded(ivr("train-hash", features, "--out", whole, *options))
    for name in ("model.safetensors", "checkpoint.safetensors"):
        ours, theirs = load_file(killed / name), load_file(whole / name)
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
    assert len(history.read_text().splitlines()) == 25


def test_resume_takes_the_options_of_the_run_and_refuses_others(
    features: Path, run: Path, tmp_path: Path
) -> None:
    copy = copied(run, tmp_path / "copy")
    again = ("train-hash", features, "--out", copy, "--resume")
    succeeded(ivr(*again))
    succeeded(ivr(*again, *SHORT))
    assert_one_line(ivr(*again, *SHORT, "--seed", 1), "was begun with seed 0, now asked for 1")
    assert_one_line(ivr(*again, "--bits", "32"), "was begun with bits 16, now asked for 32")


@pytest.mark.parametrize("use", ["encode", "resume"])
def test_features_of_another_encoder_are_refused_in_one_line(
    features: Path, run: Path, tmp_path: Path, use: str
) -> None:
    other, copy = other_encoder(features, tmp_path / "other"), copied(run, tmp_path / "copy")
    if use == "encode":
        result = ivr("encode", copy, "--features", other, "--out", tmp_path / "codes.h5")
        words = "images were made with encoder resnet50, the run was trained on made up"
    else:
        result = ivr("train-hash", other, "--out", copy, "--resume")
        words = "other: not the features that"
    assert_one_line(result, words)


def test_codes_of_another_encoders_run_are_refused_in_one_line(
    features: Path, run: Path, tmp_path: Path
) -> None:
    other = other_encoder(features, tmp_path / "other")
    succeeded(ivr("train-hash", other, "--out", tmp_path / "run", *SHORT, "--seed", 1))
    result = ivr("evaluate", run, "--codes", tmp_path / "run" / "codes.h5", "--out", tmp_path)
    assert_one_line(result, "codes.h5: not made with the model of")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "codes.h5"])
def test_a_damaged_run_is_one_line(features: Path, run: Path, tmp_path: Path, name: str) -> None:
    copy = copied(run, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:200])
    commands = {
        "model.safetensors": [("encode", copy)],
        "config.json": [
            ("encode", copy), ("evaluate", copy),
            ("train-hash", features, "--out", copy, "--resume"),
        ],
        "codes.h5": [("evaluate", copy)],
    }  # fmt: skip
    for command in commands[name]:
        assert_one_line(ivr(*command), name)


@pytest.mark.parametrize(
    ("name", "before", "after", "command", "words"),
    [
        (
            "config.json",
            '"delta-delta"',
            '"delta-Delta"',
            "encode",
            "no voice stream 'delta-Delta'",
        ),
        (
            "config.json",
            '"images": {',
            '"imbges": {',
            "evaluate",
            "images: Field required",
        ),
        ("config.json", '"pond"', '"qond"', "resume", "'pond' is none of the classes of the run"),
        ("config.json", '"window"', '"Window"', "search", "its features lack window"),
        ("config.json", '"frames": 40,', '"frames": 48,', "search", "not those of its sizes"),
        ("splits.json", "images/pond/0", "images/qond/0", "encode", "has no split of"),
        ("splits.json", '"val"', '"vam"', "resume", "is 'vam'"),
    ],
)
def test_one_byte_of_a_run_changed_is_one_line(
    features: Path,
    run: Path,
    tmp_path: Path,
    name: str,
    before: str,
    after: str,
    command: str,
    words: str,
) -> None:
    copy = copied(run, tmp_path / "copy")
    text = (copy / name).read_text()
    assert before in text
    (copy / name).write_text(text.replace(before, after, 1))
    voice = features.parent / "media/voices/pond/0_0.wav"
    calls = {
        "encode": ("encode", copy, "--device", "cpu"),
        "evaluate": ("evaluate", copy),
        "resume": ("train-hash", features, "--out", copy, "--resume", "--device", "cpu"),
        "search": ("search", copy, "--voice", voice, "--device", "cpu"),
    }
    assert_one_line(ivr(*calls[command]), words)


def test_a_damaged_history_does_not_keep_a_run_from_going_on(
    features: Path, run: Path, tmp_path: Path
) -> None:
    copy = copied(run, tmp_path / "copy")
    history = (copy / "history.jsonl").read_bytes()
    (copy / "history.jsonl").write_bytes(b"\xff" + history[1:])
    succeeded(ivr("train-hash", features, "--out", copy, "--resume", "--device", "cpu"))
    assert (copy / "history.jsonl").read_bytes() == b"\xff" + history[1:]


def test_codes_without_a_column_are_refused(run: Path, tmp_path: Path) -> None:
    table = open_table(run / "codes.h5", "codes")
    columns = {name: table.read(name) for name in table.columns if name != "splits"}
    write_table(tmp_path / "codes.h5", table.kind, table.config, columns)
    result = ivr("evaluate", run, "--codes", tmp_path / "codes.h5", "--out", tmp_path)
    assert_one_line(result, "codes.h5: not codes that ivr encode writes; make them again")


def test_places_where_nothing_is_are_one_line(features: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert_one_line(
        ivr("train-hash", nowhere, "--out", tmp_path / "run", *SHORT), "no such folder of"
    )
    for command in (("encode", nowhere), ("evaluate", nowhere)):
        assert_one_line(ivr(*command), "nowhere: no such folder; ivr train-hash FEATURES --out")
    result = ivr("train-hash", features, "--out", nowhere, "--resume")
    assert_one_line(result, "no such folder; ivr train-hash")
    assert not nowhere.exists()


def test_data_that_cannot_be_trained_on_is_one_line(features: Path, tmp_path: Path) -> None:
    changes: dict[str, Callable[[ManifestRow], ManifestRow]] = {
        "no item has a label": lambda row: replace(row, label=""),
        "is the only class": lambda row: replace(row, label="pond"),
        "no item is in split test": lambda row: replace(row, split="train"),
        "no labelled image of split val has a voice": lambda row: replace(
            row, split="test" if row.image[-5] in "2345" else "train"
        ),
    }
    for number, (words, change) in enumerate(changes.items()):
        other = with_rows(features, tmp_path / str(number), change)
        assert_one_line(ivr("train-hash", other, "--out", tmp_path / "run", *SHORT), words)
        assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_is_one_line(features: Path, tmp_path: Path) -> None:
    wild = ("--learning-rate", "1e30", "--set", "activation=linear")
    result = ivr("train-hash", features, "--out", tmp_path / "run", *merged(SHORT, *wild))
    assert_one_line(result, "lower the learning rate (1e+30)")


def test_a_class_that_was_never_trained_on_is_evaluated(features: Path, tmp_path: Path) -> None:
    def unseen(row: ManifestRow) -> ManifestRow:
        tested = row.label == "river" or row.image[-5] == "5"
        return replace(row, split="test" if tested else "val" if row.image[-5] == "4" else "train")

    other, run = with_rows(features, tmp_path / "features", unseen), tmp_path / "run"
    trained = succeeded(ivr("train-hash", other, "--out", run, *SHORT))
    assert "note: the test split has images of river, the training split has none" in trained.stderr
    assert json.loads((run / "config.json").read_text())["classes"] == ["forest", "pond"]
    found = json.loads(succeeded(ivr("evaluate", run, "--voices", "all", "--json")).stdout)
    assert (found["image_to_voice"]["queries"], found["image_to_voice"]["gallery"]) == (8, 16)
    assert set(found["image_to_voice"]["per_class"]) == {"forest", "pond", "river"}
    assert found["image_to_voice"]["per_class"]["river"] > 0


def test_classes_can_be_left_out_and_searched_among_each_other(
    features: Path, run: Path, tmp_path: Path
) -> None:
    def of_five(row: ManifestRow) -> ManifestRow:
        number = Path(row.image).stem
        label = row.label if row.label == "pond" else f"{row.label}{int(number) % 2}"
        return replace(row, label=label, split={"0": "test", "1": "test", "2": "val",
                       "3": "val"}.get(number, "train"))  # fmt: skip

    five, out = with_rows(features, tmp_path / "five", of_five), tmp_path / "run"
    left = ("--without-class", "pond", "--without-class", "river0")
    result = succeeded(ivr("train-hash", five, "--out", out, *SHORT, *left))
    assert "left out of training: classes pond, river0" in result.stderr
    assert "no image of it is trained on" not in result.stderr
    config = json.loads((out / "config.json").read_text())
    assert config["left_out"]["classes"] == ["pond", "river0"]
    assert config["classes"] == ["forest0", "forest1", "river1"]
    found = json.loads(succeeded(ivr("evaluate", out, "--classes", "unseen", "--json")).stdout)
    assert set(found["image_to_voice"]["per_class"]) == {"pond", "river0"}
    assert found["image_to_voice"]["gallery"] == 3
    assert (
        "only classes that training saw"
        in succeeded(ivr("evaluate", out, "--classes", "seen")).stdout
    )
    succeeded(ivr("train-hash", five, "--out", out, "--resume", *SHORT, *left))
    refused = ivr("train-hash", five, "--out", out, "--resume", *SHORT, *left[:2])
    assert_one_line(refused, "was begun with left_out")
    assert_one_line(ivr("evaluate", run, "--classes", "unseen"), "the run saw all the classes")
    for options, words in (
        (("--without-class", "sea"), "no class 'sea'; there are forest, pond, river"),
        (("--unseen-classes", "0.3"), "1 of the classes would be left to train on"),
    ):
        new = ivr("train-hash", features, "--out", tmp_path / "none", *SHORT, *options)
        assert_one_line(new, words)
    assert not (tmp_path / "none").exists()


def test_every_setting_of_the_loop_can_be_set(features: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--set", "training.warm_up=0.25", "--set", "training.validate_every=3")
    succeeded(ivr("train-hash", features, "--out", run, *SHORT, *options))
    training = json.loads((run / "config.json").read_text())["training"]
    assert (training["warm_up"], training["validate_every"]) == (0.25, 3)
    assert training["weight_decay"] is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bits", "12"), "bits must be one of"),
        (("--method", "dvih"), "no method 'dvih'; did you mean divh?"),
        (("--describe", "dvih"), "no method 'dvih'; did you mean divh?"),
        (("--streams", "mfcc,mfcc"), "streams must be given once each, got mfcc,mfcc"),
        (("--split", "70/30"), "'70/30' is not one of '80/20', '80/10/10'"),
        (("--set", "gama=1"), "no option 'gama'; did you mean gamma"),
        (("--set", "gamma"), "'gamma' is not of the form NAME=VALUE"),
        (("--set", "gamma=much"), "gamma must be of type float, got 'much'"),
        (("--set", "gamma=-1"), "gamma must be at least 0, got -1"),
        (("--set", "balance=some"), "balance must be joint or separate, got 'some'"),
        (("--epochs", "0"), "epochs must be at least 1, got 0"),
        (("--batch-size", "2"), "batch_size must be at least 3, got 2"),
        (("--learning-rate", "-1"), "learning_rate must be above 0, got -1.0"),
        (("--weight-decay", "-1"), "weight_decay must be at least 0, got -1.0"),
        (("--seed", "-1"), "seed must be at least 0, got -1"),
        (("--unseen-classes", "1"), "unseen_classes must be in [0, 1), got 1.0"),
        (("--voices", "two"), "'two' is not one of 'one', 'all'"),
        (("--resume", "--overwrite"), "--resume continues a run, --overwrite replaces it"),
    ],
)
def test_a_wrong_option_of_train_hash_is_a_usage_error_before_anything_is_written(
    features: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = ivr("train-hash", features, "--out", tmp_path / "run", *options)
    assert_one_line(result, words, status=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cutoff", "0"), "cutoff must be at least 1, got 0"),
        (("--protocol", "dtbh"), "'dtbh' is not one of"),
        (("--ties", "random"), "'random' is not one of"),
        (("--distance", "cosine"), "'cosine' is not one of"),
        (("--seed", "-1"), "seed must be at least 0, got -1"),
        (("--speaker", "a", "--speaker", "b"), "--speaker is given 2 times; give it once"),
        (("--bits", "8", "--bits=8"), "--bits is given 2 times; give it once"),
    ],
)
def test_a_wrong_option_of_evaluate_is_a_usage_error(
    run: Path, options: tuple[str, ...], words: str
) -> None:
    assert_one_line(ivr("evaluate", run, *options), words, status=2)


@pytest.mark.parametrize(
    ("device", "words"),
    [("tpu", "device must be auto, cpu, cuda or cuda:N"), ("cuda:99", "torch sees")],
)
def test_a_device_that_is_not_there_is_one_line_and_leaves_nothing(
    features: Path, run: Path, tmp_path: Path, device: str, words: str
) -> None:
    new = ("train-hash", features, "--out", tmp_path / "run", "--bits", "16", "--device", device)
    assert_one_line(ivr(*new), words)
    assert not (tmp_path / "run").exists()
    assert_one_line(ivr("encode", run, "--device", device), words)


@pytest.mark.parametrize("command", ["train-hash", "encode", "evaluate"])
def test_help_names_every_option_and_has_an_example(command: str) -> None:
    text = succeeded(ivr(command, "--help")).stdout
    assert f"ivr {command} " in text.split("Example:")[1]
    for parameter in main.get_command(None, command).params:  # type: ignore[arg-type,union-attr]
        if parameter.param_type_name == "option":
            assert getattr(parameter, "help", None), parameter.name
