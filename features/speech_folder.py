"""Pretrained speech encoders in folders that transformers saved, as voice encoders; no torch.

A folder is described by its JSON files and the sha256 of its weights, so that a plan loads none.
Weights are read as safetensors only, and never from a network
(:mod:`ivr.features.speech_network`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .atomic_files import file_digest
from .mfcc import VoiceConfig
from .regular_files import UnreadableFileError, read_regular
from .speech_readers import SAMPLE_RATE, SILENCE, SpeechReader, WaveReader, WhisperReader
from .voice_blueprint import Encode, VoiceBlueprint, VoiceEncoderError
from .voice_encoder_config import VoiceChoices

TRANSFORMERS = "transformers"
EXTRA = "pip install 'image-voice-hashing[speech]'"
MODELS = {
    "whisper": "WhisperModel",
    "hubert": "HubertModel",
    "wav2vec2": "Wav2Vec2Model",
    "wavlm": "WavLMModel",
}
"""Classes of transformers by the ``model_type`` of a folder."""
POOLING = 2
MOST_JSON = 1 << 24  # bytes
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def transformers(choices: VoiceChoices) -> VoiceBlueprint:
    """Return the blueprint of the speech encoder in the folder that ``choices`` name.

    Raises:
        VoiceEncoderError: no such folder, another kind of model, weights that are not safetensors,
            or choices that it does not have.
    """
    _, _, place = choices.encoder.voice_encoder.partition(":")
    if not place:
        raise VoiceEncoderError("give the folder of the speech encoder: transformers:FOLDER")
    _require_own_choices(choices)
    folder = Path(place).absolute()
    config = _json(folder, "config.json")
    kind = config.get("model_type")
    if kind not in MODELS:
        raise VoiceEncoderError(
            f"{folder}: holds a model of type {str(kind)[:40]!r}; speech encoders are "
            f"{', '.join(MODELS)}"
        )
    reader = _reader(folder, kind, config, choices)
    layer = _layer(folder, kind, config, choices.encoder.voice_layer)
    kept = reader.count(reader.samples)
    settings = {
        "voice_encoder": TRANSFORMERS,
        "model_type": kind,
        "sha256": _weights_digest(folder),
        "config_sha256": file_digest(folder / "config.json"),
        "voice_layer": layer,
        "voice_pooling": reader.pooling,
        "sample_rate": SAMPLE_RATE,
        **({"silence": SILENCE} if kind == "whisper" else {}),
        **({"normalise": reader.normalise} if isinstance(reader, WaveReader) else {}),
    }

    def load(device: str) -> Encode:
        from .speech_network import load_speech_encoder

        return load_speech_encoder(folder, MODELS[kind], layer, reader.pooling, device)

    return VoiceBlueprint(
        ("hidden",),
        _number(folder, config, "d_model" if kind == "whisper" else "hidden_size"),
        -(-kept // reader.pooling),
        settings,
        reader,
        load,
        notes={"voice_encoder": f"{TRANSFORMERS}:{folder}", TRANSFORMERS: _installed()},
        stored="float16",
    )


def _require_own_choices(choices: VoiceChoices) -> None:
    """Refuse settings of the MFCC, which would change nothing."""
    free = replace(VoiceConfig(), trim_silence=choices.mfcc.trim_silence)
    own, given = asdict(free), asdict(choices.mfcc)
    changed = [name for name in own if own[name] != given[name] and name != "backend"]
    if changed:
        raise VoiceEncoderError(
            f"{changed[0]} is a setting of the MFCC; a pretrained speech encoder takes "
            "--voice-layer, --voice-pooling, --voice-seconds and --trim-silence"
        )


def _reader(
    folder: Path, kind: str, config: Mapping[str, Any], choices: VoiceChoices
) -> SpeechReader:
    """Return what makes the input of a model of this kind."""
    seconds = choices.encoder.voice_seconds
    samples, pooling = round(seconds * SAMPLE_RATE), choices.encoder.voice_pooling or POOLING
    hop = VoiceConfig.hop
    heard = replace(
        VoiceConfig(), frames=-(-samples // hop), trim_silence=choices.mfcc.trim_silence
    )
    if kind != "whisper":
        kernels, strides = (_list(folder, config, f"conv_{name}") for name in ("kernel", "stride"))
        convolutions = tuple(zip(kernels, strides, strict=False))
        return WaveReader(heard, samples, pooling, convolutions, _normalised(folder))
    reader = WhisperReader(heard, samples, pooling, _number(folder, config, "num_mel_bins"))
    most = _number(folder, config, "max_source_positions") - SILENCE
    if reader.count(samples) > most:
        raise VoiceEncoderError(
            f"{folder}: keeps at most {most / 50:g} s of a voice, with silence after it; lower "
            "--voice-seconds"
        )
    return reader


def _layer(folder: Path, kind: str, config: Mapping[str, Any], chosen: int) -> int:
    """Return the layer that is taken, from 1."""
    layers = _number(folder, config, "encoder_layers" if kind == "whisper" else "num_hidden_layers")
    if chosen > layers:
        raise VoiceEncoderError(f"{folder}: has {layers} layers, no layer {chosen}")
    # Measured with Whisper; of the others the upper middle layers say most about words (Pasad et
    # al., "Comparative layer-wise analysis of self-supervised speech models", ICASSP 2023).
    return chosen or (layers if kind == "whisper" else -(-3 * layers // 4))


def _normalised(folder: Path) -> bool:
    """Return whether the model takes samples of mean 0 and deviation 1.

    The models differ, so that a folder that does not say it cannot be used.
    """
    name = "preprocessor_config.json"
    if (folder / name).is_file():
        found = _json(folder, name)
    elif (folder / "processor_config.json").is_file():
        found = _json(folder, "processor_config.json").get("feature_extractor", {})
    else:
        raise VoiceEncoderError(
            f"{folder}: has no {name}, which says whether samples are normalised; save the "
            "feature extractor into the folder too"
        )
    if found.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
        raise VoiceEncoderError(f"{folder}: takes another sample rate than {SAMPLE_RATE} Hz")
    if not isinstance(found.get("do_normalize"), bool):
        raise VoiceEncoderError(f"{folder}: {name} does not say do_normalize")
    return bool(found["do_normalize"])


def _weights_digest(folder: Path) -> str:
    """Return the sha256 of the weights; of several files that of their names and sha256.

    Raises:
        VoiceEncoderError: there are none, or only pickled ones.
    """
    if (folder / WEIGHTS).is_file():
        return file_digest(folder / WEIGHTS)
    if not (folder / INDEX).is_file():
        pickled = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
        advice = (
            f"{pickled[0]} is pickled and is not read; save the model again with "
            "save_pretrained(FOLDER), which writes safetensors"
            if pickled
            else "give a folder that save_pretrained of transformers wrote"
        )
        raise VoiceEncoderError(f"{folder}: has no {WEIGHTS}; {advice}")
    shards = _json(folder, INDEX).get("weight_map")
    names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise VoiceEncoderError(f"{folder / INDEX}: names {name[:40]!r}, no file of weights")
        if not (folder / name).is_file():
            raise VoiceEncoderError(f"{folder / name}: no such file")
    if not names:
        raise VoiceEncoderError(f"{folder / INDEX}: names no file of weights")
    digests = json.dumps({name: file_digest(folder / name) for name in names})
    return hashlib.sha256(digests.encode()).hexdigest()


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(read_regular(folder / name, MOST_JSON))
    except UnreadableFileError as error:
        raise VoiceEncoderError(
            f"{folder / name}: {error}; a folder of transformers with a speech encoder is needed"
        ) from error
    except (ValueError, RecursionError) as error:
        raise VoiceEncoderError(f"{folder / name}: not JSON") from error
    if not isinstance(found, dict):
        raise VoiceEncoderError(f"{folder / name}: not a JSON object")
    return found


def _number(folder: Path, config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or value < 1:
        raise VoiceEncoderError(f"{folder}: config.json has no number {name}")
    return value


def _list(folder: Path, config: Mapping[str, Any], name: str) -> Sequence[int]:
    value = config.get(name)
    if not isinstance(value, list) or not all(type(one) is int and one > 0 for one in value):
        raise VoiceEncoderError(f"{folder}: config.json has no list {name}")
    return value


def _installed() -> str:
    try:
        return version(TRANSFORMERS)
    except PackageNotFoundError as error:
        raise VoiceEncoderError(f"pretrained speech encoders need transformers: {EXTRA}") from error
