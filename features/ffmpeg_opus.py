"""Opus in WebM for a browser, encoded by FFmpeg (PyAV) in memory.

The same samples give the same bytes.
"""

from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import av.error
import numpy as np

ENCODER = "libopus"


def can_encode() -> bool:
    """Return whether this build of FFmpeg has an encoder of Opus."""
    try:
        av.Codec(ENCODER, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def as_opus(samples: np.ndarray, sample_rate: int, bit_rate: int) -> bytes:
    """Return ``samples`` as Opus in WebM.

    Args:
        samples: int16 [samples], one channel.
        sample_rate: Hz; 8000, 12000, 16000, 24000 or 48000.
        bit_rate: bits per second.
    """
    file = BytesIO()
    # Without bitexact WebM holds random numbers.
    with av.open(file, "w", format="webm", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream(ENCODER, rate=sample_rate, layout="mono")
        stream.bit_rate = bit_rate
        stream.options = {"application": "voip"}
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()
