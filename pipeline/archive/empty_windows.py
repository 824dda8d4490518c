"""Windows of scenes that hold no data: no row stands for them, so that they are noted beside them.

Each note says of one content of a scene, cut in one way and read in one way, which windows were
found empty. It stays true whatever happens to the rows, so that notes are only ever added.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import READER
from ivr.features.scene_windows import WindowGrid

from .item_columns import TIME
from .lance_library import add_further, lance_errors, open_further

TABLE = "empty_windows"
"""Name of the table beside that of the items; a local archive has ``empty_windows.lance``."""
_SCHEMA = pa.schema(
    [
        ("stamp", pa.uint64()),
        ("tile", pa.int32()),
        ("stride", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("reading", pa.string()),
        ("empty", pa.binary()),
        ("added", TIME),
    ]
)


@dataclass(frozen=True)
class SceneReading:
    """One way to cut and read one content of a scene.

    Attributes:
        stamp: stamp of the content.
        grid: where the windows lie.
        reading: see :func:`reading_of`.
    """

    stamp: int
    grid: WindowGrid
    reading: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return len(self.grid.rows), len(self.grid.columns)


def reading_of(pixels: PixelConfig) -> str:
    """Return which bands become pixels, and the version of the reader, as JSON."""
    return json.dumps([asdict(pixels), READER])


def known_empty(place: str, scene: SceneReading) -> np.ndarray:
    """Return which windows are noted as empty in the archive at ``place``, [rows, columns].

    Raises:
        ArchiveError: the notes cannot be read.
    """
    found = np.zeros(scene.shape, bool)
    table = open_further(place, TABLE)
    if table is None:
        return found
    grid = scene.grid
    # Stamps beyond 2^63 are no numbers of the conditions of Lance.
    condition = f"width = {grid.width} AND height = {grid.height} AND tile = {grid.tile}"
    with lance_errors(place):
        notes = table.search().where(f"{condition} AND stride = {grid.stride}").to_arrow()
    same = pc.and_(
        pc.equal(notes["stamp"], pa.scalar(scene.stamp, pa.uint64())),
        pc.equal(notes["reading"], scene.reading),
    )
    for packed in notes["empty"].filter(same).to_pylist():
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=found.size)
        found |= bits.reshape(found.shape).astype(bool)
    return found


def note_empty(place: str, scene: SceneReading, empty: np.ndarray) -> None:
    """Note the windows that were found empty in the archive at ``place``.

    Args:
        place: an archive.
        scene: which scene, and how it was cut and read.
        empty: whether a window was found empty by this call, [rows, columns].

    Raises:
        ArchiveError: the archive cannot be written.
    """
    if not empty.any():
        return
    grid = scene.grid
    values = (
        scene.stamp, grid.tile, grid.stride, grid.width, grid.height, scene.reading,
        np.packbits(empty).tobytes(), datetime.now(UTC),
    )  # fmt: skip
    arrays = [pa.array([value], field.type) for value, field in zip(values, _SCHEMA, strict=True)]
    add_further(place, TABLE, pa.Table.from_arrays(arrays, schema=_SCHEMA))
