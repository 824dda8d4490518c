"""Stage: rows out of an archive, by name, by a list or by a condition."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ivr.config import OptionError
from ivr.features.regular_files import UnreadableFileError, read_regular
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .archive import Archive, open_archive
from .item_columns import MODALITIES
from .known_items import SEVERAL
from .lance_library import ArchiveError, one_of
from .sources import WINDOW

MOST_LIST_BYTES = 1 << 30
SHOWN = 20
"""Names that are not there and that are printed."""


@dataclass(frozen=True, repr=False)
class RemoveResult(Result):
    """Outcome of a removal.

    Attributes:
        archive: the archive.
        version: its version afterwards.
        removed: number of rows that were removed.
        missing: names that the archive does not have.
    """

    archive: str
    version: int
    removed: int
    missing: tuple[str, ...]

    def __repr__(self) -> str:
        """Return the outcome in one line, after the first names that are not there."""
        lines = [f"not in the archive: {visible(name)}" for name in self.missing[:SHOWN]]
        if len(self.missing) > SHOWN:
            lines.append(f"and {len(self.missing) - SHOWN} more")
        lacking = f", {counted(len(self.missing), 'name')} not there" if self.missing else ""
        removed = counted(self.removed, "row")
        lines.append(f"{self.archive}: version {self.version}, {removed} removed{lacking}")
        return "\n".join(lines)


def archive_remove(
    archive: str | Path,
    names: Sequence[str] = (),
    *,
    listed: str | Path | None = None,
    where: str | None = None,
    modality: str | None = None,
) -> RemoveResult:
    """Remove items from an archive; their files are not touched.

    A scene is removed with its windows: its name stands for all of them.

    Args:
        archive: an archive.
        names: names of items.
        listed: file with one name per line, beside ``names``.
        where: SQL condition, in place of names.
        modality: ``image`` or ``voice``; both if None.

    Raises:
        OptionError: neither names nor a condition, both, or an empty name.
        ConditionError: the condition cannot be used.
        ArchiveError: the archive cannot be written.
    """
    if (where is None) == (not names and listed is None):
        raise OptionError("remove takes names (or a list of them) or a condition, one of the two")
    if modality not in (None, *MODALITIES):
        raise OptionError(f"modality must be image or voice, got {modality!r}")
    held = open_archive(archive)
    kind = f"modality = '{modality}'" if modality else "true"
    if where is not None:
        removed = held.remove(kind, where)
        return RemoveResult(held.place, held.version, removed, ())
    wanted = list(dict.fromkeys([*names, *_listed(listed)]))
    if "" in wanted:
        raise OptionError("a name to remove is empty; every item has a name")
    row_ids, found = _rows_of(held, wanted, kind)
    removed = sum(
        held.remove(one_of("_rowid", row_ids[start : start + SEVERAL]))
        for start in range(0, len(row_ids), SEVERAL)
    )
    missing = tuple(name for name in wanted if name not in found)
    return RemoveResult(held.place, held.version, removed, missing)


def _listed(path: str | Path | None) -> Iterator[str]:
    """Yield the names in the lines of the file ``path``."""
    if path is None:
        return
    try:
        text = read_regular(Path(path), MOST_LIST_BYTES).decode("utf-8-sig")
    except (UnreadableFileError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path}: not a list of names in UTF-8 ({error})") from error
    yield from (line for line in text.splitlines() if line)


def _rows_of(archive: Archive, names: Sequence[str], kind: str) -> tuple[list[int], set[str]]:
    """Return the rows of the items ``names``, windows of a scene among them, and their names."""
    wanted, rows, found = set(names), list[int](), set[str]()
    for batch in archive.batches(["name"], kind, with_row_id=True):
        held = zip(
            batch.column("name").to_pylist(), batch.column("_rowid").to_pylist(), strict=True
        )
        for name, row_id in held:
            known = name if name in wanted else WINDOW.sub("", name)
            if known in wanted:
                rows.append(row_id)
                found.add(known)
    return rows, found
