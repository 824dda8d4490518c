"""Reading every file of a manifest as ``ivr extract`` does: what cannot be used or is odd."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.image_input import ImageInput
from ivr.features.media import read_bytes
from ivr.features.mfcc import VoiceConfig
from ivr.features.raster_process import raster_readers
from ivr.features.voice import at_sample_rate, used_recording
from ivr.pipeline.runtime.progress import progress

from .findings import Finding, problem
from .image_likeness import SIDE, image_hash, is_blank
from .manifest import Item, ManifestError, resolve
from .media_files import SkippedFile, from_file
from .voice_warnings import CUT, voice_warnings

MISSING, OUTSIDE, UNREADABLE = "missing", "outside the root", "unreadable"
"""Kinds of findings on files that ``ivr extract`` skips."""


@dataclass(frozen=True)
class AuditedFile:
    """Result of reading one file.

    Attributes:
        item: the image or voice.
        digest: sha256 of its bytes, ``""`` if it cannot be used.
        findings: why it cannot be used, or what is odd about it.
        seconds: length of a voice, 0 for an image.
        likeness: perceptual hash of an image that is not blank.
    """

    item: Item
    digest: str = ""
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    likeness: tuple[int, int] | None = None


def read_image_files(
    items: Sequence[Item], root: Path, jobs: int | None, pixels: PixelConfig
) -> list[AuditedFile]:
    """Return one result per image below ``root``, read by ``jobs`` threads (None: one per core)."""
    with raster_readers():
        return _read_all(items, root, lambda item, data: _image(item, data, pixels), jobs, "images")


def read_voice_files(
    items: Sequence[Item], root: Path, jobs: int | None, config: VoiceConfig
) -> list[AuditedFile]:
    """Return one result per voice below ``root``, read by ``jobs`` threads (None: one per core)."""
    return _read_all(items, root, lambda item, data: _voice(item, data, config), jobs, "voices")


def items_by_digest(files: Iterable[AuditedFile]) -> list[list[Item]]:
    """Return the items of the readable files, those with the same bytes together."""
    found: dict[str, list[Item]] = defaultdict(list)
    for file in files:
        if file.digest:
            found[file.digest].append(file.item)
    return list(found.values())


def _read_all(
    items: Sequence[Item],
    root: Path,
    read: Callable[[Item, bytes], AuditedFile],
    jobs: int | None,
    what: str,
) -> list[AuditedFile]:
    # Threads: decoders and hashes release the interpreter. Two threads read 2100 images of
    # 256 x 256 in 0.6 of the time of one; two processes take 11 times as long, mostly to import
    # torch.
    tasks = (delayed(_audited)(item, root, read) for item in items)
    files = Parallel(n_jobs=jobs or cpu_count(), prefer="threads", return_as="generator")(tasks)
    return list(progress(files, len(items), what))


def _audited(item: Item, root: Path, read: Callable[[Item, bytes], AuditedFile]) -> AuditedFile:
    found = from_file(item.name, root, lambda path: read(item, read_bytes(path)))
    return found if isinstance(found, AuditedFile) else _skipped(item, root, found)


def _skipped(item: Item, root: Path, skipped: SkippedFile) -> AuditedFile:
    """Return the finding on a file that ``ivr extract`` would skip."""
    try:
        kind = UNREADABLE if resolve(root, item.name).is_file() else MISSING
    except OSError:
        kind = UNREADABLE
    except ManifestError:
        kind = OUTSIDE
    text = {MISSING: item.name, OUTSIDE: skipped.reason}.get(kind, f"{item.name}: {skipped.reason}")
    return AuditedFile(item, findings=(problem(kind, [item.name], text),))


def _image(item: Item, data: bytes, pixels: PixelConfig) -> AuditedFile:
    picture = decode_image(data, ImageInput(SIDE), pixels.shown)
    digest = hashlib.sha256(data).hexdigest()
    if is_blank(picture):
        colour = ", ".join(map(str, picture[:, 0, 0]))
        blank = problem("blank", [item.name], f"{item.name}: one colour ({colour})")
        return AuditedFile(item, digest, (blank,))
    return AuditedFile(item, digest, likeness=image_hash(picture))


def _voice(item: Item, data: bytes, config: VoiceConfig) -> AuditedFile:
    recording = used_recording(data, config)
    # Refuses a voice that is too short.
    at_sample_rate(recording.samples, recording.sample_rate, config)
    findings = tuple(
        Finding(one.key, (item.name,), f"{item.name}: {one.text}", one.severity)
        for one in voice_warnings(recording, config)
        if one.key != CUT  # all of them are one finding of the audit
    )
    digest = hashlib.sha256(data).hexdigest()
    return AuditedFile(item, digest, findings, len(recording.samples) / recording.sample_rate)
