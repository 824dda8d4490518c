"""Stage: one voice or image in, the nearest items of a codes file out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ivr.features.atomic_files import file_digest
from ivr.features.encoder_weights import WeightsError
from ivr.features.image import Encoder, load_encoder
from ivr.features.image_config import ImageConfig
from ivr.features.media import MediaError, read_image
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import read_voice_vectors
from ivr.hashing.method import Method
from ivr.hashing.ranking import top_k
from ivr.hashing.trainer import encode_images, encode_voices
from ivr.pipeline.extraction.feature_dataset import stream_rows
from ivr.pipeline.extraction.feature_schema import compared_settings
from ivr.pipeline.runtime.config_options import from_json
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.progress import warn

from .encode import CodedItems, Codes, packed_codes, read_codes
from .run_folder import CODES, CONFIG, MODEL, RunError, load_model, read_config

Value = TypeVar("Value")
# What of the image encoder's choices stands in its settings, the weights apart.
KEPT = tuple(field.name for field in fields(ImageConfig) if field.name != "weights")


@dataclass(frozen=True)
class Hit:
    """One item found.

    Attributes:
        name: of the item.
        distance: Hamming distance to the query, bits.
        label: class name, ``""`` where unknown.
        caption: of a voice, ``""`` where unknown.
    """

    name: str
    distance: int
    label: str
    caption: str


def find_images(
    run: Path, voice: Path, *, count: int, codes: Path | None = None, device: str = "auto"
) -> list[Hit]:
    """Return the ``count`` images nearest to the recording ``voice``, nearest first.

    Args:
        run: a run folder.
        voice: a recording.
        count: hits wanted.
        codes: a codes file of the same run, ``RUN/codes.h5`` by default.
        device: auto takes cuda when there is one.

    Raises:
        RunError, StoreError: see their modules.
        MediaError: the recording cannot be used.
    """
    config = read_config(run)
    settings = config["features"]["voices"]
    names = compared_settings(VoiceConfig.__dataclass_fields__)
    kept = from_json(VoiceConfig, _chosen(run, settings, names))
    vectors, frames = _named(voice, lambda: read_voice_vectors(voice, kept))
    chosen = stream_rows(config["streams"])
    model = load_model(run, config, choose_device(device))
    if (len(chosen), *vectors.shape[1:]) != tuple(model.sizes.voice_shape):
        raise RunError(f"{run / CONFIG}: damaged, its voices are not those of its sizes")
    outputs = encode_voices(model, torch.from_numpy(vectors[chosen][None]), torch.tensor([frames]))
    _say_departure(model, config["method"])
    query = packed_codes(outputs, model.sizes.bits)
    return _nearest(query, _gallery(run, codes).images, count)


def find_voices(
    run: Path,
    image: Path,
    *,
    count: int,
    weights: str | None = None,
    codes: Path | None = None,
    device: str = "auto",
) -> list[Hit]:
    """Return the ``count`` voices nearest to ``image``, nearest first.

    Args:
        run: a run folder.
        image: an image file.
        count: hits wanted.
        weights: of the image encoder, by default from where the features had them.
        codes: a codes file of the same run, ``RUN/codes.h5`` by default.
        device: auto takes cuda when there is one.

    Raises:
        RunError: the encoder's weights are not those of the features.
        StoreError, WeightsError: see their modules.
        MediaError: the image cannot be used.
    """
    config = read_config(run)
    settings = config["features"]["images"]
    source = weights or _known_weights(run, config["features"]["weights"])
    place = choose_device(device)
    encoder = _encoder(run, settings, source, place)
    if encoder.provenance["sha256"] != settings["sha256"]:
        raise RunError(f"{source}: not the weights that the features of {run} were made with")
    pixels = torch.from_numpy(_named(image, lambda: read_image(image, encoder.size))[None])
    vectors = encoder(pixels.to(place))
    model = load_model(run, config, place)
    outputs = encode_images(model, vectors)
    _say_departure(model, config["method"])
    query = packed_codes(outputs, model.sizes.bits)
    return _nearest(query, _gallery(run, codes).voices, count)


def _say_departure(model: Method, name: str) -> None:
    if model.distance != "hamming":
        warn(f"note: {name} ranks by {model.distance}; this search compares its sign codes")


def _named(path: Path, read: Callable[[], Value]) -> Value:
    """Return ``read()``, with the file's name in front of what is wrong with it."""
    try:
        return read()
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error


def _chosen(run: Path, settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the ``names`` of ``settings``, which stand in the config of ``run``."""
    lacking = [name for name in names if name not in settings]
    if lacking:
        raise RunError(f"{run / CONFIG}: its features lack {', '.join(lacking)}")
    return {name: settings[name] for name in names}


def _encoder(run: Path, settings: Mapping[str, Any], weights: str, place: torch.device) -> Encoder:
    """Return the encoder that the features of ``run`` were made with."""
    chosen = _chosen(run, settings, (*KEPT, "sha256"))
    try:
        config = ImageConfig(weights=weights, **{name: chosen[name] for name in KEPT})
        return load_encoder(config, place)
    except WeightsError:
        raise
    except ValueError as error:
        raise RunError(f"{run / CONFIG}: {error}") from error


def _known_weights(run: Path, name: str) -> str:
    """Return where the weights ``name`` can be had without being told."""
    if name.startswith("random"):
        return "random"
    if "_Weights." in name:
        return "imagenet"
    raise RunError(f"the image features of {run} were made with {name}: give it with --weights")


def _gallery(run: Path, codes: Path | None) -> Codes:
    path = codes or run / CODES
    found = read_codes(path)
    if found.config["model"] != file_digest(run / MODEL):
        raise RunError(f"{path}: was not made with the model of {run}; make it with ivr encode")
    return found


def _nearest(query: np.ndarray, gallery: CodedItems, count: int) -> list[Hit]:
    rows, distances = top_k(query, gallery.codes, count)
    return [
        Hit(gallery.names[row], int(distance), gallery.labels[row], gallery.captions[row])
        for row, distance in zip(rows[0], distances[0], strict=True)
    ]
