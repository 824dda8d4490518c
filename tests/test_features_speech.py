"""Pretrained speech encoders as voice encoders, on tiny random models."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from speech_models import KINDS, LAYERS, WIDTH, write_speech_model
from transformers import WhisperFeatureExtractor

from ivr.features import speech_folder
from ivr.features.media import MediaError
from ivr.features.mfcc import VoiceConfig
from ivr.features.speech_network import SpeechEncoder
from ivr.features.speech_readers import SILENCE, SpeechReader, WhisperReader
from ivr.features.voice_blueprint import VoiceBlueprint, VoiceEncoderError
from ivr.features.voice_encoder_config import VoiceChoices, VoiceEncoderConfig
from ivr.features.voice_encoders import voice_blueprint
from ivr.names import UnknownNameError

SECONDS = 1.5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind; tests read them only, or copy them."""
    place = tmp_path_factory.mktemp("speech")
    return {kind: write_speech_model(place / kind, kind) for kind in KINDS}


def blueprint_of(folder: Path, *, layer: int = 0, pooling: int = 1) -> VoiceBlueprint:
    name = f"transformers:{folder}"
    return voice_blueprint(VoiceChoices(VoiceEncoderConfig(name, layer, pooling, SECONDS)))


def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, n).astype(np.float32) for n in (5000, 17_003, 9600, 24_000, 3211)]


def sequences(made: VoiceBlueprint, voices: list[np.ndarray]) -> list[np.ndarray]:
    return made.encoder("cpu")([made.reader.read(samples)[0] for samples in voices])


@pytest.mark.parametrize("seconds", [0.03, 0.4, 2.0])
def test_spectra_for_whisper_are_those_of_its_own_extractor(seconds: float) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)
    reader = WhisperReader(VoiceConfig(), 80_000, 1, 80)
    theirs = WhisperFeatureExtractor()(samples, sampling_rate=16_000, return_tensors="np")

    ours, frames = reader.read(samples)

    assert frames == -(-len(samples) // 320)
    assert ours.shape == (80, 2 * (frames + SILENCE + 1))
    expected = theirs["input_features"][0][:, : ours.shape[1]]
    np.testing.assert_allclose(ours, expected, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", [1, 3])
def test_a_clip_has_the_same_vectors_alone_and_among_others(
    models: dict[str, Path], kind: str, pooling: int
) -> None:
    made = blueprint_of(models[kind], layer=LAYERS, pooling=pooling)
    together = sequences(made, clips())

    for samples, sequence in zip(clips(), together, strict=True):
        (alone,) = sequences(made, [samples])
        assert sequence.shape == (1, WIDTH, made.reader.read(samples)[1])
        np.testing.assert_allclose(sequence, alone, atol=1e-5)
    assert max(np.abs(sequence).max() for sequence in together) > 0.1


@pytest.mark.parametrize("kind", ["hubert", "wav2vec2", "wavlm"])
@pytest.mark.parametrize("layer", range(1, LAYERS + 1))
def test_vectors_are_those_of_transformers(models: dict[str, Path], kind: str, layer: int) -> None:
    model = transformers.AutoModel.from_pretrained(models[kind]).eval()
    samples = clips()[1]
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=kind != "wavlm")
    given = extractor(samples, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        told = model(given["input_values"], output_hidden_states=True)

    (found,) = sequences(blueprint_of(models[kind], layer=layer), [samples])

    last = layer == LAYERS  # with the normalisation that follows it
    expected = (told.last_hidden_state if last else told.hidden_states[layer])[0].T.numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_vectors_of_whisper_are_those_of_transformers_where_its_window_is_full(
    models: dict[str, Path],
) -> None:
    encoder = transformers.WhisperModel.from_pretrained(models["whisper"]).encoder.eval()
    positions = encoder.config.max_source_positions
    made = blueprint_of(models["whisper"], layer=LAYERS)
    samples = np.random.default_rng(2).normal(0, 0.1, 320 * (positions - SILENCE))
    with pytest.raises(VoiceEncoderError, match=r"keeps at most 2 s of a voice"):
        too_long = VoiceEncoderConfig(f"transformers:{models['whisper']}", voice_seconds=2.1)
        voice_blueprint(VoiceChoices(too_long))
    assert isinstance(made.reader, SpeechReader)
    reader = replace(made.reader, samples=len(samples))
    spectra = reader.read(samples)[0]
    with torch.no_grad():
        given = torch.from_numpy(spectra[None, :, : 2 * positions])
        expected = encoder(given).last_hidden_state[0].T.numpy()

    (found,) = made.encoder("cpu")([spectra])

    # transformers pads the last convolution with zeros, not with silence.
    kept = positions - SILENCE
    np.testing.assert_allclose(found[0], expected[:, :kept], atol=2e-3)
    assert found.shape == (1, WIDTH, kept)


def test_runs_of_frames_are_averaged_over_true_frames(models: dict[str, Path]) -> None:
    samples = clips()[0]
    (each,) = sequences(blueprint_of(models["hubert"]), [samples])
    (pooled,) = sequences(blueprint_of(models["hubert"], pooling=4), [samples])

    runs = [each[..., start : start + 4].mean(-1) for start in range(0, each.shape[2], 4)]

    np.testing.assert_allclose(pooled, np.stack(runs, -1), atol=1e-5)


def test_a_long_voice_is_cut_and_its_true_frames_are_told(models: dict[str, Path]) -> None:
    made = blueprint_of(models["whisper"], pooling=2)
    samples = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)

    spectra, frames = made.reader.read(samples)

    assert made.frames == 38  # 1.5 s of 20 ms, in pairs
    assert frames == 75
    assert made.encoder("cpu")([spectra])[0].shape == (1, WIDTH, 38)


def test_a_voice_of_no_frame_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(MediaError, match=r"lasts 0\.0060 s, too short for one frame"):
        blueprint_of(models["hubert"]).reader.read(np.zeros(96, np.float32))


def test_the_usual_layer_is_the_last_of_whisper_and_three_quarters_of_others(
    models: dict[str, Path], tmp_path: Path
) -> None:
    assert blueprint_of(models["whisper"]).settings["voice_layer"] == LAYERS
    folder = Path(shutil.copytree(models["hubert"], tmp_path / "hubert"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 12}))

    assert blueprint_of(folder).settings["voice_layer"] == 9


def test_batches_that_do_not_fit_are_halved(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = blueprint_of(models["hubert"])
    inputs = [made.reader.read(samples)[0] for samples in clips()]
    expected = made.encoder("cpu")(inputs)
    sizes = []
    whole = SpeechEncoder._sequences

    def small(self: SpeechEncoder, some: list[np.ndarray]) -> list[np.ndarray]:
        sizes.append(len(some))
        if len(some) > limit:
            raise torch.OutOfMemoryError
        return whole(self, some)

    monkeypatch.setattr(SpeechEncoder, "_sequences", small)
    limit = 2
    found = made.encoder("cpu")(inputs)
    assert sizes == [5, 2, 3, 1, 2]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    limit = 0
    with pytest.raises(VoiceEncoderError, match=r"cpu: no memory for one voice"):
        made.encoder("cpu")(inputs)


def changed(folder: Path, to: Path, **values: object) -> Path:
    """A copy of ``folder`` with other values in its config."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | values))
    return to


def test_folders_that_cannot_be_used_are_refused_in_one_line(
    models: dict[str, Path], tmp_path: Path
) -> None:
    other = changed(models["whisper"], tmp_path / "bert", model_type="bert")
    pickled = changed(models["hubert"], tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    unsaid = changed(models["hubert"], tmp_path / "unsaid")
    (unsaid / "preprocessor_config.json").unlink()
    outside = changed(models["hubert"], tmp_path / "outside")
    (outside / "model.safetensors").unlink()
    index = {"weight_map": {"a": "../hubert/model.safetensors"}}
    (outside / "model.safetensors.index.json").write_text(json.dumps(index))
    for folder, words in {
        tmp_path / "absent": r"config\.json: no such file; a folder of transformers",
        other: r"type 'bert'; speech encoders are whisper, hubert, wav2vec2, wavlm",
        pickled: r"no model\.safetensors; pytorch_model\.bin is pickled and is not read",
        unsaid: r"no preprocessor_config\.json, which says whether samples are normalised",
        outside: r"names '\.\./hubert/model\.safetensors', no file of weights",
    }.items():
        with pytest.raises(VoiceEncoderError, match=words):
            blueprint_of(folder)
    with pytest.raises(VoiceEncoderError, match=r"has 2 layers, no layer 3"):
        blueprint_of(models["hubert"], layer=3)


def test_weights_that_are_missing_or_damaged_are_an_error(
    models: dict[str, Path], tmp_path: Path
) -> None:
    more = changed(models["whisper"], tmp_path / "more", encoder_layers=3)
    with pytest.raises(VoiceEncoderError, match=r"lacks 15 weights of the encoder, e\.g\. encoder"):
        blueprint_of(more).encoder("cpu")
    cut = changed(models["hubert"], tmp_path / "cut")
    data = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(VoiceEncoderError, match=r"cut: cannot be loaded \("):
        blueprint_of(cut).encoder("cpu")


def test_weights_in_several_files_are_read_and_digested(
    models: dict[str, Path], tmp_path: Path
) -> None:
    model = transformers.HubertModel.from_pretrained(models["hubert"])
    folder = Path(shutil.copytree(models["hubert"], tmp_path / "parts"))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="5KB")
    assert len(list(folder.glob("*.safetensors"))) > 1

    made = blueprint_of(folder)

    (found,), (expected,) = (
        sequences(each, clips()[:1]) for each in (made, blueprint_of(models["hubert"]))
    )
    np.testing.assert_array_equal(found, expected)
    digest = made.settings["sha256"]
    part = sorted(folder.glob("*.safetensors"))[0]
    part.write_bytes(part.read_bytes() + b" ")
    assert blueprint_of(folder).settings["sha256"] != digest


def test_settings_of_the_mfcc_and_of_speech_encoders_do_not_mix(models: dict[str, Path]) -> None:
    name = f"transformers:{models['whisper']}"
    with pytest.raises(VoiceEncoderError, match=r"mels is a setting of the MFCC; a pretrained"):
        voice_blueprint(VoiceChoices(VoiceEncoderConfig(name), VoiceConfig(mels=40)))
    with pytest.raises(ValueError, match=r"voice_layer is for pretrained speech encoders"):
        VoiceEncoderConfig("mfcc", voice_layer=2)
    trimmed = VoiceConfig(trim_silence="energy")
    made = voice_blueprint(VoiceChoices(VoiceEncoderConfig(name, voice_seconds=1), trimmed))
    assert made.settings["trim_silence"] == made.reader.config.trim_silence == "energy"


def test_names_that_no_voice_encoder_has_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no voice encoder 'mfc'; did you mean mfcc\?"):
        voice_blueprint(VoiceChoices(VoiceEncoderConfig("mfc")))
    with pytest.raises(VoiceEncoderError, match=r"give the folder of the speech encoder"):
        voice_blueprint(VoiceChoices(VoiceEncoderConfig("transformers")))


def test_without_transformers_the_extra_is_named(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_folder, "TRANSFORMERS", "no-such-distribution")
    with pytest.raises(VoiceEncoderError, match=r"pip install 'image-voice-hashing\[speech\]'"):
        blueprint_of(models["hubert"])
