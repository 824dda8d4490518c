"""The outcome of an addition to an archive."""

from dataclasses import dataclass

from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted


@dataclass(frozen=True, repr=False)
class AddResult(Result):
    """Outcome of an addition.

    Attributes:
        archive: the archive.
        version: its version afterwards.
        added: number of new rows.
        replaced: number of rows whose files have another content now.
        unchanged: number of items that the archive had already, and that say the same.
        skipped: names of files that could not be used.
        left: number of items that were not looked at, since the call was stopped.
        empty: number of windows of a scene that hold no data.
        removed: number of rows of an earlier content of a scene that were removed.
        updated: number of rows of unchanged files of which the manifest says something else now.
    """

    archive: str
    version: int
    added: int
    replaced: int
    unchanged: int
    skipped: tuple[str, ...]
    left: int
    empty: int = 0
    removed: int = 0
    updated: int = 0

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        parts = [
            f"{self.archive}: version {self.version}",
            f"{counted(self.added, 'row')} added",
            f"{self.replaced} replaced",
        ]
        if self.updated:
            parts.append(f"{self.updated} updated")
        parts.append(f"{self.unchanged} unchanged")
        if self.skipped:
            parts.append(f"{counted(len(self.skipped), 'file')} skipped")
        if self.empty:
            parts.append(f"{counted(self.empty, 'window')} without data")
        if self.removed:
            parts.append(f"{counted(self.removed, 'row')} of earlier content removed")
        if self.left:
            parts.append(f"{self.left} left")
        return ", ".join(parts)

    @property
    def finished(self) -> bool:
        """Whether no item is left to look at."""
        return not self.left
