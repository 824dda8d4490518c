"""Stage: what an archive holds, in numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .archive import Archive, open_archive
from .archive_model import confidence_thresholds, threshold_words
from .item_columns import MODALITIES, OWN, type_name
from .lance_library import lance_errors


@dataclass(frozen=True, repr=False)
class ArchiveInfo(Result):
    """What an archive holds.

    Attributes:
        archive: the archive.
        version: the version that is described.
        versions: number of versions that can be read.
        images: number of images, windows of scenes among them.
        voices: number of voices.
        bits: bits per code.
        method: method of the model.
        identity: sha256 over all that decides a code.
        classes: names of the classes of the model.
        columns: name and type of each further column.
        fragments: number of files of rows; compacting merges them.
        bytes: size of the rows of this version, without indices.
        index: names of the indices.
        latest: time of the last addition, ISO 8601, None without rows.
        thresholds: confidence below which a query is probably about nothing known, by its modality;
            empty if the model is not calibrated, None if it is not here or is damaged.
    """

    archive: str
    version: int
    versions: int
    images: int
    voices: int
    bits: int
    method: str
    identity: str
    classes: tuple[str, ...]
    columns: dict[str, str]
    fragments: int
    bytes: int
    index: tuple[str, ...]
    latest: str | None
    thresholds: dict[str, float] | None

    def __repr__(self) -> str:
        """Return the lines that ``ivr archive info`` prints."""
        further = ", ".join(f"{name} ({kind})" for name, kind in self.columns.items())
        lines = [
            f"{self.archive}: version {self.version}, {counted(self.versions, 'version')} readable",
            f"{counted(self.images, 'image')}, {counted(self.voices, 'voice')}"
            + (f"; last addition {self.latest}" if self.latest else ""),
            f"{self.bits} bits, {self.method}, {counted(len(self.classes), 'class')}, "
            f"model {self.identity[:12]}",
            f"{counted(self.fragments, 'fragment')}, {self.bytes / 1e6:.1f} MB",
            f"index: {', '.join(self.index) or 'none'}",
            f"further columns: {further or 'none'}",
            f"confidence: {threshold_words(self.thresholds, self.archive)}",
        ]
        return "\n".join(lines)


def archive_info(archive: str | Path) -> ArchiveInfo:
    """Return what ``archive`` holds.

    Args:
        archive: an archive.

    Raises:
        ArchiveError: it cannot be read.
    """
    held = open_archive(archive)
    fragments, size = size_of(held)
    settings = held.settings
    images, voices = (held.count(f"modality = '{modality}'") for modality in MODALITIES)
    with lance_errors(held.place):
        versions = len(held.table.list_versions())
        index = tuple(sorted(one.name for one in held.table.list_indices()))
    return ArchiveInfo(
        archive=held.place,
        version=held.version,
        versions=versions,
        images=images,
        voices=voices,
        bits=settings.bits,
        method=settings.method,
        identity=settings.identity,
        classes=settings.classes,
        columns={
            field.name: type_name(field.type) for field in held.schema if field.name not in OWN
        },
        fragments=fragments,
        bytes=size,
        index=index,
        latest=_latest(held),
        thresholds=confidence_thresholds(held),
    )


def size_of(archive: Archive) -> tuple[int, int]:
    """Return the number of files of rows of this version, and their size in bytes."""
    with lance_errors(archive.place):
        stats: Any = archive.table.stats()
        return int(stats["fragment_stats"]["num_fragments"]), int(stats["total_bytes"])


def _latest(archive: Archive) -> str | None:
    latest = None
    for batch in archive.batches(["added"]):
        found = pc.max(batch.column("added")).as_py()
        if found is not None and (latest is None or found > latest):
            latest = found
    return latest.isoformat(timespec="seconds") if latest else None
