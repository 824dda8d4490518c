"""Voices of every kind of file: right samples, or one line that says what is wrong."""

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from sound_files import (
    by_ffmpeg,
    by_soundfile,
    chunk,
    id3,
    riff,
    spoken_tone,
    truth_of,
    w64,
    wave_format,
    whole_numbers,
)

from ivr.features import ffmpeg_audio, voice_limits
from ivr.features.media import MediaError
from ivr.features.voice_file import recording_of

COUNT = 4001  # odd, and no multiple of any codec's frame
RATE = 16_000
TONE = spoken_tone(8001, RATE)


def packed(integers: np.ndarray, width: int, order: str) -> bytes:
    """Return integers [n, channels] as PCM of ``width`` bytes; one byte is unsigned."""
    flat = integers.reshape(-1)
    if width == 1:
        return (flat + 128).astype(np.uint8).tobytes()
    if width != 3:
        return flat.astype(f"{order}i{width}").tobytes()
    whole = flat.astype(">i4").view(np.uint8).reshape(-1, 4)[:, 1:]
    return np.ascontiguousarray(whole if order == ">" else whole[:, ::-1]).tobytes()


# --- lossless: every sample -----------------------------------------------------------------------

SOUNDFILE_KINDS = [
    *(
        ("WAV", f"PCM_{bits}", endian)
        for bits in ("U8", "16", "24", "32")
        for endian in ("", "BIG")
    ),
    *((kind, "PCM_16", "") for kind in ("WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC")),
    *((kind, "PCM_24", "") for kind in ("WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC")),
    *((kind, "PCM_32", "") for kind in ("AIFF", "CAF", "AU", "W64")),
    *((kind, "PCM_S8", "") for kind in ("AU", "FLAC")),
    ("AIFF", "PCM_16", "LITTLE"),
    ("CAF", "PCM_24", "LITTLE"),
]


@pytest.mark.parametrize(("kind", "subtype", "endian"), SOUNDFILE_KINDS)
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (44_100, 3)])
def test_integers_are_read_to_the_last_bit(
    kind: str, subtype: str, endian: str, rate: int, channels: int
) -> None:
    bits = int(subtype.removeprefix("PCM_").lstrip("US"))
    integers = whole_numbers(COUNT, bits, channels)
    shifted = (integers << (32 - bits)).astype(np.int32)
    found = recording_of(by_soundfile(shifted, rate, kind, subtype, endian))
    assert found.sample_rate == rate and found.notes == () and not found.opposite
    np.testing.assert_array_equal(found.samples, truth_of(integers, bits))


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU"])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_are_read_as_they_are(kind: str, subtype: str) -> None:
    samples = np.array([[0.25, 0.75], [-2.0, 1.0], [3.5, 0.5]])
    found = recording_of(by_soundfile(samples, RATE, kind, subtype))
    np.testing.assert_array_equal(found.samples, [0.5, -0.5, 2.0])


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("matroska", "pcm_s16le"),
        ("matroska", "flac"),
        ("mov", "pcm_s16le"),
        ("mov", "pcm_s16be"),
        ("mov", "alac"),
        ("mp4", "flac"),
        ("ogg", "flac"),
        ("aiff", "pcm_s16be"),
        ("caf", "pcm_s16le"),
        ("avi", "pcm_s16le"),
        ("w64", "pcm_s16le"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_sound_of_any_container_is_read_to_the_last_bit(
    container: str, codec: str, channels: int
) -> None:
    integers = whole_numbers(COUNT + 3, 16, channels)
    found = recording_of(by_ffmpeg(integers.astype(np.int16), RATE, container, codec))
    assert found.sample_rate == RATE
    np.testing.assert_array_equal(found.samples, truth_of(integers, 16))


# --- lossy: right length and likeness -------------------------------------------------------------


def assert_alike(found: np.ndarray, truth: np.ndarray, frame: int, least: float) -> None:
    """The length is right within ``frame`` samples, and the sounds correlate at some delay."""
    assert 0 <= len(found) - len(truth) <= frame
    padded = np.pad(found, frame)
    norms = np.linalg.norm(truth) * np.linalg.norm(found)
    products = [truth @ padded[lag : lag + len(truth)] for lag in range(2 * frame + 1)]
    assert max(products) / norms > least


@pytest.mark.parametrize(
    ("container", "codec", "rate", "frame"),
    [
        ("mp3", "libmp3lame", 16_000, 0),  # its first frame says how much was added
        ("mp3", "libmp3lame", 44_100, 0),
        ("mp2", "mp2", 44_100, 1152),
        ("ipod", "aac", 16_000, 1024),
        ("mp4", "aac", 44_100, 1024),
        ("adts", "aac", 16_000, 2048),
        ("matroska", "aac", 44_100, 2048),
        ("webm", "libopus", 48_000, 0),
        ("matroska", "libopus", 48_000, 0),
        ("ogg", "libopus", 48_000, 0),
        ("mp4", "libopus", 48_000, 960),
        ("amr", "libopencore_amrnb", 8_000, 320),
        ("3gp", "libopencore_amrnb", 8_000, 320),
        ("avi", "libmp3lame", 16_000, 1728),
        ("mp4", "libmp3lame", 44_100, 1152),
        ("wav", "libmp3lame", 16_000, 1728),
        ("wav", "pcm_alaw", 8_000, 0),
        ("wav", "pcm_mulaw", 8_000, 0),
        ("wav", "adpcm_ms", 16_000, 2048),
        ("wav", "adpcm_ima_wav", 16_000, 2048),
        ("aiff", "pcm_alaw", 8_000, 0),
        ("mov", "adpcm_ima_qt", 16_000, 64),
    ],
)
def test_compressed_sound_has_its_length_and_sounds_alike(
    container: str, codec: str, rate: int, frame: int
) -> None:
    truth = spoken_tone(rate // 2 + 1, rate)
    found = recording_of(by_ffmpeg(truth, rate, container, codec))
    assert found.sample_rate == rate
    assert_alike(found.samples, truth, frame, 0.9 if "amr" in codec else 0.97)


def test_vorbis_has_its_length_and_sounds_alike() -> None:
    for rate in (8_000, 44_100):
        truth = spoken_tone(rate // 2 + 1, rate)
        found = recording_of(by_soundfile(truth, rate, "OGG", "VORBIS"))
        assert_alike(found.samples, truth, 0, 0.97)


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("matroska", "flac"), ("avi", "libmp3lame")]
)
def test_of_a_video_the_sound_is_read(container: str, codec: str) -> None:
    alone = recording_of(by_ffmpeg(TONE, RATE, container, codec))
    found = recording_of(by_ffmpeg(TONE, RATE, container, codec, pictures=True))
    np.testing.assert_array_equal(found.samples, alone.samples)


def test_a_container_that_a_browser_records_without_length_is_read_whole() -> None:
    truth = spoken_tone(24_001, 48_000)
    assert (
        len(recording_of(by_ffmpeg(truth, 48_000, "webm", "libopus", live="1")).samples) == 24_001
    )


def test_fragments_and_an_index_in_front_change_nothing(tmp_path: Path) -> None:
    plain = recording_of(by_ffmpeg(TONE, RATE, "mp4", "aac")).samples
    front = by_ffmpeg(TONE, RATE, "mp4", "aac", path=tmp_path / "v", movflags="faststart")
    assert front.index(b"moov") < front.index(b"mdat")
    np.testing.assert_array_equal(recording_of(front).samples, plain)
    parts = by_ffmpeg(TONE, RATE, "mp4", "aac", movflags="frag_keyframe+empty_moov")
    assert parts.count(b"moof") and plain.tobytes() in recording_of(parts).samples.tobytes()


# --- WAV and its kin: byte orders, widths, headers ------------------------------------------------

INTEGERS = whole_numbers(500, 16)
TRUTH = truth_of(INTEGERS, 16)
SAMPLES = packed(INTEGERS, 2, "<")
FORMAT = wave_format(1, 1, RATE, 2)


@pytest.mark.parametrize("form", ["RIFF", "RIFX", "RF64", "BW64", "W64"])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_form_and_width_of_wave_is_read(form: str, width: int, channels: int) -> None:
    integers = whole_numbers(250, 8 * width, channels)
    order = ">" if form == "RIFX" else "<"
    described = wave_format(1, channels, RATE, width, order)
    samples = packed(integers, width, order)
    if form == "W64":
        data = w64(described, samples)
    elif form in ("RF64", "BW64"):
        sizes = struct.pack("<QQQI", 12 + 36 + 24 + 8 + len(samples) - 8, len(samples), 0, 0)
        chunks = [chunk(b"ds64", sizes), chunk(b"fmt ", described)]
        chunks.append(chunk(b"data", samples, size=0xFFFF_FFFF))
        data = riff(chunks, form.encode(), size=0xFFFF_FFFF)
    else:
        chunks = [chunk(b"fmt ", described, order), chunk(b"data", samples, order)]
        data = riff(chunks, form.encode(), order)
    found = recording_of(data)
    assert found.sample_rate == RATE and not set(found.notes) - {"no length"}
    np.testing.assert_array_equal(found.samples, truth_of(integers, 8 * width))


def extensible(tag: int, width: int, bits: int) -> bytes:
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    return wave_format(0xFFFE, 1, RATE, width, more=struct.pack("<HHI", 22, bits, 4) + guid)


@pytest.mark.parametrize(("width", "bits"), [(2, 16), (3, 24), (4, 32), (4, 24), (2, 12)])
def test_extensible_wave_is_read_with_fewer_bits_than_its_container(width: int, bits: int) -> None:
    integers = whole_numbers(100, bits)
    samples = packed(integers << (8 * width - bits), width, "<")
    data = riff([chunk(b"fmt ", extensible(1, width, bits)), chunk(b"data", samples)])
    np.testing.assert_array_equal(recording_of(data).samples, truth_of(integers, bits))


def test_extensible_wave_of_floats_and_of_a_law_is_read() -> None:
    floats = np.array([0.5, -1.5], np.float32)
    data = riff([chunk(b"fmt ", extensible(3, 4, 32)), chunk(b"data", floats.tobytes())])
    np.testing.assert_array_equal(recording_of(data).samples, floats)
    # ITU-T G.711: 0xD5 and 0x55 are the smallest steps up and down, 8 of 32768.
    data = riff([chunk(b"fmt ", extensible(6, 1, 8)), chunk(b"data", b"\xd5\x55")])
    np.testing.assert_array_equal(recording_of(data).samples * 32768, [8, -8])


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (extensible(1, 2, 16)[:-1] + b"\0", "^WAV of the unknown subformat 0100"),
        (wave_format(0xF1AC, 1, RATE, 2), "^WAV of the codec 0xF1AC is not read; convert it"),
        (wave_format(1, 1, RATE, 8), "^WAV of 64 bits per sample in blocks of 8 bytes is not read"),
        (FORMAT[:12] + b"\4\0\x18\0", "^WAV of 24 bits per sample in blocks of 4 bytes is not"),
        (wave_format(1, 0, RATE, 2), "^damaged: its sound has no channel$"),
        (FORMAT[:13], "^damaged: the format of its samples is missing$"),
    ],
)
def test_wave_of_another_format_is_refused_by_its_name(described: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        recording_of(riff([chunk(b"fmt ", described), chunk(b"data", SAMPLES)]))


@pytest.mark.parametrize("align", [0, 1])
def test_a_wrong_block_size_of_pcm_changes_no_sample(align: int) -> None:
    described = FORMAT[:12] + struct.pack("<HH", align, 16)
    data = riff([chunk(b"fmt ", described), chunk(b"data", SAMPLES)])
    np.testing.assert_array_equal(recording_of(data).samples, TRUTH)


HELD = len(SAMPLES)
WHOLE = 36 + HELD


@pytest.mark.parametrize(
    ("whole", "samples", "note"),
    [
        # recorders that crashed or write into a pipe
        (0, 0, "no length"),
        (36, 0, "no length"),
        (WHOLE, 0, "no length"),
        (0xFFFF_FFFF, 0, "no length"),
        (0xFFFF_FFFF, 0xFFFF_FFFF, "no length"),
        (36, 0xFFFF_FFFF, "no length"),
        (0x7FFF_F024, 0x7FFF_F000, "no length"),
        (0, 0xFFFF_FFDB, "no length"),
        # the header counted as samples
        (WHOLE, HELD + 44, "wrong sizes"),
        (WHOLE + 44, HELD + 44, "wrong sizes"),
        (WHOLE, HELD + 8, "wrong sizes"),
        (WHOLE, HELD + 36, "wrong sizes"),
        # the size of the whole is wrong alone
        (0, HELD, ""),
        (WHOLE + 8, HELD, ""),
        (WHOLE + 1000, HELD, ""),
        (0xFFFF_FFFF, HELD, ""),
    ],
)
@pytest.mark.parametrize("form", [b"RIFF", b"RIFX"])
def test_wrong_sizes_in_the_header_lose_no_sample(
    whole: int, samples: int, note: str, form: bytes
) -> None:
    order = ">" if form == b"RIFX" else "<"
    described = chunk(b"fmt ", wave_format(1, 1, RATE, 2, order), order)
    data = chunk(b"data", packed(INTEGERS, 2, order), order, samples)
    found = recording_of(riff([described, data], form, order, whole))
    np.testing.assert_array_equal(found.samples, TRUTH)
    assert found.notes == ((note,) if note else ())


def test_chunks_of_a_recorder_before_its_samples_are_passed_over() -> None:
    chunks = [chunk(b"JUNK", bytes(28)), chunk(b"FLLR", bytes(4000)), chunk(b"fmt ", FORMAT)]
    data = riff([*chunks, chunk(b"data", SAMPLES, size=0)], size=4088)
    np.testing.assert_array_equal(recording_of(data).samples, TRUTH)


@pytest.mark.parametrize("size", [0, (1 << 63) - 1, 24])
def test_wave64_of_a_recorder_that_crashed_is_read_to_its_end(size: int) -> None:
    np.testing.assert_array_equal(recording_of(w64(FORMAT, SAMPLES, size)).samples, TRUTH)


@pytest.mark.parametrize("form", [b"RF64", b"BW64"])
def test_rf64_of_a_recorder_that_crashed_is_read_to_its_end(form: bytes) -> None:
    chunks = [chunk(b"ds64", bytes(28)), chunk(b"fmt ", FORMAT)]
    data = riff([*chunks, chunk(b"data", SAMPLES, size=0xFFFF_FFFF)], form, size=0xFFFF_FFFF)
    np.testing.assert_array_equal(recording_of(data).samples, TRUTH)


def test_samples_beyond_a_size_that_was_not_updated_are_named() -> None:
    data = riff([chunk(b"fmt ", FORMAT), chunk(b"data", SAMPLES, size=400)], size=436)
    found = recording_of(data)
    np.testing.assert_array_equal(found.samples, TRUTH[:200])
    assert found.notes == ("bytes after the samples",)


@pytest.mark.parametrize("tail", [chunk(b"LIST", b"INFOx"), id3(bytes(9)), bytes(64), b"TAGa" * 32])
def test_tags_after_the_samples_are_no_samples(tail: bytes) -> None:
    found = recording_of(riff([chunk(b"fmt ", FORMAT), chunk(b"data", SAMPLES)]) + tail)
    np.testing.assert_array_equal(found.samples, TRUTH)
    assert found.notes == ()


def test_wave_cut_by_one_sample_is_refused() -> None:
    for samples in (SAMPLES, SAMPLES[:-1]):
        data = riff([chunk(b"fmt ", wave_format(1, 1, RATE, 1)), chunk(b"data", samples)])
        cut = data[: len(data) - len(samples) % 2 - 1]
        with pytest.raises(MediaError, match=r"^cut short: \d+ of \d+ bytes of samples$"):
            recording_of(cut)


# --- tags in front --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        by_soundfile(TONE, RATE, "WAV", "PCM_16"),
        by_soundfile(TONE, RATE, "FLAC", "PCM_16"),
        by_soundfile(TONE, RATE, "OGG", "VORBIS"),
        by_soundfile(TONE, RATE, "AIFF", "PCM_16"),
        by_ffmpeg(TONE, RATE, "mp3", "libmp3lame"),
        by_ffmpeg(TONE, RATE, "adts", "aac"),
    ],
    ids=["WAV", "FLAC", "Ogg", "AIFF", "MP3", "AAC"],
)
def test_id3_tags_in_front_change_no_sample(content: bytes) -> None:
    plain = recording_of(content).samples
    for tags in (id3(b"TIT2" + bytes(500)), id3(bytes(20)) * 2, id3(bytes(9)) + bytes(100)):
        np.testing.assert_array_equal(recording_of(tags + content).samples, plain)


# --- FLAC -----------------------------------------------------------------------------------------


def without_length(flac: bytes, digest: bool = True) -> bytes:
    cut = flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]
    return cut if digest else cut[:26] + bytes(16) + cut[42:]


@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_flac_that_does_not_say_its_length_is_read_whole(
    digest: bool, subtype: str, bits: int
) -> None:
    integers = whole_numbers(9000, bits, 2)
    flac = by_soundfile((integers << (32 - bits)).astype(np.int32), RATE, "FLAC", subtype)
    found = recording_of(without_length(flac, digest))
    np.testing.assert_array_equal(found.samples, truth_of(integers, bits))
    assert found.notes == ("no length",)


@pytest.mark.parametrize("lost", [1, 100, 9000, 20_000])
def test_flac_without_length_that_is_cut_is_refused(lost: int) -> None:
    flac = by_soundfile(spoken_tone(20_000, RATE), RATE, "FLAC", "PCM_16")
    with pytest.raises(MediaError, match=r"^damaged"):
        recording_of(without_length(flac)[:-lost])


def test_flac_whose_samples_do_not_match_their_digest_is_refused() -> None:
    flac = bytearray(by_soundfile(TONE, RATE, "FLAC", "PCM_16"))
    flac[30] ^= 1
    with pytest.raises(MediaError, match=r"^damaged: its samples do not match their checksum$"):
        recording_of(bytes(flac))


# --- Ogg ------------------------------------------------------------------------------------------


def vorbis(samples: np.ndarray, rate: int = RATE) -> bytes:
    return by_soundfile(samples, rate, "OGG", "VORBIS")


def test_chained_ogg_streams_are_read_one_after_the_other() -> None:
    parts = [vorbis(TONE), vorbis(TONE[:3001]), vorbis(-TONE)]
    expected = np.concatenate([recording_of(part).samples for part in parts])
    assert len(expected) == 2 * len(TONE) + 3001
    np.testing.assert_array_equal(recording_of(b"".join(parts)).samples, expected)


def test_chained_ogg_streams_of_opus_are_read_whole() -> None:
    parts = [by_ffmpeg(sign * TONE, 48_000, "ogg", "libopus") for sign in (1, -1)]
    assert len(recording_of(b"".join(parts)).samples) == 2 * len(TONE)


@pytest.mark.parametrize("tail", [bytes(1000), b"TAG" + bytes(125)])
def test_what_fills_up_an_ogg_file_is_no_page(tail: bytes) -> None:
    whole = vorbis(TONE)
    np.testing.assert_array_equal(recording_of(whole + tail).samples, recording_of(whole).samples)


@pytest.mark.parametrize("other", [vorbis(TONE, 8_000), vorbis(np.stack([TONE, TONE], 1))])
def test_chained_ogg_streams_of_two_formats_are_refused(other: bytes) -> None:
    with pytest.raises(MediaError, match=r"^its chained streams differ in sample rate or channels"):
        recording_of(vorbis(TONE) + other)


def test_a_chained_ogg_stream_that_is_cut_is_refused() -> None:
    whole, more = vorbis(TONE), vorbis(np.tile(TONE, 8))
    for cut in (more[:-1], more[: more.rindex(b"OggS")]):
        with pytest.raises(MediaError, match=r"cut short"):
            recording_of(whole + cut)


def test_an_ogg_stream_that_lacks_a_page_in_the_middle_is_refused() -> None:
    data = vorbis(np.tile(TONE, 40))
    pages = [b"OggS" + page for page in data.split(b"OggS")[1:]]
    assert len(pages) > 4
    with pytest.raises(MediaError, match=r"^damaged: a page of the Ogg stream is missing"):
        recording_of(b"".join(pages[:2] + pages[3:]))


# --- channels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
@pytest.mark.parametrize("remains", [0.0, 0.01])
def test_of_channels_that_cancel_each_other_the_first_is_read(kind: str, remains: float) -> None:
    stereo = np.stack([TONE, -(1 - remains) * TONE], axis=1)
    found = recording_of(by_soundfile(stereo, RATE, kind, "PCM_16"))
    alone = recording_of(by_soundfile(TONE, RATE, kind, "PCM_16"))
    assert found.opposite and not alone.opposite
    np.testing.assert_array_equal(found.samples, alone.samples)


def test_unlike_and_silent_channels_are_averaged() -> None:
    noise = np.random.default_rng(1).uniform(-0.4, 0.4, (len(TONE), 16))
    alone = np.zeros_like(noise)
    alone[:, 5] = TONE
    for channels in (noise, alone, np.zeros((100, 2))):
        found = recording_of(by_soundfile(channels, RATE, "WAV", "FLOAT"))
        assert not found.opposite
        np.testing.assert_allclose(found.samples, channels.mean(axis=1), atol=1e-7)


# --- limits, and what a file refers to ------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "rate", "message"),
    [(17, RATE, "^17 channels, more than 16$"), (1, 3_000, "^sample rate of 3000 Hz, not within")],
)
@pytest.mark.parametrize("kind", ["AIFF", "CAF", "AU", "W64"])
def test_the_limits_hold_for_every_container(
    kind: str, channels: int, rate: int, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        recording_of(by_soundfile(np.zeros((100, channels)), rate, kind, "PCM_16"))


@pytest.mark.parametrize(
    ("container", "codec"), [("matroska", "flac"), ("mp4", "aac"), ("mp3", "libmp3lame")]
)
def test_a_recording_beyond_the_longest_is_refused(
    container: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = by_ffmpeg(spoken_tone(2 * RATE, RATE), RATE, container, codec)
    assert len(recording_of(data).samples) >= 2 * RATE
    monkeypatch.setattr(voice_limits, "MAX_SECONDS", 1)
    with pytest.raises(MediaError, match=r"^longer than 1 s; cut it into sentences$"):
        recording_of(data)


def test_a_file_of_very_many_packets_or_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = by_ffmpeg(TONE, RATE, "matroska", "flac")
    monkeypatch.setattr(ffmpeg_audio, "MAX_PACKETS", 3)
    with pytest.raises(MediaError, match=r"^more than 3 packets of sound$"):
        recording_of(data)
    monkeypatch.setattr(voice_limits, "MAX_PARTS", 3)
    for part in (
        data,
        by_ffmpeg(TONE, RATE, "mp4", "aac"),
        by_soundfile(TONE, RATE, "CAF", "FLOAT"),
    ):
        with pytest.raises(MediaError, match=r"^more than 3 (elements|boxes|chunks)$"):
            recording_of(part)


def test_a_list_of_more_samples_than_bytes_is_refused() -> None:
    data = by_ffmpeg(TONE, RATE, "mov", "pcm_s16le")
    table = data.index(b"stsz") + 8
    assert struct.unpack_from(">I", data, table) == (2,)
    bomb = data[: table + 4] + struct.pack(">I", 0x0FFF_FFFF) + data[table + 8 :]
    with pytest.raises(MediaError, match=r"^damaged: it claims \d+ samples in \d+ bytes$"):
        recording_of(bomb)


def with_reference(movie: bytes, target: Path) -> bytes:
    """Return the movie, whose list of contents is at its end, with its samples in ``target``."""
    location = f"file://{target}".encode() + b"\0"
    entry = movie.index(b"url \0\0\0\1")
    data = bytearray(movie)
    data[entry + 4 : entry + 8] = bytes(4)  # not in this file
    data[entry + 8 : entry + 8] = location
    boxes = (b"url ", b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov")
    for place in (data.index(name) - 4 for name in boxes):
        struct.pack_into(
            ">I", data, place, struct.unpack_from(">I", data, place)[0] + len(location)
        )
    return bytes(data)


def test_a_reference_of_a_movie_to_another_file_is_not_followed(tmp_path: Path) -> None:
    movie = by_ffmpeg(TONE, RATE, "mp4", "aac")
    assert movie.index(b"moov") > movie.index(b"mdat")
    (tmp_path / "other.mp4").write_bytes(movie)
    place = movie.index(b"mdat") + 4
    emptied = (
        movie[:place] + bytes(movie.index(b"moov") - 4 - place) + movie[movie.index(b"moov") - 4 :]
    )
    with pytest.raises(MediaError):
        recording_of(with_reference(emptied, tmp_path / "other.mp4"))


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nVOICE\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile VOICE\n",
        "[playlist]\nFile1=VOICE\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>VOICE</BaseURL></Period></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 5004 RTP/AVP 0\n",
    ],
    ids=["hls", "concat", "pls", "dash", "sdp"],
)
def test_a_list_of_other_files_is_no_voice(text: str, tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(by_soundfile(TONE, RATE, "WAV", "PCM_16"))
    with pytest.raises(MediaError, match=r"^(not a WAV|playlist is not read)"):
        recording_of(text.replace("VOICE", str(tmp_path / "voice.wav")).encode())


@pytest.mark.parametrize(("container", "codec"), [("mpegts", "aac"), ("flv", "libmp3lame")])
def test_a_known_container_that_is_not_read_is_named(container: str, codec: str) -> None:
    with pytest.raises(MediaError, match=r"^[\w ]+ is not read; convert it to WAV$"):
        recording_of(by_ffmpeg(spoken_tone(22_050, 44_100), 44_100, container, codec))


def test_a_video_without_sound_is_refused() -> None:
    silent = by_ffmpeg(TONE, RATE, "avi", "pcm_s16le", pictures=True).replace(b"auds", b"mids")
    with pytest.raises(MediaError, match=r"^holds no sound that can be decoded$"):
        recording_of(silent)


# --- damage ---------------------------------------------------------------------------------------

DAMAGED = {
    "mp3": lambda: by_ffmpeg(TONE, RATE, "mp3", "libmp3lame"),
    "m4a": lambda: by_ffmpeg(TONE, RATE, "ipod", "aac"),
    "aac": lambda: by_ffmpeg(TONE, RATE, "adts", "aac"),
    "webm": lambda: by_ffmpeg(np.repeat(TONE, 3), 48_000, "webm", "libopus"),
    "mkv": lambda: by_ffmpeg(TONE, RATE, "matroska", "flac"),
    "opus": lambda: by_ffmpeg(np.repeat(TONE, 3), 48_000, "ogg", "libopus"),
    "amr": lambda: by_ffmpeg(TONE[::2], 8_000, "amr", "libopencore_amrnb"),
    "avi": lambda: by_ffmpeg(TONE, RATE, "avi", "libmp3lame", pictures=True),
    "mp4": lambda: by_ffmpeg(TONE, RATE, "mp4", "aac", movflags="frag_keyframe+empty_moov"),
    "mov": lambda: by_ffmpeg(TONE, RATE, "mov", "alac"),
    "aiff": lambda: by_soundfile(TONE, RATE, "AIFF", "PCM_24"),
    "caf": lambda: by_soundfile(TONE, RATE, "CAF", "PCM_16"),
    "au": lambda: by_soundfile(TONE, RATE, "AU", "PCM_16"),
    "w64": lambda: by_soundfile(TONE, RATE, "W64", "PCM_16"),
    "rf64": lambda: by_soundfile(TONE, RATE, "RF64", "PCM_16"),
    "flac": lambda: by_soundfile(TONE, RATE, "FLAC", "PCM_16"),
    "alaw": lambda: by_ffmpeg(TONE, RATE, "wav", "pcm_alaw"),
    "adpcm": lambda: by_ffmpeg(TONE, RATE, "wav", "adpcm_ms"),
    "mp3 in wav": lambda: by_ffmpeg(TONE, RATE, "wav", "libmp3lame"),
}


def lengths(variants: list[bytes]) -> list[int | str]:
    """Return the number of samples of each, or the message that refuses it."""
    found: list[int | str] = []
    for data in variants:
        try:
            found.append(len(recording_of(data).samples))
        except MediaError as error:
            assert "\n" not in str(error)
            found.append(str(error))
    return found


Lengths = Callable[[list[bytes]], list[int | str]]


@pytest.fixture(scope="module")
def lengths_in_child() -> Iterator[Lengths]:
    """:func:`lengths` in a process of its own: a decoder that crashes does not end the tests."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda variants: pool.submit(lengths, variants).result()


@pytest.mark.parametrize("name", DAMAGED)
def test_a_voice_that_is_cut_anywhere_is_refused(name: str, lengths_in_child: Lengths) -> None:
    whole = DAMAGED[name]()
    places = [*range(1, len(whole), max(1, len(whole) // 60)), len(whole) - 2, len(whole) - 1]
    full, *found = lengths_in_child([whole, *(whole[:place] for place in places)])
    lengths_read = zip(places, found, strict=True)
    # All samples may be there: what fills an odd chunk is none.
    read = [place for place, one in lengths_read if isinstance(one, int) and one != full]
    if name == "amr":  # frames of 13 bytes and no length: a cut between two of them is not seen
        read = [place for place in read if (place - 6) % 13]
    assert not read


@pytest.mark.parametrize("name", DAMAGED)
def test_a_voice_with_flipped_bits_is_read_or_refused_in_one_line(
    name: str, lengths_in_child: Lengths, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = DAMAGED[name]()
    head = min(len(whole), 600)
    places = [*range(0, head, 7), *range(head, len(whole), max(1, len(whole) // 40))]
    variants = []
    for number, place in enumerate(places):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << number % 8
        variants.append(bytes(flipped))
    found = lengths_in_child([whole, *variants])
    assert isinstance(found[0], int) and any(isinstance(one, str) for one in found)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["mp3", "aac", "mkv", "mov", "flac", "opus"])
def test_a_voice_that_lost_bytes_in_its_middle_is_refused(
    name: str, lengths_in_child: Lengths
) -> None:
    whole = DAMAGED[name]()
    middle = len(whole) // 2
    (found,) = lengths_in_child([whole[:middle] + whole[middle + 97 :]])
    assert isinstance(found, str)
