"""Sound of compressed files and containers, decoded by FFmpeg (PyAV) from bytes in memory.

The caller names the container, after its content: FFmpeg never guesses, so a file cannot pose as a
playlist. It opens no other file and no network address, whatever the file refers to, loads decoders
of sound only, and prints nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from typing import Any, NoReturn

import av
import av.error
import av.logging
import numpy as np

from .media import MediaError
from .voice_limits import check_format, check_length

CODECS = (
    *("aac", "ac3", "eac3", "alac", "amrnb", "amrwb", "flac", "gsm", "gsm_ms", "mp1float"),
    *("libopencore_amrnb", "libopencore_amrwb", "libopus", "libspeex", "speex", "opus", "vorbis"),
    *("mp2float", "mp3float", "mp1", "mp2", "mp3", "g722", "g726", "g726le", "adpcm_g722"),
    *("adpcm_g726", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_yamaha", "truespeech"),
    *("pcm_alaw", "pcm_mulaw", "pcm_s8", "pcm_u8", "pcm_s16be", "pcm_s16le", "pcm_s24be"),
    *("pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_f32be", "pcm_f32le"),
    *("pcm_f64be", "pcm_f64le", "wmav1", "wmav2"),
)
"""Decoders that are used, by their FFmpeg names: of speech and music, none of pictures."""

MAX_PACKETS = 300_000
"""Most packets of sound of a file: 600 s of 2 ms each."""

_LOSSLESS = ("alac", "flac", "pcm_")
"""Starts of the names of codecs that decode to as many samples as were encoded."""

_EXACT = ("mov", "mp3", "aac", "amr")
"""Containers whose duration counts no more samples than are decoded."""

_ROUNDED = 0.002
"""Seconds by which a duration can be too long where it is rounded to milliseconds."""

_BLOCK = 1 << 16
"""Samples that are passed on at once, at least."""

_REFUSED = "the file refers to another one, which is not opened"
_OPTIONS = {
    "protocol_whitelist": "none",
    "codec_whitelist": ",".join(CODECS),
    "enable_drefs": "0",
    "use_absolute_path": "0",
}
_SCALES = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31}


class FFmpegSound:
    """The sound of one file.

    Attributes:
        channels: number of channels.
        sample_rate: Hz.
        claimed: seconds that the file says it lasts, 0 if it does not say.
    """

    def __init__(self, data: bytes, container: str, claimed: float | None) -> None:
        """Read the headers of ``data``.

        Args:
            data: the file.
            container: FFmpeg's name of its container.
            claimed: seconds that the file says it lasts, 0 if it does not say; None for what FFmpeg
                finds in its header.

        Raises:
            MediaError: it holds no sound that can be decoded, or one beyond the limits.
        """
        self._data, self._container = data, container
        with self._opened() as (file, stream):
            context = stream.codec_context
            self.channels, self.sample_rate = int(context.channels), int(context.sample_rate)
            self.claimed = _duration(file, stream) if claimed is None else claimed
            exact = container in _EXACT or context.name.startswith(_LOSSLESS)
        check_format(self.channels, self.sample_rate)
        check_length(self.claimed)
        self._tolerance = round(_ROUNDED * self.sample_rate) if exact else 0

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 [n, channels], -1 to +1, in order.

        Raises:
            MediaError: a part cannot be decoded, is missing, or the file changes its format.
        """
        count, longest, held = 0, 1, 0
        frames: list[np.ndarray] = []
        for frame in self._frames():
            if (frame.sample_rate, frame.layout.nb_channels) != (self.sample_rate, self.channels):
                raise MediaError("changes its sample rate or its channels on the way")
            count, longest = count + frame.samples, max(longest, frame.samples)
            check_length(count / self.sample_rate)
            frames.append(_scaled(frame))
            held += frame.samples
            if held >= _BLOCK:
                yield np.concatenate(frames)
                frames, held = [], 0
        if held:
            yield np.concatenate(frames)
        # Other containers may count what an encoder adds to fill its last frame.
        if count + (self._tolerance or longest) < self.claimed * self.sample_rate:
            seconds = count / self.sample_rate
            raise MediaError(f"cut short: {seconds:.2f} of {self.claimed:.2f} s")

    def _frames(self) -> Iterator[Any]:
        with self._opened() as (file, stream):
            for number, packet in enumerate(file.demux(stream)):
                if number > MAX_PACKETS:
                    raise MediaError(f"more than {MAX_PACKETS} packets of sound")
                if packet.is_corrupt:
                    raise MediaError("damaged or cut short: a part of its sound is not whole")
                yield from packet.decode()

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """Yield the open file and its stream of sound."""
        options = {**_OPTIONS, "format_whitelist": self._container}
        with _errors_of_ffmpeg():
            file = av.open(
                BytesIO(self._data), format=self._container, options=options, io_open=_open_nothing
            )
            with file:
                stream: Any = file.streams.best("audio")
                if stream is None or stream.codec_context is None:
                    raise MediaError("holds no sound that can be decoded")
                codec = stream.codec_context.name
                if codec not in CODECS:
                    raise MediaError(
                        f"sound of the codec {codec} is not read; convert it to 16-bit WAV"
                    )
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"err_detect": "crccheck+explode"}
                yield file, stream


def _duration(file: Any, stream: Any) -> float:
    """Return the duration in the header, seconds; 0 if there is none."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(Fraction(file.duration or 0, av.time_base))


@contextmanager
def _errors_of_ffmpeg() -> Iterator[None]:
    """Raise what FFmpeg cannot decode as a MediaError, without its own words on files."""
    try:
        yield
    except MediaError:
        raise
    except av.error.FFmpegError as error:
        reason = (error.strerror or type(error).__name__).strip().rstrip(".")
        raise MediaError(f"damaged, cut short or not supported (FFmpeg: {reason})") from error
    except (ValueError, OverflowError) as error:
        raise MediaError(f"damaged or not supported ({type(error).__name__})") from error


def _open_nothing(*_: object, **__: object) -> NoReturn:
    raise OSError(_REFUSED)


def _scaled(frame: Any) -> np.ndarray:
    """Return the samples of ``frame`` as float32 [n, channels], -1 to +1."""
    values = frame.to_ndarray()
    channels = frame.layout.nb_channels
    samples = values.T if frame.format.is_planar else values.reshape(-1, channels)
    scale = _SCALES.get(frame.format.name.removesuffix("p"))
    if scale is None:
        return np.ascontiguousarray(samples, np.float32)
    if samples.dtype == np.uint8:
        samples = samples.astype(np.int16) - 128
    # Powers of two: scaling rounds nothing.
    scaled: np.ndarray = samples.astype(np.float32, order="C") * np.float32(1 / scale)
    return scaled
