"""What ``ivr check`` passes, ``ivr extract`` does not skip, and the other way round."""

import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, TINY_VOICE, drawn, spoken
from PIL import Image

from ivr.features.image_bands import PixelConfig
from ivr.features.image_input import ImageInput
from ivr.features.spectral_encoders import MfccReader, SampleReader
from ivr.pipeline.datasets.audit import check
from ivr.pipeline.datasets.audited_files import MISSING, OUTSIDE, UNREADABLE
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.extraction.worker_tasks import SkippedFile, decode, listen

SKIPPED_KINDS = (MISSING, OUTSIDE, UNREADABLE)
DAMAGES = 6


def image(kind: str, mode: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture = Image.fromarray(drawn("pond", np.random.default_rng(0), 24))
    if mode in ("I;16", "F"):
        picture = picture.convert("L")
    picture.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def voice(kind: str, subtype: str, seconds: float = 0.15, rate: int = SAMPLE_RATE) -> bytes:
    buffer = BytesIO()
    samples = spoken("pond", np.random.default_rng(0), seconds)
    soundfile.write(buffer, samples, rate, subtype, format=kind)
    return buffer.getvalue()


IMAGES = {
    "rgb.jpg": image("JPEG", "RGB"),
    "progressive.jpg": image("JPEG", "RGB", progressive=True),
    "grey.png": image("PNG", "L"),
    "palette.png": image("PNG", "P"),
    "deep.png": image("PNG", "I;16"),
    "rgb.tif": image("TIFF", "RGB"),
    "lzw.tif": image("TIFF", "RGB", compression="tiff_lzw"),
    "float.tif": image("TIFF", "F"),
    "other.png": b"GIF89a" + bytes(40),
    "empty.jpg": b"",
    "text.png": b"not an image",
    "nan.tif": image("TIFF", "F").replace(struct.pack("<f", 60.0), struct.pack("<f", np.nan)),
}
VOICES = {
    "pcm.wav": voice("WAV", "PCM_16"),
    "float.wav": voice("WAV", "FLOAT"),
    "phone.wav": voice("WAV", "ULAW", rate=8000),
    "slow.wav": voice("WAV", "PCM_16", rate=2000),
    "short.wav": voice("WAV", "PCM_16", seconds=0.005),
    "one.flac": voice("FLAC", "PCM_16"),
    "one.ogg": voice("OGG", "VORBIS"),
    "empty.wav": b"",
    "text.wav": b"not a voice",
    "nan.wav": voice("WAV", "FLOAT")[:-4] + struct.pack("<f", np.nan),
}


def damaged(whole: bytes, rng: np.random.Generator) -> list[bytes]:
    """The file, some shorter ones, and some with other bytes."""
    found = [whole]
    for _ in range(DAMAGES if whole else 0):
        place = int(rng.integers(len(whole)))
        found.append(whole[:place])
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        found.append(bytes(flipped))
    return found


def extracted(names: list[str], root: Path, read: Callable[[str], object]) -> dict[str, str]:
    """The files that extraction skips, with the reason."""
    found = {name: read(name) for name in names}
    return {name: one.reason for name, one in found.items() if isinstance(one, SkippedFile)}


def audited(names: list[str], root: Path, *, voices: bool) -> dict[str, str]:
    """The files that the audit says cannot be used, with its line."""
    rows = [ManifestRow("" if voices else name, name if voices else "", "a") for name in names]
    write_manifest(root / "manifest.csv", Manifest(tuple(rows)))
    found = check(root / "manifest.csv", jobs=1, voice=TINY_VOICE)
    return {one.items[0]: one.text for one in found.problems() if one.kind in SKIPPED_KINDS}


def written(root: Path, whole: dict[str, bytes], seed: int) -> list[str]:
    rng, names = np.random.default_rng(seed), []
    for name, content in whole.items():
        for number, data in enumerate(damaged(content, rng)):
            names.append(f"{number}_{name}")
            (root / names[-1]).write_bytes(data)
    (root / "link.png").symlink_to("/etc/hostname")
    (root / "folder.png").mkdir()
    return [*names, "absent.png", "link.png", "folder.png"]


def assert_same(skipped: dict[str, str], named: dict[str, str]) -> None:
    assert set(named) == set(skipped)
    for name, text in named.items():
        assert text == name or skipped[name] in text


@pytest.mark.parametrize("seed", [0, 1])
def test_the_images_that_check_refuses_are_those_that_extract_skips(
    tmp_path: Path, seed: int
) -> None:
    names = written(tmp_path, IMAGES, seed)
    small = (tmp_path, ImageInput(8), PixelConfig())
    skipped = extracted(names, tmp_path, lambda name: decode(name, *small))
    assert 3 < len(skipped) < len(names) - 3
    assert_same(skipped, audited(names, tmp_path, voices=False))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_voices_that_check_refuses_are_those_that_extract_skips(
    tmp_path: Path, seed: int
) -> None:
    names = written(tmp_path, VOICES, seed)
    for read in (
        lambda name: listen(name, tmp_path, MfccReader(TINY_VOICE), os.getpid()),
        lambda name: listen(name, tmp_path, SampleReader(TINY_VOICE), os.getpid()),
    ):
        skipped = extracted(names, tmp_path, read)
        assert 3 < len(skipped) < len(names) - 3
        assert_same(skipped, audited(names, tmp_path, voices=True))
