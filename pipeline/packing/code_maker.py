"""What turns images and voices into codes: a packed model or a run, with one interface.

This module imports neither torch nor librosa. :func:`open_model` loads onnxruntime for a packed
model and torch for a run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ivr.features.image_bands import PixelConfig
from ivr.features.image_input import ImageInput
from ivr.hashing.distance_names import Distance
from ivr.pipeline.datasets.voice_warnings import VoiceWarning
from ivr.pipeline.runtime.near_paths import instead

from .calibration import Calibration
from .model_folder import PackError, is_packed

if TYPE_CHECKING:
    from ivr.pipeline.extraction.query_streams import VoiceQueries


class CodeMaker(Protocol):
    """Turns the content of media files into packed codes; may be used by several threads.

    Attributes:
        source: the folder that was opened, as it was given.
        bits: length of the codes.
        method: name of the hashing method.
        distance: how the method itself ranks; codes are always compared by Hamming distance.
        classes: names of the classes that it was trained on.
        identity: sha256 over all that decides a code: the weights of the method and of the image
            encoder, and the settings of images and voices. A run and its packed model have the
            same; a model packed with int8 weights has another one.
        model_sha256: sha256 of the weights of the run, which codes files record.
    """

    source: Path
    bits: int
    method: str
    distance: Distance
    classes: tuple[str, ...]
    identity: str
    model_sha256: str

    @property
    def encodes_images(self) -> bool:
        """Whether it has an image encoder; without one it answers voices only."""
        ...

    @property
    def calibrations(self) -> Mapping[str, Calibration]:
        """What the confidence of answers is measured against, by modality of the query.

        Empty for a run, and for a packed model of an earlier version.
        """
        ...

    @property
    def input(self) -> ImageInput:
        """How pictures become the input of the image network."""
        ...

    @property
    def pixels_config(self) -> PixelConfig:
        """How the bands of an image file become pixels."""
        ...

    @property
    def voices(self) -> "VoiceQueries":
        """What turns recordings into streams; parallel readers take its parts.

        Raises:
            VoiceEncoderError: the speech encoder of a run is not where it was, or another one.
        """
        ...

    def pixels(self, data: bytes) -> np.ndarray:
        """Return the pixels of an image file with the content ``data``, uint8 [3, side, side].

        Raises:
            MediaError, RasterReaderError: see :func:`ivr.features.image_file.decode_image`.
        """
        ...

    def codes_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the packed codes [n, bits / 8] of ``pixels``, uint8 [n, 3, side, side].

        Raises:
            PackError, RunError: the model has no image encoder, or it cannot be loaded.
            ValueError: pixels of another type or shape.
        """
        ...

    def streams(self, data: bytes) -> tuple[np.ndarray, int, tuple[VoiceWarning, ...]]:
        """Return the streams of a recording with the content ``data``.

        Returns:
            float32 [streams, coefficients, frames], the true number of frames, and what is odd
            about the recording.

        Raises:
            MediaError: the recording cannot be used.
        """
        ...

    def codes_of_streams(self, streams: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return the packed codes [m, bits / 8] of voices.

        Args:
            streams: float32 [m, streams, coefficients, frames].
            frames: integers [m], true number of frames of each voice.

        Raises:
            ValueError: arrays of another shape.
        """
        ...


def open_model(
    folder: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    weights: str | None = None,
) -> CodeMaker:
    """Return what makes codes with the packed model or the run in ``folder``.

    Networks are loaded when they are first needed: a voice loads no image encoder.

    Args:
        folder: a folder that ``ivr pack`` or ``ivr train-hash`` wrote.
        device: auto, cpu, cuda or cuda:N; auto takes cuda if there is one.
        threads: threads that compute one batch, by default one per core. For a run this is a
            setting of the whole process.
        weights: weights file of the image encoder of a run, if the features were made with a file
            that has moved.

    Raises:
        PackError: neither a packed model nor a run, a packed model that is not whole, no
            onnxruntime, or weights for a packed model.
        RunError: a run that is not finished. Of a run that was fitted on arrays, the
            methods that take the content of files raise it.
        DeviceError: no such device.
    """
    folder = Path(folder)
    if is_packed(folder):
        from .packed_model import PackedModel

        return PackedModel(folder, device=device, threads=threads, weights=weights)
    from ivr.pipeline.runs.run_folder import CONFIG

    if not (folder / CONFIG).is_file():
        what = instead(folder) or "neither a packed model nor a run"
        raise PackError(
            f"{folder}: {what}; ivr pack RUN --out MODEL writes a packed model, and ivr train-hash "
            "FEATURES --out RUN a run"
        )
    from .run_model import RunModel

    return RunModel(folder, device=device, threads=threads, weights=weights)
