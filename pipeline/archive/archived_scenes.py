"""Codes of the windows of a scene that an archive has already."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .archive import Archive
from .empty_windows import SceneReading, known_empty
from .scene_codes import CODED, EMPTY, UNKNOWN, SceneCodes


def with_archived_codes(
    archive: Archive, stamp: int, reading: str, codes: SceneCodes
) -> SceneCodes:
    """Return ``codes`` with those that ``archive`` has of windows of the same places.

    Args:
        archive: an archive of the same model.
        stamp: digest of the content of the scene.
        reading: see :func:`ivr.pipeline.archive.empty_windows.reading_of`.
        codes: codes so far; theirs count before those of the archive.
    """
    grid, states, made = codes.grid, codes.states.copy(), codes.codes.copy()
    width, height = grid.size
    rows = {y: row for row, y in enumerate(grid.rows)}
    columns = {x: column for column, x in enumerate(grid.columns)}
    condition = f"window_width = {width} AND window_height = {height}"
    wanted_stamp = pa.scalar(stamp, pa.uint64())
    wanted = ["code", "stamp", "window_x", "window_y"]
    for batch in archive.batches(wanted, condition):
        own = batch.filter(pc.equal(batch.column("stamp"), wanted_stamp))
        found = (
            own.column("code").flatten().to_numpy().reshape(len(own), archive.settings.bits // 8)
        )
        places = zip(own.column("window_x").to_pylist(), own.column("window_y").to_pylist(), found,
                     strict=True)  # fmt: skip
        for x, y, code in places:
            if x in columns and y in rows and not states[rows[y], columns[x]]:
                made[rows[y], columns[x]] = np.asarray(code)
                states[rows[y], columns[x]] = CODED
    noted = known_empty(archive.place, SceneReading(stamp, grid, reading))
    states[noted & (states == UNKNOWN)] = EMPTY
    return SceneCodes(grid, states, made)
