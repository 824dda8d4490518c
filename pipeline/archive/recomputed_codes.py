"""Codes of a sample of an archive, computed again from its files and scenes."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ivr.features.media import MediaError
from ivr.features.scene_windows import open_scene
from ivr.pipeline.extraction.file_stamps import stamp_of_blocks
from ivr.pipeline.extraction.worker_tasks import SkippedFile
from ivr.pipeline.packing.code_maker import CodeMaker
from ivr.pipeline.runtime.progress import progress

from .add_config import AddConfig
from .archive import Archive
from .coded_files import coded_files
from .scene_codes import BATCH
from .sources import SourceItems

ROUNDING = 1
"""Largest number of bits of a code that may differ: sums in another order turn a sign near 0."""
OTHER_CONTENT = "has another content than when it was added"
_COLUMNS = [
    *("name", "root", "file", "stamp"),
    *("window_x", "window_y", "window_width", "window_height"),
]
Rows = list[tuple[dict[str, Any], np.ndarray]]
"""Rows of an archive with their codes."""


@dataclass
class Recomputed:
    """What came out when codes were computed again.

    Attributes:
        codes: number of codes that were computed again.
        rounded: number of these that differ by rounding only.
        faults: what is wrong, one line each.
    """

    codes: int = 0
    rounded: int = 0
    faults: list[str] = field(default_factory=list)

    def note(self, name: str, code: np.ndarray, held: np.ndarray) -> None:
        """Compare a code, packed [bits / 8], with the one that the archive has."""
        self.codes += 1
        bits = int(np.bitwise_count(code ^ held).sum())
        self.rounded += 0 < bits <= ROUNDING
        if bits > ROUNDING:
            self.faults.append(f"{name}: {bits} bits of its code are not its model's")


def recompute(
    archive: Archive,
    modality: str,
    maker: CodeMaker,
    sample: int,
    rng: np.random.Generator,
    found: Recomputed,
) -> None:
    """Compute codes of files and of windows of scenes again, and note in ``found`` what differs.

    Args:
        archive: an archive.
        modality: ``image`` or ``voice``.
        maker: its model.
        sample: largest number of codes.
        rng: chooses the rows.
        found: the outcome so far.

    Raises:
        ReadersError, RasterReaderError: see their modules.
    """
    codes, row_ids = archive.codes(modality)
    chosen = np.sort(rng.choice(len(codes), min(sample, len(codes)), replace=False))
    if not len(chosen):
        return
    rows = archive.rows(row_ids[chosen], _COLUMNS).to_pylist()
    files: dict[str, Rows] = defaultdict(list)
    scenes: dict[Path, Rows] = defaultdict(list)
    for row, code in zip(rows, codes[chosen], strict=True):
        if row["window_x"] is None:
            files[row["root"]].append((row, code))
        else:
            scenes[Path(row["root"]) / row["file"]].append((row, code))
    for root in sorted(files):
        _compare_files(modality, root, files[root], maker, found)
    for path in sorted(scenes):
        try:
            _compare_windows(path, scenes[path], maker, found)
        except MediaError as error:
            found.faults.append(f"{path}: {error}")


def _compare_files(
    modality: str, root: str, rows: Rows, maker: CodeMaker, found: Recomputed
) -> None:
    files, names = (tuple(row[column] for row, _ in rows) for column in ("file", "name"))
    items = SourceItems(modality, Path(root), files, names, pa.table({}))
    made = progress(coded_files(items, maker, AddConfig()), len(rows), "codes")
    for coded, (row, held) in zip(made, rows, strict=True):
        if isinstance(coded, SkippedFile):
            found.faults.append(f"{coded.name}: {coded.reason}")
        elif coded.row.stamp != row["stamp"]:
            found.faults.append(f"{row['name']}: {OTHER_CONTENT}")
        else:
            found.note(row["name"], coded.code, held)


def _compare_windows(path: Path, rows: Rows, maker: CodeMaker, found: Recomputed) -> None:
    """Compare the codes of windows of one scene, which is opened once.

    Raises:
        MediaError: the scene cannot be read.
    """
    with open_scene(path, maker.pixels_config) as scene:
        stamp = stamp_of_blocks(scene.content())
        same = [(row, held) for row, held in rows if row["stamp"] == stamp]
        found.faults += [f"{row['name']}: {OTHER_CONTENT}" for row, _ in rows if
                         row["stamp"] != stamp]  # fmt: skip

        def pixels() -> Iterator[np.ndarray]:
            for row, _ in progress(same, len(same), "windows"):
                place = (row[f"window_{side}"] for side in ("x", "y", "width", "height"))
                yield maker.input.fitted(scene.part(*place))

        made = pixels()
        for start in range(0, len(same), BATCH):
            part = same[start : start + BATCH]
            codes = maker.codes_of_pixels(np.stack([next(made) for _ in part]))
            for code, (row, held) in zip(codes, part, strict=True):
                found.note(row["name"], code, held)
