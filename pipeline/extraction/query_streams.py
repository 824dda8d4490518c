"""One recording as the voice features of a run have it, and what is odd about it; no torch."""

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np

from ivr.features.voice import at_sample_rate, used_recording
from ivr.features.voice_blueprint import Encode, VoiceBlueprint, VoiceReader
from ivr.pipeline.datasets.voice_warnings import VoiceWarning, voice_warnings

from .feature_schema import stream_rows


class VoiceQueries:
    """Turns recordings into what the voice end of a model reads; several threads may use it.

    Attributes:
        reader: turns samples into inputs, in a process that reads files.
        shape: shape of what the voice end reads: streams, coefficients and frames.
    """

    def __init__(
        self, blueprint: VoiceBlueprint, streams: Sequence[str], load: Callable[[], Encode]
    ) -> None:
        """Read the ``streams`` of the sequences that ``blueprint`` describes.

        Args:
            blueprint: the voice encoder.
            streams: names of streams, in the order of the result.
            load: returns its network; called for the first voice.

        Raises:
            StoreError: there is no such stream.
        """
        self.reader: VoiceReader = blueprint.reader
        self._blueprint, self._load = blueprint, load
        self._rows = stream_rows(streams, blueprint.streams)
        self.shape = (len(self._rows), blueprint.width, blueprint.frames)
        self._encode: Encode | None = None
        self._loading = Lock()

    def streams(self, data: bytes) -> tuple[np.ndarray, int, tuple[VoiceWarning, ...]]:
        """Return the streams of a recording, its true frames, and what is odd about it.

        Args:
            data: content of a file (:func:`ivr.features.voice_file.recording_of`).

        Returns:
            float32 [streams, coefficients, frames], padded with zeros or truncated; the number of
            frames of the whole voice; and warnings, problems first.

        Raises:
            MediaError: the recording cannot be decoded or is too short.
        """
        config = self.reader.config
        recording = used_recording(data, config)
        warnings = tuple(voice_warnings(recording, config))
        samples = at_sample_rate(recording.samples, recording.sample_rate, config)
        read, frames = self.reader.read(samples)
        return self.of_inputs([read])[0], frames, warnings

    def of_inputs(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 [m, streams, coefficients, frames] for inputs that the reader made."""
        with self._loading:
            if self._encode is None:
                self._encode = self._load()
        made = [self._blueprint.of_fixed_length(one) for one in self._encode(inputs)]
        if not made:
            return np.empty((0, *self.shape), np.float32)
        # Rounded as a stored row is, so that a query has the code of its row.
        stored = np.stack(made)[:, self._rows].astype(self._blueprint.stored or np.float32)
        return stored.astype(np.float32, copy=False)
