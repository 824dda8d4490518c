"""Feature files of earlier versions, whose stamps were digests of the size and three samples.

Such files stay open. The next ``ivr extract`` compares the old stamp of each row with its file once
more. Where they agree, the row gets the stamp of the whole content; where the file is another one,
the row is made anew; where there is no file, the row is kept until the file comes back.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.regular_files import UnreadableFileError, opened_regular
from ivr.features.store import Table
from ivr.features.waveform_augmentation import file_of
from ivr.pipeline.datasets.manifest import ManifestError, resolve

from .file_stamps import STAMPS, FileStamps

NO_STAMP = 0
"""Stamp of a row whose file could not be compared; no file has it."""
_SAMPLED = 4096  # bytes


@dataclass(frozen=True)
class Restamped(Table):
    """A table with other stamps than those in its file.

    Attributes:
        stamps: the stamps, [rows], uint64.
        source: the table as it is in its file.
    """

    stamps: np.ndarray
    source: Table

    def map(self, name: str) -> np.ndarray:
        """Return column ``name``."""
        return self.stamps if name == "stamps" else super().map(name)

    def read(self, name: str) -> np.ndarray:
        """Return column ``name`` in memory."""
        return self.stamps if name == "stamps" else super().read(name)

    def verify(self) -> None:
        """Compare the content of the file with its digest.

        Raises:
            StoreError: the content does not match the digest.
        """
        self.source.verify()


def has_earlier_stamps(table: Table) -> bool:
    """Return whether an earlier version made the stamps of ``table``."""
    return bool(table.config.get("made_with", {}).get("stamps") != STAMPS)


def restamped(table: Table, files: FileStamps) -> Table:
    """Return ``table`` with stamps of the whole content of its files.

    Args:
        table: feature file or shard of an earlier version.
        files: stamps that the files have now.
    """
    names = table.text("names")
    now = files.now(map(file_of, names))
    sampled = {file: _sampled_stamp(files.root, file) for file in set(map(file_of, names))}
    stamps = [
        _stamp(old, now[file_of(name)], sampled[file_of(name)])
        for name, old in zip(names, table.read("stamps").tolist(), strict=True)
    ]
    parts = vars(table) | {"config": _marked(table.config)}
    return Restamped(**parts, stamps=np.array(stamps, np.uint64), source=table)


def _stamp(old: int, now: int | None, sampled: int | None) -> int:
    return now if sampled == old and now is not None and now >= 0 else NO_STAMP


def _marked(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config, "made_with": {**config.get("made_with", {}), "stamps": STAMPS}}


def _sampled_stamp(root: Path, file: str) -> int | None:
    """Return the stamp of an earlier version of ``file`` below ``root``, None if it has none."""
    try:
        with opened_regular(resolve(root, file)) as opened:
            size = os.fstat(opened.fileno()).st_size
            digest = hashlib.blake2b(str(size).encode(), digest_size=8)
            for place in (0, size // 2, max(0, size - _SAMPLED)):
                opened.seek(place)
                digest.update(opened.read(_SAMPLED))
    except (UnreadableFileError, ManifestError):
        return None
    return int.from_bytes(digest.digest(), "big")
