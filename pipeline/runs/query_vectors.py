"""Vectors of media files, made as those of the features that a run was trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ivr.features.atomic_files import file_digest
from ivr.features.image import Encoder, load_encoder
from ivr.features.image_bands import PixelConfig
from ivr.features.image_config import ImageConfig
from ivr.features.image_file import READER, read_image
from ivr.features.image_input import ImageInput
from ivr.features.media import MediaError, read_bytes
from ivr.features.voice_blueprint import VoiceBlueprint
from ivr.features.weights_file import WeightsError
from ivr.pipeline.extraction.query_streams import VoiceQueries
from ivr.pipeline.extraction.recorded_settings import (
    chosen_settings,
    recorded_input,
    recorded_pixels,
    recorded_voice_encoder,
)
from ivr.pipeline.runtime.progress import warn

from .run_folder import RunError

Value = TypeVar("Value")
# The options of the image encoder that are among its recorded settings: all but the weights.
RECORDED = tuple(field.name for field in fields(ImageConfig) if field.name != "weights")
BATCH = 64


class QueryVectors:
    """Turns files into vectors as the features of one run were made.

    The image encoder is loaded for the first image.
    """

    def __init__(self, config: Mapping[str, Any], source: str, weights: str | None = None) -> None:
        """Use the settings in ``config``.

        Args:
            config: content of the ``config.json`` of a run.
            source: name of the run in messages.
            weights: weights of the image encoder, by default those of the features; required if
                these are a file that is no longer where it was.
        """
        self.config, self.source, self.weights = config, source, weights
        self._encoder: Encoder | None = None

    def of_voices(self, paths: Sequence[Path], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return streams [m, streams, coefficients, frames] and true frames [m] of recordings.

        What is odd about a recording, e.g. silence, is a warning of the logger.

        Raises:
            RunError: the run was trained on arrays, or its settings are damaged.
            MediaError: a recording cannot be used.
        """
        queries = self.voices(device)
        found = []
        for path in paths:
            streams, frames, warnings = _named(path, lambda one: queries.streams(read_bytes(one)))
            for one in warnings:
                warn(f"{one.severity}: {path}: {one.text}")
            found.append((streams, frames))
        stacked = np.stack([streams for streams, _ in found])
        return torch.from_numpy(stacked), torch.tensor([frames for _, frames in found])

    def voices(self, device: torch.device) -> VoiceQueries:
        """Return what makes the streams of recordings as those of the run; it loads no network yet.

        Raises:
            RunError: the run was trained on arrays, or is damaged.
            StoredConfigError: its settings are damaged.
            VoiceEncoderError: its speech encoder is not where it was, or another one.
        """
        blueprint = self.voice_encoder()
        queries = VoiceQueries(
            blueprint, self.config["streams"], lambda: blueprint.encoder(str(device))
        )
        if queries.shape != tuple(self.config["sizes"]["voice_shape"]):
            raise RunError(f"{self.source}: damaged, its voices are not those of its sizes")
        return queries

    def voice_encoder(self) -> VoiceBlueprint:
        """Return the voice encoder that the voices of the run were made with.

        Raises:
            RunError: the run was trained on arrays.
            StoredConfigError, VoiceEncoderError: as :meth:`voices`.
        """
        settings = self._settings("voices", "no settings of the voices; give arrays of streams")
        name = str(self.config["features"].get("voice_encoder", ""))
        return recorded_voice_encoder(settings, name, self.source)

    def of_images(self, paths: Sequence[Path], device: torch.device) -> Tensor:
        """Return the vectors [n, image_dim] of image files.

        Raises:
            RunError: the run was trained on arrays, or the encoder has other weights.
            WeightsError: the weights of the encoder cannot be loaded.
            MediaError: an image cannot be used.
        """
        encoder = self.image_encoder(device)
        config, found = self.pixel_config(), []
        for start in range(0, len(paths), BATCH):
            some = paths[start : start + BATCH]
            pixels = [
                _named(path, lambda one: read_image(one, encoder.input, config)) for path in some
            ]
            found.append(encoder(torch.from_numpy(np.stack(pixels)).to(device)))
        return torch.cat(found)

    def pixel_config(self) -> PixelConfig:
        """Return how the bands of the images of the run became pixels.

        Raises:
            RunError: the run was trained on arrays.
            StoredConfigError: its settings are damaged.
        """
        return recorded_pixels(self._image_settings())

    def image_input(self) -> ImageInput:
        """Return how pictures become the input of the image network.

        Raises:
            RunError: the run was trained on arrays.
            StoredConfigError: its settings are damaged.
        """
        return recorded_input(self._image_settings(), self.source)

    def image_encoder(self, device: torch.device) -> Encoder:
        """Return the encoder that the features were made with; it is loaded once.

        Raises:
            RunError: the run was trained on arrays, or the encoder has other weights.
            WeightsError: the weights of the encoder cannot be loaded.
        """
        if self._encoder is None:
            settings = self._image_settings()
            if settings.get("reader") != READER:
                warn(
                    f"{self.source}: its features come from an earlier reader of images; TIFF, "
                    "deep PNG and PNG with alpha are read otherwise now: extract again for these"
                )
            settings = {"pixels": asdict(PixelConfig()), **settings}
            chosen = chosen_settings(settings, (*RECORDED, "sha256"), self.source)
            weights = self.weights or self._known_weights(chosen["sha256"])
            try:
                options = {name: chosen[name] for name in RECORDED}
                image = ImageConfig(weights=weights, **options)
                encoder = load_encoder(image, device)
            except WeightsError:
                raise
            except ValueError as error:
                raise RunError(f"{self.source}: {error}") from error
            if encoder.provenance["sha256"] != chosen["sha256"]:
                raise RunError(
                    f"{weights}: not the weights that the features of {self.source} were made with"
                )
            self._encoder = encoder
        return self._encoder

    def _known_weights(self, sha256: str) -> str:
        """Return where the weights come from: their name, or their file if it is still the same.

        Raises:
            RunError: they are a file that is gone or has another ``sha256``.
        """
        features = self.config["features"]
        name, file = features["weights"], Path(str(features.get("weights_file", "")))
        if file.is_file() and file_digest(file) == sha256:
            return str(file)
        if name.startswith("random"):
            return "random"
        if "_Weights." in name:
            return "imagenet"
        raise RunError(
            f"the image features of {self.source} were made with {name}: give it with --weights"
        )

    def _image_settings(self) -> Mapping[str, Any]:
        return self._settings("images", "no image encoder; give arrays of image vectors")

    def _settings(self, kind: str, unknown: str) -> Mapping[str, Any]:
        settings: Mapping[str, Any] = self.config["features"][kind]
        if not settings:
            raise RunError(f"{self.source}: was fitted on arrays and knows {unknown}")
        return settings


def _named(path: Path, read: Callable[[Path], Value]) -> Value:
    """Return ``read(path)``, with the name of the file in front of its error message."""
    try:
        return read(path)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
