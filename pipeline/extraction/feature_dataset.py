"""The output of ``ivr extract`` as later stages see it: the manifest's items with vectors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.store import StoreError, Table, open_table, rows_digest
from ivr.features.waveform_augmentation import change_of, changed_name, changes_of
from ivr.pipeline.datasets.manifest import Item, Manifest, read_manifest

from .feature_schema import IMAGES, VOICES, checked
from .job_array import FOLDER

STREAMS = ("mfcc", "delta", "delta-delta")


@dataclass(frozen=True)
class FeatureDataset:
    """A folder of features, opened; vectors are read when asked for.

    Attributes:
        folder: where it lies.
        manifest: what was extracted.
        images: table of image vectors, None where there are no images.
        voices: table of voice vectors, None where there are no voices.
        image_rows: row of each image by name.
        voice_rows: row of each voice by name, of those as recorded and as changed.
    """

    folder: Path
    manifest: Manifest
    images: Table | None
    voices: Table | None
    image_rows: Mapping[str, int]
    voice_rows: Mapping[str, int]

    def image_items(self) -> list[Item]:
        """Return the images of the manifest that have a vector."""
        return [item for item in self.manifest.images() if item.name in self.image_rows]

    def voice_items(self, change: str = "") -> list[Item]:
        """Return the voices of the manifest that have a vector after ``change``, as recorded."""
        return [
            item
            for item in self.manifest.voices()
            if changed_name(item.name, change) in self.voice_rows
        ]

    def changes(self) -> tuple[str, ...]:
        """Return the changes that voices of the manifest have rows of, sorted."""
        return tuple(change for change in self.held_changes() if self.voice_items(change))

    def image_vectors(self, names: Sequence[str]) -> np.ndarray:
        """Return the vectors [n, image_dim] of the images ``names``, float32."""
        if self.images is None:
            raise StoreError(f"{self.folder}: has no images.h5")
        rows = np.array([self.image_rows[name] for name in names], np.int64)
        return self.images.map("vectors")[rows].astype(np.float32, copy=False)

    def voice_vectors(
        self, names: Sequence[str], streams: Sequence[str], change: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return MFCC streams [m, streams, coefficients, frames] and true frames [m] of ``names``.

        They are of the voices as recorded, or after ``change``. The vectors keep the type that they
        are stored in (float32 or float16).
        """
        rows_of = [changed_name(name, change) for name in names]
        stored, rows, frames = self.mapped_voices(rows_of, streams)
        return stored[rows], frames

    def mapped_voices(
        self, names: Sequence[str], streams: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all voices as they are stored, the rows of ``names`` among them, and their frames.

        Returns:
            [n, streams, coefficients, frames], mapped from the file: what is not asked for is not
            read, unless the streams stand in another order than in the file; [m]; and [m].
        """
        if self.voices is None:
            raise StoreError(f"{self.folder}: has no voices.h5")
        rows = np.array([self.voice_rows[name] for name in names], np.int64)
        stored = self.voices.map("vectors").reshape(-1, *self.voice_settings()["shape"])
        chosen = stream_rows(streams)
        steps = np.diff(chosen)
        if len(chosen) == 1 or (steps[0] > 0 and (steps == steps[0]).all()):
            step = int(steps[0]) if len(chosen) > 1 else 1
            streams_of = stored[:, chosen[0] : chosen[-1] + 1 : step]
        else:
            streams_of = stored[:, chosen]
        return streams_of, rows, self.voices.read("frames")[rows].astype(np.int64)

    def held_changes(self) -> tuple[str, ...]:
        """Return the changes that there are rows of, sorted."""
        return tuple(sorted(changes_of(self.voice_rows)))

    def digests(self, changes: Collection[str] | None = None) -> dict[str, str]:
        """Return the sha256 of each table: which features these are.

        Args:
            changes: leave rows of other changes out of account, so that features to which some were
                added are still the same (the first time, that reads all others); None takes all.
        """
        found = {}
        if self.images is not None:
            found["images"] = self.images.sha256
        if self.voices is not None:
            found["voices"] = (
                self.voices.sha256
                if changes is None or set(self.held_changes()) <= set(changes)
                else _digest_with(self.voices.path, self.voices.identity, frozenset(changes))
            )
        return found

    def image_settings(self) -> Mapping[str, Any]:
        """Return what decided the image vectors, empty without images."""
        return self.images.config["settings"] if self.images else {}

    def voice_settings(self) -> Mapping[str, Any]:
        """Return what decided the voice vectors, empty without voices."""
        return self.voices.config["settings"] if self.voices else {}


def stream_rows(streams: Sequence[str]) -> list[int]:
    """Return the places of ``streams`` in :data:`STREAMS`.

    Raises:
        StoreError: no such stream.
    """
    unknown = [stream for stream in streams if stream not in STREAMS]
    if unknown:
        raise StoreError(f"no voice stream {unknown[0]!r}; there are {', '.join(STREAMS)}")
    return [STREAMS.index(stream) for stream in streams]


def open_features(folder: Path) -> FeatureDataset:
    """Return the features in ``folder``.

    Raises:
        StoreError: not a folder that ``ivr extract`` finished.
        ManifestError: its manifest cannot be used.
    """
    if not (folder / "manifest.csv").is_file():
        how = "ivr merge" if (folder / FOLDER).is_dir() else "ivr extract --out"
        raise StoreError(f"{folder}: no features here; make them with {how} {folder}")
    manifest = read_manifest(folder / "manifest.csv")
    images = _table(folder / "images.h5", IMAGES, wanted=bool(manifest.images()))
    voices = _table(folder / "voices.h5", VOICES, wanted=bool(manifest.voices()))
    return FeatureDataset(folder, manifest, images, voices, _rows(images), _rows(voices))


def _table(path: Path, kind: str, *, wanted: bool) -> Table | None:
    if not wanted:
        return None
    if not path.is_file() or path.with_suffix(".shards").is_dir():
        raise StoreError(f"{path}: not finished; call the same ivr extract again to finish it")
    return checked(open_table(path, kind))


@lru_cache(maxsize=8)
def _digest_with(path: Path, _: tuple[int, ...], changes: frozenset[str]) -> str:
    """Return the sha256 of the table of voices ``path`` without rows of other ``changes``.

    The identity of the file is there to be remembered by.
    """
    table = open_table(path, VOICES)
    return rows_digest(
        table, [name for name in table.text("names") if change_of(name) in changes | {""}]
    )


def _rows(table: Table | None) -> dict[str, int]:
    if table is None:
        return {}
    return {name: row for row, name in enumerate(table.text("names"))}
