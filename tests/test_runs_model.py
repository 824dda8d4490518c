"""Models in memory: fitted on arrays, saved, loaded; the same as runs in folders."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import assert_one_line, ivr, succeeded

from ivr.hashing.codes import unpack
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.extraction.feature_dataset import STREAMS, open_features
from ivr.pipeline.runs.arrays import FitError
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.model import Model, fit, load
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError
from ivr.pipeline.runs.train import train
from ivr.pipeline.runs.verify import verify

NETWORK = ("network.voice_channels=8", "network.voice_stride=1", "network.image_hidden=16")
TRAINING = TrainConfig(epochs=4, batch_size=4, learning_rate=0.01, validate_every=1)


def arrays(features: Path, names: list[str]) -> dict[str, Any]:
    """Images ``names``, all their voices and their classes, in alphabetical order."""
    data = open_features(features)
    labels = {item.name: item.label for item in data.image_items()}
    voices = sorted((v for v in data.voice_items() if v.image in names), key=lambda v: v.name)
    voices.sort(key=lambda v: names.index(v.image))
    vectors, frames = data.voice_vectors([voice.name for voice in voices], STREAMS)
    return {
        "images": data.image_vectors(names),
        "voices": vectors,
        "labels": [labels[name] for name in names],
        "frames": frames,
        "voice_image": [names.index(voice.image) for voice in voices],
    }


def settings(method: str) -> dict[str, Any]:
    """Options of ``fit`` for small networks."""
    from ivr.hashing.methods import method_entry
    from ivr.pipeline.runtime.config_options import configured

    if not method_entry(method).trained:
        return {}
    config = configured(method_entry(method).config, NETWORK)
    return {"network": config.network, "training": TRAINING}


@pytest.mark.parametrize("method", ["divh", "csq", "cca_itq"])
def test_fitting_arrays_and_training_features_give_the_same_codes(
    features: Path, tmp_path: Path, method: str
) -> None:
    trained = method != "cca_itq"
    result = train(
        features, tmp_path / "run",
        RunConfig(
            method, bits=16, voices="all", seed=3, options=NETWORK if trained else (),
            training=TRAINING if trained else TrainConfig(), device="cpu",
        ),
    )  # fmt: skip
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    data = open_features(features)
    names = sorted(item.name for item in data.image_items() if splits[item.name] != "test")
    given = arrays(features, names)
    voice = data.voice_settings()
    model = fit(
        **given, method=method, bits=16, seed=3, device="cpu", mels=voice["mels"],
        sample_rate=voice["sample_rate"],
        validation=np.array([splits[name] == "val" for name in names]), **settings(method),
    )  # fmt: skip
    codes = read_codes(tmp_path / "run" / "codes.h5")
    rows = [codes.images.names.index(name) for name in names]
    np.testing.assert_array_equal(model.encode_images(given["images"]), codes.images.codes[rows])
    of_voice = dict(zip(codes.voices.names, codes.voices.codes, strict=True))
    spoken = [v.name for v in sorted(data.voice_items(), key=lambda v: v.name) if v.image in names]
    found = model.encode_voices(given["voices"], given["frames"])
    np.testing.assert_array_equal(found, [of_voice[name] for name in spoken])
    assert (model.epoch, len(model.history)) == (result.epoch, result.epochs)
    assert model.validation == {
        "image_to_voice": result.image_to_voice, "voice_to_image": result.voice_to_image,
    }  # fmt: skip
    loaded = load(tmp_path / "run", device="cpu")
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(
        loaded.encode_images(given["images"]), model.encode_images(given["images"])
    )


@pytest.fixture(scope="module")
def given(features: Path) -> dict[str, Any]:
    names = sorted(item.name for item in open_features(features).image_items())
    return arrays(features, names)


@pytest.fixture(scope="module")
def model(given: dict[str, Any]) -> Model:
    return fit(**given, method="cca_sign", bits=16, device="cpu")


def test_codes_are_packed_or_of_minus_and_plus_one(given: dict[str, Any], model: Model) -> None:
    packed = model.encode_images(given["images"])
    plain = model.encode_images(given["images"], packed=False)
    assert (packed.dtype, packed.shape) == (np.uint8, (18, 2))
    assert (plain.dtype, plain.shape) == (np.int8, (18, 16))
    assert set(np.unique(plain)) == {-1, 1}
    np.testing.assert_array_equal(unpack(packed, 16), plain)


def test_a_model_says_what_it_is(model: Model) -> None:
    scores = model.validation
    assert repr(model) == (
        "Model(cca_sign, 16 bits, 3 classes, epoch 1 of 1, validation mAP image_to_voice "
        f"{scores['image_to_voice']:.2f} %, voice_to_image {scores['voice_to_image']:.2f} %)"
    )
    assert model.classes == ("forest", "pond", "river")


def test_a_saved_model_is_a_run_folder_that_the_commands_accept(
    features: Path, given: dict[str, Any], model: Model, tmp_path: Path
) -> None:
    folder = model.save(tmp_path / "saved")
    assert verify(folder).whole
    again = load(folder, device="cpu")
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(
        again.encode_voices(given["voices"], given["frames"]),
        model.encode_voices(given["voices"], given["frames"]),
    )
    assert_one_line(ivr("evaluate", folder), "codes.h5")
    codes = tmp_path / "codes.h5"
    succeeded(ivr("encode", folder, "--features", features, "--out", codes, "--device", "cpu"))
    found = read_codes(codes).images
    order = [sorted(found.names).index(name) for name in found.names]
    np.testing.assert_array_equal(model.encode_images(given["images"])[order], found.codes)
    with pytest.raises(RunError, match="saved: exists already; give another folder"):
        model.save(folder)


def test_a_model_fitted_on_arrays_knows_no_encoder_of_files(model: Model, tmp_path: Path) -> None:
    words = "this model: was fitted on arrays and knows no image encoder; give arrays of"
    with pytest.raises(RunError, match=words):
        model.encode_images(tmp_path / "scene.png")
    with pytest.raises(RunError, match="was fitted on arrays and knows no settings of the voices"):
        model.encode_voices([tmp_path / "a.wav", tmp_path / "b.wav"])
    saved = model.save(tmp_path / "saved")
    with pytest.raises(RunError, match="saved: was fitted on arrays and knows no image encoder"):
        load(saved).encode_images(str(tmp_path / "scene.png"))


def test_validation_takes_its_share_of_every_class_and_the_seed_decides_which() -> None:
    from ivr.pipeline.runs.arrays import validation_rows

    numbers = np.repeat([0, 1, 2], [20, 10, 2])
    kept = validation_rows(0.1, numbers, 0)
    assert np.bincount(numbers[kept], minlength=3).tolist() == [2, 1, 0]  # two are left to learn
    assert (kept == validation_rows(0.1, numbers, 0)).all()
    assert any((kept != validation_rows(0.1, numbers, seed)).any() for seed in range(1, 5))


def test_options_go_to_the_training_and_to_the_method(given: dict[str, Any]) -> None:
    network = settings("divh")["network"]
    model = fit(
        **given, method="divh", bits=16, epochs=1, batch_size=4, gamma=0.5,
        network=replace(network, image_hidden=8), device="cpu",
    )  # fmt: skip
    assert model.config["options"]["gamma"] == 0.5
    assert model.config["options"]["network"]["image_hidden"] == 8
    assert (model.config["training"]["epochs"], len(model.history)) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ["1", "1.0", "2"] * 6}, r"several spellings .*: labels '1' \(6 rows\) and '1"),
        ({"labels": ["pond"]}, "one label per image is needed, got 1 for 18"),
        ({"labels": ["", " ", *["pond", "meadow"] * 8]}, "2 of 18 images have no label, e.g. that"),
        ({"labels": [None, *["pond"] * 17]}, "1 of 18 images have no label, e.g. that of row 0"),
        ({"labels": [1.0, float("nan"), *[0.0] * 16]}, "1 of 18 images have no label, e.g. that"),
        ({"voice_image": None}, "36 voices for 18 images: say with voice_image"),
        ({"voice_image": [99] * 36}, "voice_image must be rows from 0 to 17"),
        ({"frames": [1, 2]}, r"frames must be one number per voice, integers \[36\]"),
        ({"images": np.zeros((18, 2, 2))}, r"images must be numbers \[n, any\], got float64"),
        ({"validation": 0.0}, r"validation must be a share in \(0, 1\), got 0.0"),
        ({"validation": np.zeros(3, bool)}, r"validation must be a share or booleans \[18\]"),
    ],
)
def test_arrays_that_cannot_be_learnt_from_are_refused(
    given: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(FitError, match=words):
        fit(**(given | changes), method="cca_sign", bits=16)


def test_an_image_without_a_voice_is_left_out(given: dict[str, Any]) -> None:
    more = given | {
        "images": np.concatenate([given["images"], given["images"][:1]]),
        "labels": [*given["labels"], given["labels"][0]],
    }
    kept = np.zeros(19, bool)
    kept[[0, 6, 12]] = True
    ours = fit(**more, method="cca_sign", bits=16, validation=kept, device="cpu")
    theirs = fit(**given, method="cca_sign", bits=16, validation=kept[:18], device="cpu")
    np.testing.assert_array_equal(
        ours.encode_images(given["images"]), theirs.encode_images(given["images"])
    )


def test_a_run_that_is_loaded_and_saved_again_encodes_the_same_codes(
    features: Path, tmp_path: Path
) -> None:
    train(features, tmp_path / "run", RunConfig(method="lsh", bits=16, device="cpu"))
    copy = load(tmp_path / "run").save(tmp_path / "copy")
    succeeded(ivr("encode", copy))
    ours, theirs = (read_codes(tmp_path / name / "codes.h5") for name in ("run", "copy"))
    assert ours.images.splits == theirs.images.splits
    assert np.array_equal(ours.images.codes, theirs.images.codes)
    assert np.array_equal(ours.voices.codes, theirs.voices.codes)


def test_a_model_of_arrays_does_not_take_the_working_folder_for_its_features(
    model: Model, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = model.save(tmp_path / "saved")
    monkeypatch.chdir(features)
    assert_one_line(ivr("encode", saved), "was fitted on arrays")
    out = tmp_path / "codes.h5"
    succeeded(ivr("encode", saved, "--features", features, "--out", out))
    assert len(read_codes(out).images.names) == len(open_features(features).image_items())
