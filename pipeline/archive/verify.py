"""Stage: whether the rows of an archive are consistent, their codes right and their files there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivr.pipeline.extraction.file_stamps import FileStamps
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .archive import Archive, open_archive
from .archive_model import open_code_maker
from .item_columns import MODALITIES
from .recomputed_codes import OTHER_CONTENT, Recomputed, recompute

SAMPLE = 100
"""Number of items of each modality whose codes are computed again."""
SHOWN = 20


@dataclass(frozen=True, repr=False)
class ArchiveVerifyResult(Result):
    """What is wrong with an archive.

    Attributes:
        archive: the archive.
        rows: number of rows that were checked.
        recomputed: number of codes that were computed again.
        rounded: number of these that differ by rounding only.
        files: number of files that were compared with their stamps.
        faults: what is wrong, one line each.
    """

    archive: str
    rows: int
    recomputed: int
    rounded: int
    files: int
    faults: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def __repr__(self) -> str:
        """Return the faults and a summary, one line each."""
        shown = [visible(fault) for fault in self.faults[:SHOWN]]
        if len(self.faults) > SHOWN:
            shown.append(f"and {len(self.faults) - SHOWN} more")
        summary = (
            f"{self.archive}: {counted(self.rows, 'row')}, "
            f"{counted(self.recomputed, 'code')} computed again ({self.rounded} differ by "
            f"rounding), {counted(self.files, 'file')} compared: "
            f"{counted(len(self.faults), 'fault')}"
        )
        return "\n".join([*shown, summary])


def archive_verify(
    archive: str | Path,
    *,
    sample: int = SAMPLE,
    files: bool = False,
    model: str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
) -> ArchiveVerifyResult:
    """Check that rows have one name each, that codes are those of their files, and the files.

    Args:
        archive: an archive.
        sample: number of items of each modality whose codes are computed again from their files, a
            window of a scene being an item; 0 opens no model.
        files: compare every file with its stamp: is it still there, with the same content?
        model: a packed model or a run, by default the one that the archive was created with.
        device: device that computes the codes: auto, cpu, cuda or cuda:N.
        seed: seed for choosing the sample.

    Returns:
        The faults, and how much was checked.

    Raises:
        ArchiveError: the archive cannot be read, or its model is not there.
    """
    held = open_archive(archive)
    faults = list(_repeated(held))
    compared = 0
    if files:
        compared, wrong = _files(held)
        faults += wrong
    again = Recomputed()
    if sample:
        rng = np.random.default_rng(seed)
        maker = open_code_maker(held, model, device)
        for modality in MODALITIES:
            recompute(held, modality, maker, sample, rng, again)
    return ArchiveVerifyResult(
        held.place, held.count(), again.codes, again.rounded, compared, (*faults, *again.faults)
    )


def _repeated(archive: Archive) -> Iterator[str]:
    for modality in MODALITIES:
        batches = list(archive.batches(["name"], f"modality = '{modality}'"))
        if batches:
            counts = pa.Table.from_batches(batches)["name"].value_counts()
            for one in counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist():
                yield (
                    f"{modality} {one['values']}: {one['counts']} rows; "
                    "ivr archive compact removes all but the last"
                )


def _files(archive: Archive) -> tuple[int, list[str]]:
    """Return the number of files that were compared, and what is wrong with them."""
    rows: dict[str, dict[str, int]] = {}
    others: set[tuple[str, str, int]] = set()
    for batch in archive.batches(["root", "file", "stamp"]):
        for row in batch.to_pylist():
            root, file, stamp = row["root"], row["file"], row["stamp"]
            if rows.setdefault(root, {}).setdefault(file, stamp) != stamp:
                others.add((root, file, stamp))
    faults = []
    for root, stamps in rows.items():
        now = FileStamps(Path(root)).now(stamps)
        for file, stamp in stamps.items():
            if now[file] is None:
                faults.append(f"{file}: cannot be read below {root}")
            elif now[file] != stamp:
                faults.append(f"{file}: {OTHER_CONTENT}")
        faults += [
            f"{file}: {OTHER_CONTENT}; it was added more than once, under several prefixes or in "
            "tasks of which some are missing"
            for one, file, stamp in sorted(others)
            if one == root and now[file] not in (None, stamp) and now[file] == stamps[file]
        ]
    return sum(map(len, rows.values())), faults
