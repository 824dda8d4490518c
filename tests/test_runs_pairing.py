"""Pairs by class: training learns from images without a voice, and from voices without an image."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from test_runs_model import NETWORK, TRAINING, arrays

from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.extraction.feature_dataset import STREAMS, open_features
from ivr.pipeline.runs.model import fit
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError, read_config
from ivr.pipeline.runs.train import resume_run, train, train_run
from ivr.pipeline.runs.training_data import kept_voices, make_everything

CONFIG = RunConfig(
    "nested_codebook", bits=16, voices="all", seed=3, split=SplitConfig(0.2, 0.1, 5),
    options=NETWORK, training=replace(TRAINING, pairing="class"), device="cpu",
)  # fmt: skip
NAMES = ("forest", "pond", "river")


@pytest.fixture
def spoken(features: Path, tmp_path: Path) -> Path:
    """Features of which ann speaks the forests and ponds, bob the rivers and two forests."""
    folder = shutil.copytree(features, tmp_path / "spoken")
    rows: list[ManifestRow] = []
    for row in read_manifest(folder / "manifest.csv").rows:
        forests = {r.image for r in rows if r.label == "forest" and r.speaker == "bob"}
        bob = row.label == "river" or (row.label == "forest" and len(forests | {row.image}) < 3)
        rows.append(replace(row, speaker="bob" if bob else "ann"))
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    return Path(folder)


def test_all_labelled_images_and_voices_of_the_split_are_there_with_their_classes(
    spoken: Path,
) -> None:
    data = open_features(spoken)
    splits = {name: "train" for name in complete_splits(data.manifest, CONFIG.split)}
    voices = kept_voices(data, splits, {"speakers": ["ann"]})
    silent = {v.image for v in voices if v.label == "river"}
    splits |= dict.fromkeys(silent, "test")  # voices of rivers are trained on, their images not
    pairs = make_everything(data, splits, "train", NAMES, voices, ("mfcc",))
    assert pairs.voice_labels is not None
    images = sorted(i.name for i in data.image_items() if splits[i.name] == "train")
    assert len(pairs.labels) == len(images) == 12
    np.testing.assert_array_equal(pairs.images, data.image_vectors(images))
    kept = {v.name: v for v in voices}
    heard = pairs.voice_labels.numpy()
    assert len(heard) == len(kept) == 16
    assert [NAMES[number] for number in heard].count("river") == 12
    described = pairs.voice_image.numpy()
    assert list(described[:12]) == [-1] * 12
    assert {images[row] for row in described[12:]} == {
        v.image for v in voices if v.label == "forest"
    }
    assert list(pairs.labels.numpy()[described[12:]]) == list(heard[12:])


def test_images_of_a_class_that_is_left_out_are_not_learnt_from(spoken: Path) -> None:
    data = open_features(spoken)
    splits = {name: "train" for name in complete_splits(data.manifest, CONFIG.split)}
    voices = kept_voices(data, splits, {"classes": ["river"]})
    pairs = make_everything(data, splits, "train", NAMES[:2], voices, ("mfcc",))
    assert set(pairs.labels.tolist()) == {0, 1}
    assert len(pairs.labels) == 12


def test_a_split_in_which_no_class_has_both_is_refused(spoken: Path) -> None:
    data = open_features(spoken)
    splits = {name: "test" for name in complete_splits(data.manifest, CONFIG.split)}
    voices = data.voice_items()
    splits |= {v.name: "train" for v in voices if v.label == "river"}
    splits |= {i.name: "train" for i in data.image_items() if i.label == "pond"}
    with pytest.raises(RunError, match="no class has both an image and a voice in split train"):
        make_everything(data, splits, "train", NAMES, voices, ("mfcc",))


def test_training_by_class_learns_from_images_whose_voices_are_left_out(
    spoken: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ivr")
    own = replace(CONFIG, training=TRAINING, without_speakers=("ann",))
    by_class = replace(own, training=CONFIG.training)
    counts, kept = {}, {}
    for name, config in (("own", own), ("class", by_class)):
        caplog.clear()
        train_run(spoken, tmp_path / name, config)
        assert read_config(tmp_path / name)["training"]["pairing"] == name
        counts[name] = re.findall(r"(training|validation): (\d+) image", caplog.text)
        kept[name] = load_file(tmp_path / name / "model.safetensors")
    splits = json.loads((tmp_path / "own" / "splits.json").read_text())
    images = open_features(spoken).image_items()
    of_training = [item for item in images if splits[item.name] == "train"]
    assert counts["class"] == [("training", str(len(of_training))), counts["own"][1]]
    assert int(counts["own"][0][1]) < len(of_training)
    # The statistics of the images, too, are those of all images.
    mean = open_features(spoken).image_vectors([item.name for item in of_training]).mean(0)
    np.testing.assert_allclose(kept["class"]["image.standardise.mean"], mean, atol=1e-5)


def test_methods_that_learn_which_voice_belongs_to_which_image_refuse_it() -> None:
    for method in ("scrl", "cmir_net"):
        with pytest.raises(ValueError, match="it takes pairing own"):
            RunConfig(method, training=TrainConfig(pairing="class"))
    with pytest.raises(ValueError, match="not trained in steps"):
        RunConfig("lsh", training=TrainConfig(pairing="class"))


def test_a_run_of_an_earlier_version_goes_on_with_pairs_of_its_own(
    features: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, training=replace(TRAINING, epochs=1))
    for folder in ("old", "new"):
        train_run(features, tmp_path / folder, config)
    path = tmp_path / "old" / "config.json"
    recorded = json.loads(path.read_text())
    assert recorded["training"].pop("pairing") == "own"
    path.write_text(json.dumps(recorded))
    resume_run(tmp_path / "old", expected=config)
    with pytest.raises(RunError, match="was begun with training"):
        resume_run(tmp_path / "old", expected=replace(config, training=CONFIG.training))


def test_arrays_are_paired_by_class_as_features_are(features: Path, tmp_path: Path) -> None:
    result = train(features, tmp_path / "run", CONFIG)
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    data = open_features(features)
    names = sorted(item.name for item in data.image_items() if splits[item.name] != "test")
    voice = data.voice_settings()
    model = fit(
        **arrays(features, names), method="nested_codebook", bits=16, seed=3, device="cpu",
        mels=voice["mels"], sample_rate=voice["sample_rate"], streams=STREAMS,
        validation=np.array([splits[name] == "val" for name in names]),
        training=CONFIG.training, network=settings_of_network(),
    )  # fmt: skip
    assert model.validation == {
        "image_to_voice": result.image_to_voice, "voice_to_image": result.voice_to_image,
    }  # fmt: skip


def settings_of_network() -> object:
    from test_runs_model import settings

    return settings("nested_codebook")["network"]
