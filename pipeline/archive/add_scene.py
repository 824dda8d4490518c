"""Stage: the windows of a scene of any size into an archive, one row per window with data."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from ivr.features.image_kinds import image_kind
from ivr.features.media import MediaError
from ivr.features.raster_place import RasterPlace
from ivr.features.regular_files import UnreadableFileError, opened_regular
from ivr.features.scene_windows import Scene, WindowGrid, WindowPlace, open_scene
from ivr.pipeline.extraction.file_stamps import stamp_of_blocks
from ivr.pipeline.runtime.stop import Stop

from .add_config import AddConfig
from .add_result import AddResult
from .archive import Archive
from .archive_model import open_code_maker
from .code_batches import ROW_ID
from .empty_windows import SceneReading, known_empty, note_empty, reading_of
from .item_columns import OWN, TIME, code_type
from .item_rows import place_columns
from .known_items import SEVERAL, KnownItem, known_items, remove_repeated
from .lance_library import ArchiveError, one_of, quoted
from .scene_codes import WindowBatch, coded_windows

_WINDOW = ("window_x", "window_y", "window_width", "window_height")


def is_scene(path: Path) -> bool:
    """Return whether ``path`` is a TIFF or JPEG 2000, as its first bytes tell."""
    with suppress(UnreadableFileError), opened_regular(path) as file:
        return image_kind(file.read(16)) in ("TIFF", "JPEG 2000")
    return False


@dataclass
class _Scene:
    """A scene on its way into an archive, and the outcome so far.

    ``empty`` says which windows this call found empty, ``noted`` which the archive knows to be.
    """

    file: str
    root: Path
    stamp: int
    place: RasterPlace
    names: Sequence[str]
    known: dict[str, KnownItem]
    reading: SceneReading
    empty: np.ndarray
    noted: np.ndarray
    added: int = 0
    replaced: int = 0

    def is_unchanged(self, name: str) -> bool:
        item = self.known.get(name)
        return item is not None and item.stamp == self.stamp


def add_scene(
    archive: Archive,
    path: Path,
    config: AddConfig,
    model: str | Path | None,
    root: str | Path | None,
) -> AddResult:
    """Add the windows of a scene that are new or changed; see :func:`ivr.archive_add`.

    The name of a window is that of its file with ``#X,Y,WIDTH,HEIGHT``, pixels of the scene.
    Windows that an earlier call found without data in the same content are not read again. Rows
    of an earlier content of the file are removed when all windows of the new one are there.

    Args:
        archive: an opened archive.
        path: a TIFF or JPEG 2000.
        config: how windows are added.
        model: as in :func:`ivr.archive_add`.
        root: folder that the name of the scene is relative to, its own folder if None.

    Raises:
        ArchiveError: the archive or its model cannot be used, or the scene is not below ``root``.
        MediaError: the scene cannot be read.
    """
    if config.scheduler_address:
        raise ArchiveError("a scene is read on this machine; leave out --scheduler-address")
    base = (path.parent if root is None else Path(root)).absolute()
    if not path.absolute().is_relative_to(base):
        raise ArchiveError(f"{path}: is not below the root {base}")
    file = path.absolute().relative_to(base).as_posix()
    maker = open_code_maker(archive, model, config.device)
    stop, others = Stop(config.time_limit), archive.version - archive.commits
    try:
        with stop.on_signals(), open_scene(path, maker.pixels_config) as opened:
            grid = opened.grid(config.windows.tile, config.windows.overlap)
            reading = reading_of(maker.pixels_config)
            scene = _looked_up(archive, opened, grid, reading, file, base, config)
            unchanged = np.array([scene.is_unchanged(name) for name in scene.names])
            looked_up = unchanged.reshape(scene.empty.shape) | scene.noted
            wanted = ~looked_up & _share(config, len(grid.rows))[:, None]
            pending: list[WindowBatch] = []
            try:
                began = time.monotonic()
                for batch in coded_windows(opened, grid, maker, wanted):
                    pending.append(batch)
                    rows = sum(len(one.coded) for one in pending)
                    if rows >= config.block_rows or time.monotonic() - began > config.block_seconds:
                        _write(archive, scene, pending)
                        pending, began = [], time.monotonic()
                    if stop:
                        stop.acted_on = True
                        break
            finally:
                _write(archive, scene, pending)
                note_empty(archive.place, scene.reading, scene.empty)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    if archive.version - archive.commits != others:
        # Another writer committed meanwhile, perhaps the same windows.
        remove_repeated(archive, {"image": scene.names})
    looked_at = scene.added + scene.replaced + int(scene.empty.sum())
    left = int(wanted.sum()) - looked_at
    if not left and config.shard is None:
        _remove_earlier(archive, scene)
    return AddResult(
        archive.place, archive.version, scene.added, scene.replaced, int(unchanged.sum()), (),
        left, int((scene.empty | scene.noted).sum()),
    )  # fmt: skip


def _looked_up(
    archive: Archive,
    opened: Scene,
    grid: WindowGrid,
    reading: str,
    file: str,
    root: Path,
    config: AddConfig,
) -> _Scene:
    """Return the scene with the windows that the archive has already, or knows to be empty."""
    width, height = grid.size
    names = [
        f"{config.prefix}{file}#{x},{y},{width},{height}" for y in grid.rows for x in grid.columns
    ]
    stamp = stamp_of_blocks(opened.content())
    known = known_items(archive, "image", names)
    for name, item in known.items():
        if item.stamp != stamp and item.root != str(root) and not config.moved:
            raise ArchiveError(
                f"{name} is in {archive.place} from {item.root}, with another content; give "
                "--prefix to keep both, or --moved if this file replaces that"
            )
    whole = SceneReading(stamp, grid, reading)
    noted = known_empty(archive.place, whole)
    found = np.zeros(whole.shape, bool)
    return _Scene(file, root, stamp, opened.place, names, known, whole, found, noted)


def _share(config: AddConfig, rows: int) -> np.ndarray:
    """Return which rows of windows belong to this task of a job array, all without one."""
    if config.shard is None:
        return np.ones(rows, bool)
    mine = np.zeros(rows, bool)
    mine[list(config.shard.select(range(rows)))] = True
    return mine


def _write(archive: Archive, scene: _Scene, batches: Sequence[WindowBatch]) -> None:
    """Write the rows of ``batches``, new ones beside the others."""
    coded = [
        (scene.names[place], window, code)
        for batch in batches
        for place, window, code in zip(batch.coded, batch.windows, batch.codes, strict=True)
    ]
    new = [one for one in coded if one[0] not in scene.known]
    others = [one for one in coded if one[0] in scene.known]
    bits = archive.settings.bits
    if new:
        scene.added += archive.append(_rows(bits, scene, new))
    if others:
        scene.replaced += archive.write(_rows(bits, scene, others))
    for batch in batches:
        scene.empty.reshape(-1)[batch.empty] = True


def _rows(
    bits: int, scene: _Scene, coded: Sequence[tuple[str, WindowPlace, np.ndarray]]
) -> pa.Table:
    many, windows = len(coded), [window for _, window, _ in coded]
    codes = np.stack([code for _, _, code in coded]).reshape(-1)
    places = [scene.place.part(one.x, one.y, one.width, one.height, one.degrees) for one in windows]
    corners = {
        name: pa.array([getattr(one, name.removeprefix("window_")) for one in windows], OWN[name])
        for name in _WINDOW
    }
    return pa.table(
        {
            "name": pa.array([name for name, _, _ in coded], pa.string()),
            "modality": pa.array(["image"] * many, pa.string()),
            "code": pa.FixedSizeListArray.from_arrays(pa.array(codes), type=code_type(bits)),
            "file": pa.array([scene.file] * many, pa.string()),
            "root": pa.array([str(scene.root)] * many, pa.string()),
            "stamp": pa.array([scene.stamp] * many, pa.uint64()),
            "added": pa.array([datetime.now(UTC)] * many, TIME),
            **place_columns(places),
            **corners,
        }
    )


def _remove_earlier(archive: Archive, scene: _Scene) -> None:
    """Remove the rows of windows of an earlier content of the file."""
    condition = (
        f"file = {quoted(scene.file)} AND root = {quoted(str(scene.root))} AND window_x IS NOT NULL"
    )
    earlier = [
        row[ROW_ID]
        for batch in archive.batches(["stamp"], condition, with_row_id=True)
        for row in batch.to_pylist()
        if row["stamp"] != scene.stamp
    ]
    for start in range(0, len(earlier), SEVERAL):
        archive.remove(one_of(ROW_ID, earlier[start : start + SEVERAL]))
