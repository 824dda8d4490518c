"""Sound files of many kinds, made in memory with PyAV, soundfile and struct."""

import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import soundfile


def spoken_tone(count: int, rate: int) -> np.ndarray:
    """Return float64 [count] within -0.5 to +0.5: a rising tone that swells, and a little noise."""
    seconds = np.arange(count) / rate
    tone = np.sin(2 * np.pi * (200 + 300 * seconds) * seconds)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * seconds)
    return 0.45 * tone * swell + 0.01 * np.random.default_rng(0).standard_normal(count)


def whole_numbers(count: int, bits: int, channels: int = 1) -> np.ndarray:
    """Return integers [count, channels] of ``bits`` that span their whole range."""
    top = 1 << (bits - 1)
    drawn = np.random.default_rng(bits).integers(-top, top, (count, channels))
    drawn[:2] = [[-top], [top - 1]]
    return drawn


def truth_of(integers: np.ndarray, bits: int) -> np.ndarray:
    """Return the voice that the integers [n, channels] are, float32 [n]."""
    scaled: np.ndarray = (integers / float(1 << (bits - 1))).astype(np.float32)
    return scaled.mean(axis=1)


def by_soundfile(
    samples: np.ndarray, rate: int, kind: str, subtype: str, endian: str = ""
) -> bytes:
    """Return ``samples`` [n] or [n, channels] as libsndfile writes them."""
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype, endian=endian or None)
    return buffer.getvalue()


def by_ffmpeg(
    samples: np.ndarray,
    rate: int,
    container: str,
    codec: str,
    *,
    pictures: bool = False,
    path: Path | None = None,
    **options: str,
) -> bytes:
    """Return ``samples`` [n] or [n, channels] as FFmpeg writes them.

    Args:
        samples: float within -1 to +1, or int16.
        rate: Hz.
        container: its name.
        codec: name of the encoder.
        pictures: add a video of ten pictures.
        path: a file to write to, for containers that are written in two passes.
        options: options of the container.
    """
    columns = samples.reshape(len(samples), -1)
    layout = {1: "mono", 2: "stereo"}[columns.shape[1]]
    kind = "s16p" if columns.dtype == np.int16 else "fltp"
    values = columns.T if kind == "s16p" else columns.T.astype(np.float32)
    buffer = BytesIO()
    with av.open(str(path) if path else buffer, "w", format=container, options=options) as file:
        video = file.add_stream("mpeg4", rate=25) if pictures else None
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if video:
            video.width = video.height = 32
            for number in range(10):
                picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
                picture.pts = number
                file.mux(video.encode(picture))
            file.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), kind, layout)
        frame.sample_rate, frame.pts = rate, 0
        if not stream.codec_context.is_open:
            stream.codec_context.open()
        size = stream.codec_context.frame_size
        cut = av.AudioResampler(stream.format, stream.layout, rate, size if size > 1 else None)
        for part in (*cut.resample(frame), *cut.resample(None)):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path.read_bytes() if path else buffer.getvalue()


def chunk(name: bytes, content: bytes, order: str = "<", size: int | None = None) -> bytes:
    """Return a RIFF chunk, with ``size`` in its header in place of its own."""
    given = len(content) if size is None else size
    return name + struct.pack(order + "I", given) + content + bytes(len(content) % 2)


def wave_format(
    tag: int, channels: int, rate: int, width: int, order: str = "<", more: bytes = b""
) -> bytes:
    """Return the content of a ``fmt`` chunk for samples of ``width`` bytes."""
    align = channels * width
    fields = struct.pack(order + "HHIIHH", tag, channels, rate, rate * align, align, 8 * width)
    return fields + more


def riff(
    chunks: Sequence[bytes], form: bytes = b"RIFF", order: str = "<", size: int | None = None
) -> bytes:
    """Return a WAV file of ``chunks``, with ``size`` in its header in place of its own."""
    content = b"WAVE" + b"".join(chunks)
    return form + struct.pack(order + "I", len(content) if size is None else size) + content


def w64(described: bytes, samples: bytes, size: int | None = None) -> bytes:
    """Return a Sony Wave64 file, with ``size`` as the size of its samples in place of its own."""
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")

    def part(name: bytes, content: bytes, given: int | None = None) -> bytes:
        length = len(content) + 24 if given is None else given
        return name + tail + struct.pack("<Q", length) + content + bytes(-len(content) % 8)

    parts = part(b"fmt ", described) + part(b"data", samples, size)
    head = bytes.fromhex("726966662e91cf11a5d628db04c10000")
    return head + struct.pack("<Q", 40 + len(parts)) + b"wave" + tail + parts


def id3(content: bytes) -> bytes:
    """Return an ID3v2 tag."""
    size = len(content)
    return (
        b"ID3\4\0\0" + bytes([size >> 21, size >> 14 & 127, size >> 7 & 127, size & 127]) + content
    )
