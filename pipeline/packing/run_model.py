"""Codes of media files made with a run folder, by torch."""

from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from ivr.features.atomic_files import file_digest
from ivr.features.encoder_batches import ImageBatches
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.image_input import ImageInput
from ivr.hashing.codes import packed_signs
from ivr.hashing.trainer import encode_images, encode_voices
from ivr.pipeline.datasets.voice_warnings import VoiceWarning
from ivr.pipeline.extraction.query_streams import VoiceQueries
from ivr.pipeline.runs.query_vectors import QueryVectors
from ivr.pipeline.runs.run_folder import CONFIG, MODEL, load_model, read_config
from ivr.pipeline.runtime.device import choose_device

from .arrays_in import require_pixels, require_streams
from .calibration import Calibration
from .model_folder import model_identity


class RunModel:
    """A :class:`~ivr.pipeline.packing.code_maker.CodeMaker` of a run folder."""

    def __init__(self, run: Path, *, device: str, threads: int | None, weights: str | None) -> None:
        """Load the method of ``run``; :func:`ivr.pipeline.packing.code_maker.open_model` says how.

        Raises:
            RunError, DeviceError: as there.
        """
        config = read_config(run)
        place = choose_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self.source = run
        self.network = load_model(run, config, place).eval()
        self.model_sha256 = file_digest(run / MODEL)
        self.identity = model_identity(config, self.model_sha256)
        self.bits, self.method = int(config["bits"]), str(config["method"])
        self.distance = self.network.distance
        self.classes = tuple(config["classes"])
        self.calibrations: dict[str, Calibration] = {}
        self._queries = QueryVectors(config, str(run / CONFIG), weights)
        self._loading = Lock()

    @property
    def encodes_images(self) -> bool:
        """Whether it has an image encoder, as every run has."""
        return True

    @cached_property
    def input(self) -> ImageInput:
        """How pictures become the input of the image network."""
        return self._queries.image_input()

    @cached_property
    def pixels_config(self) -> PixelConfig:
        """How the bands of an image file become pixels."""
        return self._queries.pixel_config()

    @cached_property
    def voices(self) -> VoiceQueries:
        """What turns recordings into streams."""
        return self._queries.voices(self.network.device)

    def pixels(self, data: bytes) -> np.ndarray:
        """Return the pixels of an image file."""
        return decode_image(data, self.input, self.pixels_config)

    def codes_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the codes of pixels; batches are halved if the device's memory is too small."""
        require_pixels(pixels, self.input)
        batches = self._batches
        step = self._batch
        vectors = [
            batches.start(np.ascontiguousarray(pixels[start : start + step]))()
            for start in range(0, len(pixels), step)
        ]
        if not vectors:
            return np.empty((0, self.bits // 8), np.uint8)
        outputs = encode_images(self.network, torch.from_numpy(np.concatenate(vectors)))
        return packed_signs(outputs, self.bits)

    def streams(self, data: bytes) -> tuple[np.ndarray, int, tuple[VoiceWarning, ...]]:
        """Return the streams of a recording, its frames, and what is odd about it."""
        return self.voices.streams(data)

    def codes_of_streams(self, streams: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return the codes of voices."""
        require_streams(streams, frames, self.network.sizes.voice_shape)
        if not len(streams):
            return np.empty((0, self.bits // 8), np.uint8)
        voices = torch.from_numpy(np.ascontiguousarray(streams))
        counts = torch.from_numpy(np.ascontiguousarray(frames, np.int64))
        return packed_signs(encode_voices(self.network, voices, counts), self.bits)

    @property
    def _batches(self) -> ImageBatches:
        with self._loading:
            return self._loaded

    @cached_property
    def _loaded(self) -> ImageBatches:
        return ImageBatches(self._queries.image_encoder(self.network.device))

    @cached_property
    def _batch(self) -> int:
        return self._batches.usual_size()
