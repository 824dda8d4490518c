"""Rows of an archive, made up."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.create import make_table
from ivr.pipeline.archive.settings import FORMAT, ArchiveSettings

SETTINGS = ArchiveSettings(FORMAT, 16, "made up", "csq", ("forest", "pond"))


def empty_archive(place: str | Path) -> Archive:
    """An archive of 16-bit codes without rows."""
    make_table(str(place), SETTINGS)
    return open_archive(place)


def item_rows(
    names: Sequence[str], codes: Sequence[Sequence[int]], modality: str = "image", **more: Any
) -> pa.Table:
    """Rows of ``names`` with packed codes of two bytes each."""
    many = len(names)
    flat = pa.array(np.array(codes, np.uint8).reshape(-1))
    return pa.table(
        {
            "name": pa.array(names, pa.string()),
            "modality": [modality] * many,
            "code": pa.FixedSizeListArray.from_arrays(flat, 2),
            "file": pa.array(names, pa.string()),
            "root": ["/nowhere"] * many,
            "stamp": pa.array([0] * many, pa.uint64()),
            "added": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * many, pa.timestamp("us", "UTC")),
            **more,
        }
    )
