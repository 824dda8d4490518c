"""Codes of media files made with a packed model, by onnxruntime; imports no torch."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ivr.hashing.codes import packed_signs
from ivr.pipeline.datasets.voice_warnings import VoiceWarning
from ivr.pipeline.extraction.recorded_settings import (
    recorded_input,
    recorded_pixels,
    recorded_voice_encoder,
)
from ivr.pipeline.runtime.progress import warn

from .arrays_in import require_pixels, require_streams
from .model_folder import (
    DESCRIPTION,
    ENCODER,
    IMAGE_END,
    VOICE_END,
    PackError,
    files_of,
    read_calibrations,
    read_description,
    require_whole,
)
from .onnx_sessions import Network, Provider, choose_provider, load_network

if TYPE_CHECKING:
    from ivr.pipeline.extraction.query_streams import VoiceQueries

IMAGES, VOICES = 32, 256
"""Most images and voices of one pass; more are no faster and take more memory."""


class PackedModel:
    """A :class:`~ivr.pipeline.packing.code_maker.CodeMaker` of a packed model."""

    def __init__(
        self, folder: Path, *, device: str, threads: int | None, weights: str | None
    ) -> None:
        """Read the description; :func:`ivr.pipeline.packing.code_maker.open_model` says how.

        Raises:
            PackError, DeviceError: as there.
        """
        if weights is not None:
            raise PackError(f"{folder}: has its image encoder inside; leave out --weights")
        found = read_description(folder)
        self.source = folder
        self.bits, self.method = found["bits"], found["method"]
        self.distance = found["distance"]
        self.classes = tuple(found["classes"])
        self.identity, self.model_sha256 = found["identity"], found["model_sha256"]
        self.input = recorded_input(found["images"], str(folder / DESCRIPTION))
        self.calibrations = read_calibrations(folder, found)
        self.pixels_config = recorded_pixels(found["images"])
        self._voice_encoder = recorded_voice_encoder(found["voices"], "", str(folder / DESCRIPTION))
        self._found = found
        self._provider: Provider = choose_provider(device)
        self._threads = threads
        self._networks: dict[str, Network] = {}
        self._loading = Lock()

    @property
    def encodes_images(self) -> bool:
        """Whether it was packed with its image encoder."""
        return bool(self._found["encoder"])

    def pixels(self, data: bytes) -> np.ndarray:
        """Return the pixels of an image file."""
        # Here, since a voice needs no reader of images.
        from ivr.features.image_file import decode_image

        return decode_image(data, self.input, self.pixels_config)

    def codes_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the codes of pixels."""
        require_pixels(pixels, self.input)
        return self._codes(len(pixels), IMAGES, lambda rows: self._image_outputs(pixels[rows]))

    def streams(self, data: bytes) -> tuple[np.ndarray, int, tuple[VoiceWarning, ...]]:
        """Return the streams of a recording, its frames, and what is odd about it."""
        return self.voices.streams(data)

    @cached_property
    def voices(self) -> "VoiceQueries":
        """What turns recordings into streams."""
        # Here, since an image, and a service whose readers do this, need no reader of voices.
        from ivr.pipeline.extraction.query_streams import VoiceQueries

        queries = VoiceQueries(self._voice_encoder, self._found["streams"], lambda: list)
        if list(queries.shape) != self._found["voice_shape"]:
            raise PackError(
                f"{self.source / DESCRIPTION}: damaged, its voices are not those of its sizes"
            )
        return queries

    def codes_of_streams(self, streams: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return the codes of voices."""
        require_streams(streams, frames, self._found["voice_shape"])
        return self._codes(
            len(streams), VOICES, lambda rows: self.voice_outputs(streams[rows], frames[rows])
        )

    def vectors(self, pixels: np.ndarray) -> np.ndarray:
        """Return the vectors [n, image_dim], float32, of pixels uint8 [n, 3, side, side].

        Raises:
            PackError: the model was packed without its image encoder.
        """
        if not self.encodes_images:
            raise PackError(
                f"{self.source}: was packed without its image encoder and answers voices only; "
                "pack the run again without --no-encoder"
            )
        return self._network(ENCODER).run(images=np.ascontiguousarray(pixels))

    def image_outputs(self, vectors: np.ndarray) -> np.ndarray:
        """Return the real outputs [n, bits], float32, of vectors [n, image_dim]."""
        return self._network(IMAGE_END).run(vectors=np.ascontiguousarray(vectors, np.float32))

    def voice_outputs(self, streams: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return the real outputs [m, bits], float32, of streams and their true frames."""
        return self._network(VOICE_END).run(
            streams=np.ascontiguousarray(streams, np.float32),
            frames=np.ascontiguousarray(frames, np.int64),
        )

    def _image_outputs(self, pixels: np.ndarray) -> np.ndarray:
        return self.image_outputs(self.vectors(pixels))

    def _codes(self, count: int, step: int, outputs: Callable[[slice], np.ndarray]) -> np.ndarray:
        parts = [np.empty((0, self.bits // 8), np.uint8)]
        for start in range(0, count, step):
            parts.append(packed_signs(outputs(slice(start, start + step)), self.bits))
        return np.concatenate(parts)

    def _network(self, name: str) -> Network:
        """Return the network in the file ``name``, which is verified and loaded once."""
        with self._loading:
            if name not in self._networks:
                if name == ENCODER:
                    self._say_other_reader()
                for file in files_of(self.source, name):
                    require_whole(file)
                self._networks[name] = load_network(
                    self.source / name, self._provider, self._threads
                )
            return self._networks[name]

    def _say_other_reader(self) -> None:
        from ivr.features.image_file import READER

        if self._found["images"].get("reader") != READER:
            warn(
                f"{self.source}: was packed for another reader of images; TIFF, deep PNG and PNG "
                "with alpha are read otherwise now: extract, train and pack again for these"
            )
