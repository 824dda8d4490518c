"""One recording as the voice features of a run have it, and what is odd about it; no torch."""

from collections.abc import Sequence

import numpy as np

from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import used_recording, voice_vectors
from ivr.pipeline.datasets.voice_warnings import VoiceWarning, voice_warnings

from .feature_schema import stream_rows


def query_streams(
    data: bytes, config: VoiceConfig, streams: Sequence[str]
) -> tuple[np.ndarray, int, tuple[VoiceWarning, ...]]:
    """Return the streams of a recording, its true frames, and what is odd about it.

    Args:
        data: content of a file (:func:`ivr.features.voice_file.recording_of`).
        config: the MFCC.
        streams: names of the streams, in the order of the result.

    Returns:
        float32 [streams, coefficients, frames], padded with zeros or truncated; the number of
        frames of the whole voice; and warnings, problems first.

    Raises:
        MediaError: the recording cannot be decoded or is too short.
        StoreError: there is no such stream.
    """
    rows = stream_rows(streams)
    recording = used_recording(data, config)
    warnings = tuple(voice_warnings(recording, config))
    vectors, frames = voice_vectors(recording.samples, recording.sample_rate, config)
    return vectors[rows], frames, warnings
