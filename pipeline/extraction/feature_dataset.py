"""A folder of features as later stages read it: the manifest's items with their vectors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.shards import rows_digest
from ivr.features.store import StoreError, Table, open_table
from ivr.features.voice_streams import STREAMS as STREAMS
from ivr.features.waveform_augmentation import change_of, changed_name, changes_of
from ivr.pipeline.datasets.manifest import Item, Manifest, read_manifest
from ivr.pipeline.runtime.words import counted

from .feature_schema import IMAGES, VOICES, checked, stream_rows
from .job_array import FOLDER


@dataclass(frozen=True, repr=False)
class FeatureDataset:
    """An open folder of features; vectors are read when they are asked for.

    Attributes:
        folder: the folder.
        manifest: the manifest that was extracted.
        images: table of image vectors, None if the manifest has no images.
        voices: table of voice vectors, None if the manifest has no voices.
        image_rows: row of each image by name.
        voice_rows: row of each voice by name, as recorded and as changed.
    """

    folder: Path
    manifest: Manifest
    images: Table | None
    voices: Table | None
    image_rows: Mapping[str, int]
    voice_rows: Mapping[str, int]

    def __repr__(self) -> str:
        """Return the folder, and number and shape of the vectors, in one line."""
        words = []
        if self.images is not None:
            words.append(
                f"{counted(len(self.image_rows), 'image')} [{self.image_settings()['shape'][0]}]"
            )
        if self.voices is not None:
            shape = ", ".join(map(str, self.voice_settings()["shape"]))
            recorded = sum(not change_of(name) for name in self.voice_rows)
            changed = len(self.voice_rows) - recorded
            more = f" and {counted(changed, 'changed voice')}" if changed else ""
            words.append(f"{counted(recorded, 'voice')}{more} [{shape}]")
        return f"{self.folder}: {', '.join(words)}"

    def image_items(self) -> list[Item]:
        """Return the images of the manifest that have a vector."""
        return [item for item in self.manifest.images() if item.name in self.image_rows]

    def voice_items(self, change: str = "") -> list[Item]:
        """Return the voices of the manifest that have a vector, as recorded or after ``change``."""
        return [
            item
            for item in self.manifest.voices()
            if changed_name(item.name, change) in self.voice_rows
        ]

    def changes(self) -> tuple[str, ...]:
        """Return the changes for which voices of the manifest have rows, sorted."""
        return tuple(change for change in self.held_changes() if self.voice_items(change))

    def image_vectors(self, names: Sequence[str]) -> np.ndarray:
        """Return the vectors [n, image_dim] of the images ``names``, float32, in memory.

        Raises:
            StoreError: the folder has no images, or a name has no vector.
        """
        stored, rows = self.mapped_images(names)
        vectors: np.ndarray = stored[rows].astype(np.float32, copy=False)
        return vectors

    def mapped_images(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return all image vectors as they are stored, and the rows of the images ``names``.

        Returns:
            [n, image_dim], float32 or float16, mapped from the file: a row is read when it is
            touched; and [m], int64.
        """
        if self.images is None:
            raise StoreError(f"{self.folder}: has no images.h5")
        rows = self._rows_of(names, self.image_rows, "image")
        return self.images.map("vectors"), rows

    def voice_vectors(
        self, names: Sequence[str], streams: Sequence[str] | None = None, change: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return streams [m, streams, coefficients, frames] and true frames [m] of ``names``.

        All streams that the file has are taken unless some are named. The voices are taken as
        recorded, or after ``change``. The vectors keep their stored type (float32 or float16).
        """
        rows_of = [changed_name(name, change) for name in names]
        stored, rows, frames = self.mapped_voices(rows_of, streams)
        return stored[rows], frames

    def mapped_voices(
        self, names: Sequence[str], streams: Sequence[str] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all voices as they are stored, the rows of ``names``, and their true frames.

        Returns:
            [n, streams, coefficients, frames], mapped from the file: a row is read when it is
            touched, unless the streams are not in the order of the file; [m], int64; and [m],
            int64.
        """
        if self.voices is None:
            raise StoreError(f"{self.folder}: has no voices.h5")
        rows = self._rows_of(names, self.voice_rows, "voice")
        stored = self.voices.map("vectors").reshape(-1, *self.voice_settings()["shape"])
        held = self.voice_streams()
        chosen = stream_rows(held if streams is None else streams, held)
        steps = np.diff(chosen)
        if len(chosen) == 1 or (steps[0] > 0 and (steps == steps[0]).all()):
            step = int(steps[0]) if len(chosen) > 1 else 1
            streams_of = stored[:, chosen[0] : chosen[-1] + 1 : step]
        else:
            streams_of = stored[:, chosen]
        return streams_of, rows, self.voices.read("frames")[rows].astype(np.int64)

    def _rows_of(self, names: Sequence[str], rows: Mapping[str, int], what: str) -> np.ndarray:
        """Return the row [n] of each of ``names``.

        Raises:
            StoreError: a name without a vector.
        """
        lacking = [name for name in names if name not in rows]
        if lacking:
            raise StoreError(
                f"{self.folder}: {len(lacking)} of {len(names)} names have no {what} vector, e.g. "
                f"{lacking[0]}; take names of {what}_items()"
            )
        return np.array([rows[name] for name in names], np.int64)

    def held_changes(self) -> tuple[str, ...]:
        """Return the changes that the file has rows of, sorted."""
        return tuple(sorted(changes_of(self.voice_rows)))

    def digests(self, changes: Collection[str] | None = None) -> dict[str, str]:
        """Return the sha256 of each table, which identifies the features.

        Args:
            changes: take rows of these changes only, so that features stay the same when rows of
                other changes are added to them (the first call then reads all rows that are taken);
                None takes all.
        """
        found = {}
        if self.images is not None:
            found["images"] = self.images.sha256
        if self.voices is not None:
            found["voices"] = _voices_digest(self.voices, self.held_changes(), changes)
        return found

    def image_settings(self) -> Mapping[str, Any]:
        """Return the settings of the image vectors, empty without images."""
        return self.images.config["settings"] if self.images else {}

    def voice_streams(self) -> tuple[str, ...]:
        """Return the names of the streams of the voice vectors."""
        return tuple(self.voice_settings().get("streams", STREAMS))

    def voice_settings(self) -> Mapping[str, Any]:
        """Return the settings of the voice vectors, empty without voices."""
        return self.voices.config["settings"] if self.voices else {}


def voices_digest(voices: Table, changes: Collection[str] | None) -> str:
    """Return the sha256 of the table ``voices``; :meth:`FeatureDataset.digests` says of which."""
    return _voices_digest(voices, changes_of(voices.text("names")), changes)


def _voices_digest(voices: Table, held: Collection[str], changes: Collection[str] | None) -> str:
    if changes is None or set(held) <= set(changes):
        return voices.sha256
    return _digest_with(voices.path, voices.identity, frozenset(changes))


def open_features(folder: str | Path) -> FeatureDataset:
    """Return the features in ``folder``.

    Args:
        folder: folder that ``ivr extract`` wrote.

    Raises:
        StoreError: not a folder that ``ivr extract`` finished.
        ManifestError: its manifest cannot be used.
    """
    folder = Path(folder)
    if not (folder / "manifest.csv").is_file():
        raise StoreError(f"{folder}: {_not_features(folder)}")
    manifest = read_manifest(folder / "manifest.csv")
    images = _table(folder / "images.h5", IMAGES, wanted=bool(manifest.images()))
    voices = _table(folder / "voices.h5", VOICES, wanted=bool(manifest.voices()))
    return FeatureDataset(folder, manifest, images, voices, _rows(images), _rows(voices))


def _not_features(folder: Path) -> str:
    """Return what ``folder`` is instead of a folder of features, and what to do."""
    if (folder / FOLDER).is_dir():
        return f"no features here; make them with ivr merge {folder}"
    made = f"make them with ivr extract MANIFEST --out {folder}"
    if not folder.exists():
        return f"no such folder of features; {made}"
    if (folder / "config.json").is_file():
        return "a run, not a folder of features; its config.json names the features it began with"
    return f"no features here; {made}"


def _table(path: Path, kind: str, *, wanted: bool) -> Table | None:
    if not wanted:
        return None
    if not path.is_file() or path.with_suffix(".shards").is_dir():
        raise StoreError(f"{path}: not finished; call the same ivr extract again to finish it")
    return checked(open_table(path, kind))


@lru_cache(maxsize=8)
def _digest_with(path: Path, _: tuple[int, ...], changes: frozenset[str]) -> str:
    """Return the sha256 of the table of voices ``path`` without rows of other ``changes``.

    The second argument, the identity of the file, is part of the cache key.
    """
    table = open_table(path, VOICES)
    return rows_digest(
        table, [name for name in table.text("names") if change_of(name) in changes | {""}]
    )


def _rows(table: Table | None) -> dict[str, int]:
    if table is None:
        return {}
    return {name: row for row, name in enumerate(table.text("names"))}
