"""Stage: fewer files for the same rows, and old versions dropped."""

import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .archive import open_archive
from .info import size_of
from .known_items import remove_repeated
from .lance_library import ArchiveError, lance_errors, open_items, retried
from .wider_columns import finish_widening

DAYS = 7.0
"""Age of the versions that a compaction drops, by default."""


@dataclass(frozen=True, repr=False)
class CompactResult(Result):
    """Outcome of a compaction.

    Attributes:
        archive: the archive.
        version: its version afterwards.
        fragments_before: number of files of rows before.
        fragments: number of files of rows afterwards.
        repeated: number of rows that were removed since a later row has the same name.
    """

    archive: str
    version: int
    fragments_before: int
    fragments: int
    repeated: int

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        repeated = f", {counted(self.repeated, 'repeated row')} removed" if self.repeated else ""
        return (
            f"{self.archive}: version {self.version}, {counted(self.fragments_before, 'fragment')} "
            f"merged into {self.fragments}{repeated}"
        )


def archive_compact(archive: str | Path, *, days: float = DAYS) -> CompactResult:
    """Merge the small files of many additions, and drop versions older than ``days``.

    Row ids and the order of ties stay. A reader that holds a version which is dropped has to
    refresh; writers are not disturbed, and this call is repeated where one commits meanwhile.

    Args:
        archive: an archive.
        days: age of the versions that are dropped, in days; those of writers that are still writing
            are younger than that.

    Raises:
        ArchiveError: a negative age, or the archive cannot be written.
    """
    if not days >= 0:
        raise ArchiveError(f"days must be 0 or more, got {days}")
    held = open_archive(archive)
    repeated = remove_repeated(held)
    before, _ = size_of(held)
    latest = open_items(held.place)

    def commit() -> None:
        latest.checkout_latest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an age of 0, which the user chose
            latest.optimize(cleanup_older_than=timedelta(days=days))

    with lance_errors(held.place):
        finish_widening(latest)
        retried(commit)
    held.refresh()
    after, _ = size_of(held)
    return CompactResult(held.place, held.version, before, after, repeated)
