"""Exports that are several files in one folder: written aside, then put in place together."""

from collections.abc import Callable
from pathlib import Path

from ivr.features.atomic_files import TEXT, require_replaceable
from ivr.pipeline.datasets.parquet_table import PARQUET
from ivr.pipeline.runtime.lock import LOCK, only_writer
from ivr.pipeline.runtime.placed_together import COMPLETE, MOVING, finish, new_aside, place

from .export_files import FAISS, NPY

ASIDE = ".export"
KINDS = {
    "codes.npy": NPY,
    "image.faiss": FAISS,
    "voice.faiss": FAISS,
    "items.parquet": PARQUET,
    "items.csv": TEXT,
}
"""Files of an export to a folder; those of an earlier one are removed by the next."""
_OWN = {LOCK, *(ASIDE + end for end in ("", COMPLETE, MOVING))}


def write_together(folder: Path, write: Callable[[Path], None]) -> None:
    """Write the files of an export in the place of those of an earlier one.

    Whatever ends this, ``folder`` holds the files of one export, or lacks some that the next call
    brings, but never files of two.

    Args:
        folder: where to write; it is made if it is missing.
        write: writes the files into a folder.

    Raises:
        InTheWayError: something else lies in the place of a file.
        BusyError: another process writes there.
    """
    folder.mkdir(exist_ok=True)
    with only_writer(folder):
        finish(folder, ASIDE, _remove)
        for name, kind in KINDS.items():
            require_replaceable(folder / name, kind)
        write(new_aside(folder, ASIDE))
        place(folder, ASIDE, _remove)


def holds_files(folder: Path) -> bool:
    """Return whether ``folder`` holds anything but what a killed export left."""
    return any(path.name not in _OWN for path in folder.iterdir())


def _remove(folder: Path) -> None:
    for name in KINDS:
        (folder / name).unlink(missing_ok=True)
