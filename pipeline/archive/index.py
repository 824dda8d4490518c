"""Stage: an inverted index over the codes of an archive, for archives beyond memory.

The codes are divided into lists around centres (IVF, kept by Lance beside the rows, on a disk or an
object store); a query reads the lists around the nearest centres only. Rows that were added since
are compared one by one until a compaction brings them into the index.
"""

from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

from ivr.pipeline.runtime.progress import say
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .archive import INDEX, Archive, open_archive
from .item_columns import MODALITIES
from .lance_library import ArchiveError, index_configs, lance_errors, open_items, retried

LEAST_ROWS = 1000
"""Number of rows below which an index is of no use."""
LARGEST_COUNT = 4096
"""Largest number of lists by default."""
SAMPLE_RATE = 64
"""Number of codes per list that the centres are computed from."""
QUERIES, HITS = 100, 10
CHANGED = 0.05
"""Share of the bits of a code of the archive that are turned to make a query from it."""


@dataclass(frozen=True, repr=False)
class IndexResult(Result):
    """An index, and how many of the exact hits it finds.

    Attributes:
        archive: the archive.
        version: its version afterwards.
        rows: number of rows in the index.
        lists: number of lists that the codes are divided into.
        recall: share of the ten hits of each modality that are as near as the exact ten, mean over
            the queries; None where the archive has no such items.
    """

    archive: str
    version: int
    rows: int
    lists: int
    recall: dict[str, float | None]

    def __repr__(self) -> str:
        """Return the index and its recall in one line."""
        shown = ", ".join(
            f"{modality}s {value:.3f}"
            for modality, value in self.recall.items()
            if value is not None
        )
        return (
            f"{self.archive}: version {self.version}, {counted(self.rows, 'row')} in "
            f"{counted(self.lists, 'list')}; recall@{HITS} against exact search: {shown}"
        )


def archive_index(
    archive: str | Path, *, lists: int = 0, queries: int = QUERIES, seed: int = 0
) -> IndexResult:
    """Make an index over the codes of ``archive``, in place of an earlier one; measure its recall.

    The queries are codes of the archive with a twentieth of their bits turned. A hit counts if it
    is as near as the last of the exact ones: which of several items at equal distance are found
    does not matter. The measurement compares every code, which are read for it.

    Args:
        archive: an archive.
        lists: number of lists, 0 for the square root of the number of rows.
        queries: number of queries per modality.
        seed: seed for drawing the queries.

    Raises:
        ArchiveError: there are fewer than 1000 rows, or the archive cannot be written.
    """
    held = open_archive(archive)
    rows = held.count()
    if rows < LEAST_ROWS:
        raise ArchiveError(
            f"{held.place}: {counted(rows, 'row')}; an index is of use from {LEAST_ROWS} rows on, "
            "and exact search is faster as long as the codes fit into memory"
        )
    number = lists or min(LARGEST_COUNT, isqrt(rows))
    latest = open_items(held.place)
    of_modality, of_codes = index_configs(number, SAMPLE_RATE)

    def commit() -> None:
        latest.checkout_latest()
        latest.create_index("modality", config=of_modality)
        latest.create_index("code", config=of_codes, name=INDEX)

    say(f"{held.place}: dividing {counted(rows, 'code')} into {counted(number, 'list')}")
    with lance_errors(held.place):
        retried(commit)
    held.refresh()
    rng = np.random.default_rng(seed)
    recall = {modality: _recall(held, modality, queries, rng) for modality in MODALITIES}
    return IndexResult(held.place, held.version, rows, number, recall)


def _recall(
    archive: Archive, modality: str, queries: int, rng: np.random.Generator
) -> float | None:
    codes, _ = archive.codes(modality)
    if not len(codes):
        return None
    found = []
    for code in codes[rng.integers(0, len(codes), queries)]:
        turned = np.packbits(rng.random(8 * len(code)) < CHANGED)
        exact, near = (
            archive.search(code ^ turned, modality=modality, count=HITS, index=index).distances
            for index in (False, True)
        )
        found.append((near <= exact[-1]).sum() / len(exact))
    return float(np.mean(found))
