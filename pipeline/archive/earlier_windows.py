"""Rows of windows that an archive has of a scene from earlier calls: of any grid and content.

The windows of a scene are those that are named as it is, prefix included: one file that was added
under two prefixes is two scenes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from .archive import Archive
from .code_batches import ROW_ID
from .known_items import SEVERAL
from .lance_library import one_of, quoted
from .sources import WINDOW

_COLUMNS = ["name", "stamp", "root", "file", "window_y"]


@dataclass(frozen=True)
class SceneFile:
    """The file of a scene, and what its windows are called.

    Attributes:
        name: name of the scene in the archive: its file with a prefix.
        file: path below the root.
        root: folder that the file lies below.
        stamp: stamp of its content.
    """

    name: str
    file: str
    root: Path
    stamp: int


def note_place(archive: Archive, scene: SceneFile) -> int:
    """Write to the windows of the same content where the file is now; return their number."""
    rows = _windows(archive, scene, moved=True)
    same = pc.and_(pc.equal(rows["root"], str(scene.root)), pc.equal(rows["file"], scene.file))
    names = rows.filter(pc.and_(_of_content(rows, scene), pc.invert(same)))["name"]
    many = len(names)
    archive.update(
        pa.table(
            {
                "modality": pa.array(["image"] * many, pa.string()),
                "name": names,
                "root": pa.array([str(scene.root)] * many, pa.string()),
                "file": pa.array([scene.file] * many, pa.string()),
            }
        )
    )
    return many


def remove_earlier(
    archive: Archive, scene: SceneFile, *, moved: bool, is_mine: Callable[[int], bool]
) -> int:
    """Remove the windows of other contents of the scene; return their number.

    Args:
        archive: an archive.
        scene: the scene whose windows are all there.
        moved: whether windows of a file in another folder are of this scene too.
        is_mine: tells by the first row of a window, pixels, whether it is looked after here.
    """
    rows = _windows(archive, scene, moved=moved)
    rows = rows.filter(pc.invert(_of_content(rows, scene)))
    ids = rows[ROW_ID].to_pylist()
    mine = [one for one, y in zip(ids, rows["window_y"].to_pylist(), strict=True) if is_mine(y)]
    parts = [mine[start : start + SEVERAL] for start in range(0, len(mine), SEVERAL)]
    return sum(archive.remove(one_of(ROW_ID, part)) for part in parts)


def _windows(archive: Archive, scene: SceneFile, *, moved: bool) -> pa.Table:
    """Return the rows of the windows of the scene, with ``moved`` those of other folders too."""
    condition = "window_x IS NOT NULL"
    if not moved:
        condition += f" AND file = {quoted(scene.file)} AND root = {quoted(str(scene.root))}"
    schema = pa.schema([archive.schema.field(name) for name in _COLUMNS]).append(
        pa.field(ROW_ID, pa.uint64())
    )
    found = []
    for batch in archive.batches(_COLUMNS, condition, with_row_id=True):
        begins = batch.filter(pc.starts_with(batch.column("name"), f"{scene.name}#"))
        own = [WINDOW.sub("", name) == scene.name for name in begins.column("name").to_pylist()]
        found.append(begins.filter(pa.array(own, pa.bool_())).select(schema.names))
    return pa.Table.from_batches([batch.cast(schema) for batch in found], schema)


def _of_content(rows: pa.Table, scene: SceneFile) -> pa.ChunkedArray:
    return pc.equal(rows["stamp"], pa.scalar(scene.stamp, pa.uint64()))
