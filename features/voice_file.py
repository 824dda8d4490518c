"""Reading voices: samples of a recording of any common kind; its content decides, not its name.

libsndfile decodes WAV (PCM and float), FLAC and Ogg, FFmpeg everything else. Before that the file
is followed from part to part, since both libraries read a file that is cut or damaged as a shorter
one.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import count as count_from
from pathlib import Path

import numpy as np
import soundfile

from .audio_containers import container_of
from .audio_frames import id3_length, mpeg_audio_seconds
from .flac_header import flac_header, verified
from .media import MediaError, read_bytes
from .ogg_pages import ogg_links
from .voice_limits import MAX_AMPLITUDE, check_format, check_length, check_parts
from .wave_header import FLOAT, PCM, Note, is_wave, read_wave

OPPOSITE = 0.01
"""Share of the power of the channels below which their mean is what they do not cancel."""

_BLOCK = 1 << 20
_ZEROS = re.compile(rb"\0{8,}")  # an MP4 file starts with fewer
_WAVE_MPEG = (0x50, 0x55)
# A-law, mu-law, four kinds of ADPCM, TrueSpeech, GSM, G.722, AC-3: codecs of WAV that FFmpeg reads.
_WAVE_CODECS = (2, 6, 7, 0x11, 0x14, 0x20, 0x22, 0x31, 0x45, 0x65, 0x28F, 0x2000, *_WAVE_MPEG)
_NOT_READ = {
    b"0&\xb2u": "WMA",
    b"FLV\x01": "Flash video",
    b"wvpk": "WavPack",
    b"MAC ": "Monkey's Audio",
    b"\0\0\x01\xba": "MPEG program stream",
    b"G@": "MPEG transport stream",
    b"#EXT": "playlist",
    b"#!SI": "SILK",
}

Blocks = Iterator[np.ndarray]


@dataclass(frozen=True)
class Recording:
    """A voice as recorded.

    Attributes:
        samples: float32 [samples], the mean of the channels, -1 to +1 unless a float file holds
            more. The first channel alone if the channels cancel each other.
        sample_rate: Hz.
        opposite: whether the channels cancel each other.
        notes: what the reader had to decide about a file whose header is incomplete or wrong.
    """

    samples: np.ndarray
    sample_rate: int
    opposite: bool = False
    notes: tuple[Note, ...] = ()


def read_voice(path: Path) -> tuple[np.ndarray, int]:
    """Return the samples in ``path``, float32 [samples], and their rate, Hz.

    Raises:
        MediaError: the file cannot be read, or as :func:`recording_of`.
    """
    recording = recording_of(read_bytes(path))
    return recording.samples, recording.sample_rate


def recording_of(data: bytes) -> Recording:
    """Return the voice that ``data`` holds.

    Args:
        data: content of a WAV or AIFF file and their kin, of FLAC, Ogg, MP3, AAC, AMR, CAF or AU;
            or of an MP4, Matroska, WebM or AVI file, of which the sound is taken.

    Raises:
        MediaError: the content is of another kind, too long, empty, damaged, shorter than its
            header says, or holds values that are no sound.
    """
    data = _without_tags(data)
    if is_wave(data):
        return _read_wave(data)
    if data.startswith(b"fLaC"):
        return _read_flac(data)
    if data.startswith(b"OggS"):
        return _read_ogg(data)
    kind = container_of(data)
    if kind is None:
        raise MediaError(_unknown(data))
    claimed = kind.whole(data)
    return _from_ffmpeg(data[: kind.end(data)], kind.name, claimed)


def _without_tags(data: bytes) -> bytes:
    """Return ``data`` without ID3 tags in front, and without the zeros that may follow them."""
    start = 0
    for count in count_from(1):
        skipped = id3_length(data, start)
        if not skipped:
            break
        start += skipped
        if zeros := _ZEROS.match(data, start):
            start = zeros.end()
        check_parts(count, "tags")
    return data[start:] if start else data


def _read_wave(data: bytes) -> Recording:
    wave = read_wave(data)
    check_format(wave.channels, wave.sample_rate)
    if wave.is_plain:
        return _from_libsndfile([wave.plain()], wave.notes)
    if wave.tag in (PCM, FLOAT):
        raise MediaError(
            f"WAV of {wave.bits} bits per sample in blocks of {wave.align} bytes is not read; "
            "convert it to 16-bit PCM"
        )
    if not len(wave.samples):
        raise MediaError("holds no samples")
    if wave.tag not in _WAVE_CODECS:
        raise MediaError(f"WAV of the codec 0x{wave.tag:X} is not read; convert it to 16-bit PCM")
    seconds = mpeg_audio_seconds(bytes(wave.samples)) if wave.tag in _WAVE_MPEG else 0.0
    return _from_ffmpeg(wave.repaired(), "wav", seconds, notes=wave.notes)


def _read_flac(data: bytes) -> Recording:
    header = flac_header(data)
    if data[-128:-125] == b"TAG":
        data = data[:-128]
    if header.samples and header.bits in (8, 16, 24):
        return _from_libsndfile([data], check=lambda blocks: verified(blocks, header))
    return _from_ffmpeg(
        data,
        "flac",
        None if header.samples else 0.0,
        notes=() if header.samples else ("no length",),
        check=lambda blocks: verified(blocks, header),
    )


def _read_ogg(data: bytes) -> Recording:
    links = ogg_links(data)
    parts = [data[link.start : link.end] for link in links]
    codecs = [part[28 : 28 + 8] for part in parts]  # the first packet follows a table of one byte
    known = all(codec.startswith((b"\x01vorbis", b"OpusHead")) for codec in codecs)
    if known and all(link.streams == 1 for link in links):
        return _from_libsndfile(parts)
    if len(parts) > 1:
        raise MediaError("chained Ogg streams that are not Vorbis or Opus alone; convert it to WAV")
    return _from_ffmpeg(data, "ogg", None)


def _unknown(data: bytes) -> str:
    named = next((name for start, name in _NOT_READ.items() if data.startswith(start)), "")
    if named:
        return f"{named} is not read; convert it to WAV"
    return "not a WAV, FLAC, Ogg, MP3, M4A, AIFF, AMR or WebM file, nor another that is read"


class _LibsndfileSound:
    """Files of one format, one after the other."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts, self.sample_rate, self._channels = parts, 0, 0

    def blocks(self) -> Blocks:
        seconds = 0.0
        for part in self._parts:
            with _errors_of_libsndfile(), soundfile.SoundFile(BytesIO(part)) as sound:
                seconds += self._checked(sound)
                check_length(seconds)
                yield from _blocks_of(sound)

    def _checked(self, sound: soundfile.SoundFile) -> float:
        """Return the seconds of ``sound``, after comparing it with the limits and the first."""
        check_format(sound.channels, sound.samplerate)
        mine = (int(sound.samplerate), int(sound.channels))
        if self.sample_rate and mine != (self.sample_rate, self._channels):
            raise MediaError(
                "its chained streams differ in sample rate or channels; convert it to WAV"
            )
        self.sample_rate, self._channels = mine
        return float(sound.frames / sound.samplerate)


def _from_libsndfile(
    parts: list[bytes], notes: tuple[Note, ...] = (), check: Callable[[Blocks], Blocks] = iter
) -> Recording:
    sound = _LibsndfileSound(parts)
    samples, opposite = _mixed(lambda: check(sound.blocks()))
    return Recording(samples, sound.sample_rate, opposite, notes)


def _from_ffmpeg(
    data: bytes,
    container: str,
    claimed: float | None,
    *,
    notes: tuple[Note, ...] = (),
    check: Callable[[Blocks], Blocks] = iter,
) -> Recording:
    # Here, so that readers of WAV files do not load FFmpeg.
    from .ffmpeg_audio import FFmpegSound

    sound = FFmpegSound(data, container, claimed)
    samples, opposite = _mixed(lambda: check(sound.blocks()))
    return Recording(samples, sound.sample_rate, opposite, notes)


@contextmanager
def _errors_of_libsndfile() -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise MediaError(f"damaged or not supported ({reason})") from error


def _blocks_of(sound: soundfile.SoundFile) -> Blocks:
    """Yield float32 [n, channels]: 16 channels of 600 s would fill the memory at once."""
    count = 0
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        yield block
        count += len(block)
    if count < sound.frames:
        raise MediaError(f"cut short: {count} of {sound.frames} samples")


def _mixed(blocks: Callable[[], Blocks]) -> tuple[np.ndarray, bool]:
    """Return the mean of the channels, float32 [samples], and whether they cancel each other.

    If they do, the first channel is returned.

    Args:
        blocks: decodes the file, float32 [n, channels].
    """
    mixed: list[np.ndarray] = []
    mixed_power, power = 0.0, 0.0
    for block in blocks():
        _check_values(block)
        if block.shape[1] == 1:
            mixed.append(block[:, 0])
            continue
        mixed.append(block.mean(axis=1))
        mixed_power += float(np.vdot(mixed[-1], mixed[-1]))
        power += float(np.vdot(block, block)) / block.shape[1]
    if not sum(map(len, mixed)):
        raise MediaError("holds no samples")
    if mixed_power < OPPOSITE * power:
        return _joined([block[:, 0] for block in blocks()]), True
    return _joined(mixed), False


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)


def _check_values(block: np.ndarray) -> None:
    largest = np.abs(block).max()
    if not np.isfinite(largest):
        raise MediaError("holds NaN or infinite samples")
    if largest > MAX_AMPLITUDE:
        raise MediaError(f"holds samples beyond {MAX_AMPLITUDE:g}; scale it to -1 to +1")
