"""Odd voices, one for each seed: every kind of file, whole or damaged."""

from dataclasses import replace
from io import BytesIO

import av
import numpy as np
import soundfile
from odd_pictures import DAMAGES, OddFile, damaged
from sound_files import (
    by_ffmpeg,
    by_soundfile,
    chunk,
    id3,
    riff,
    spoken_tone,
    truth_of,
    wave_format,
    whole_numbers,
)

LENGTHLESS = ("mp3", "adts", "amr", "WAV header, no size", "WAV header, streamed")
"""Kinds that do not say how long they are: a file that ends between two frames is whole."""
LOSSLESS = [
    *(("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "PCM_U8")),
    *(("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_24"), ("AIFF", "PCM_16")),
    *(("CAF", "PCM_16"), ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")),
]
LOSSY = [
    *(("mp3", "libmp3lame", 16_000), ("mp4", "aac", 16_000), ("adts", "aac", 16_000)),
    *(("webm", "libopus", 48_000), ("ogg", "libopus", 48_000), ("matroska", "libopus", 48_000)),
    *(("amr", "libopencore_amrnb", 8_000), ("wav", "pcm_alaw", 8_000)),
    *(("wav", "adpcm_ms", 16_000), ("mov", "pcm_s16be", 16_000), ("matroska", "flac", 16_000)),
]


def odd_voice(seed: int) -> OddFile:
    """Return the voice of ``seed``; what is right is float32 [samples]."""
    rng = np.random.default_rng([seed, 2])
    make = rng.choice([_lossless, _lossless, _faulty_header, _lossy, _lossy])  # type: ignore[arg-type]
    whole = make(rng)
    damage = str(rng.choice(DAMAGES))
    return replace(whole, damage=damage, data=damaged(whole.data, damage, rng))


def _lossless(rng: np.random.Generator) -> OddFile:
    kind, subtype = LOSSLESS[int(rng.integers(len(LOSSLESS)))]
    rate, channels = int(rng.choice([8_000, 16_000, 44_100])), int(rng.integers(1, 4))
    bits = {"FLOAT": 16, "PCM_U8": 8}.get(subtype) or int(subtype.removeprefix("PCM_"))
    integers = whole_numbers(int(rng.integers(3000, 5000)), bits, channels)
    truth = truth_of(integers, bits)
    if subtype == "FLOAT":
        data = by_soundfile(integers / float(1 << 15), rate, kind, subtype)
    else:
        data = by_soundfile((integers << (32 - bits)).astype(np.int32), rate, kind, subtype)
    if kind == "FLAC" and rng.random() < 0.3:
        data = id3(b"TIT2" + bytes(20)) + data
    return OddFile(f"{kind} {subtype} {channels} channels", "", data, truth, _by_soundfile)


def _faulty_header(rng: np.random.Generator) -> OddFile:
    integers = whole_numbers(int(rng.integers(3000, 5000)), 16)
    samples = integers.astype("<i2").tobytes()
    size, name = {
        0: (0, "no size"),
        1: (0xFFFF_FFFF, "streamed"),
        2: (len(samples) + 44, "44 too large"),
    }[int(rng.integers(3))]
    form = riff([chunk(b"fmt ", wave_format(1, 1, 16_000, 2)), chunk(b"data", samples, size=size)],
                size=0 if name == "no size" else None)  # fmt: skip
    return OddFile(f"WAV header, {name}", "", form, truth_of(integers, 16), _by_av)


def _lossy(rng: np.random.Generator) -> OddFile:
    container, codec, rate = LOSSY[int(rng.integers(len(LOSSY)))]
    samples = spoken_tone(int(rng.integers(rate // 2, rate)), rate)
    data = by_ffmpeg(samples, rate, container, codec)
    return OddFile(f"{container} {codec}", "", data, None, _by_av)


# --- independent readers --------------------------------------------------------------------------


def _by_soundfile(data: bytes) -> np.ndarray | None:
    try:
        samples, _ = soundfile.read(BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    return samples.mean(axis=1) if len(samples) else None


def _by_av(data: bytes) -> np.ndarray | None:
    """Return what FFmpeg decodes, the mean of the channels; None if it stops with an error."""
    try:
        with av.open(BytesIO(data)) as file:
            stream = file.streams.audio[0]
            plain = av.AudioResampler("fltp", stream.layout, stream.rate)
            frames = [
                part.to_ndarray().mean(axis=0)
                for frame in file.decode(stream)
                for part in plain.resample(frame)
            ]
    except (av.FFmpegError, IndexError, ValueError):
        return None
    return np.concatenate(frames) if frames else None
