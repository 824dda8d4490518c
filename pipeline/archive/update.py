"""Stage: what a manifest says of the items of an archive, brought up to date without encoding."""

from dataclasses import dataclass
from pathlib import Path

from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .archive import open_archive
from .changed_columns import update_columns
from .known_items import known_items
from .sources import Roots, read_source


@dataclass(frozen=True, repr=False)
class UpdateResult(Result):
    """Outcome of an update.

    Attributes:
        archive: the archive.
        version: its version afterwards.
        updated: number of rows whose columns changed.
        unchanged: number of rows that said the same already.
        missing: number of items of the manifest that the archive does not have.
    """

    archive: str
    version: int
    updated: int
    unchanged: int
    missing: int

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        return (
            f"{self.archive}: version {self.version}, {counted(self.updated, 'row')} updated, "
            f"{self.unchanged} unchanged, {self.missing} not in the archive"
        )


def archive_update(
    archive: str | Path,
    manifest: str | Path,
    *,
    prefix: str = "",
    accept_spellings: bool = False,
) -> UpdateResult:
    """Bring label, caption, speaker and further columns of items up to date; encode nothing.

    Columns that the manifest lacks stay as they are. Items that the archive does not have are
    counted, not added. A window of a scene is an image named ``scene.tif#X,Y,WIDTH,HEIGHT``.

    Args:
        archive: an archive.
        manifest: a manifest.
        prefix: text before each name, as the items were added with.
        accept_spellings: merge several spellings of one label, speaker or group.

    Raises:
        ManifestError: a manifest that cannot be used.
        ArchiveError: a column of another type, or the archive cannot be written.
    """
    held = open_archive(archive)
    sources = read_source(
        Path(manifest), held.schema, Roots(), prefix=prefix, accept_spellings=accept_spellings
    )
    updated = unchanged = missing = 0
    for items in sources:
        known = known_items(held, items.modality, items.names)
        there = [place for place, name in enumerate(items.names) if name in known]
        missing += len(items.names) - len(there)
        part = items.part(there)
        changed = update_columns(held, part, [known[name].row_id for name in part.names])
        updated, unchanged = updated + changed, unchanged + len(there) - changed
    return UpdateResult(held.place, held.version, updated, unchanged, missing)
