"""Stage: the windows of a scene of any size into an archive, one row per window with data."""

import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from ivr.config import OptionError
from ivr.features.image_kinds import image_kind
from ivr.features.media import MediaError
from ivr.features.raster_place import RasterPlace
from ivr.features.regular_files import UnreadableFileError, opened_regular
from ivr.features.scene_windows import Scene, WindowGrid, WindowPlace, open_scene
from ivr.pipeline.datasets.manifest_row import name_fault
from ivr.pipeline.extraction.file_stamps import stamp_of_blocks
from ivr.pipeline.runtime.progress import say
from ivr.pipeline.runtime.stop import Stop
from ivr.pipeline.runtime.words import counted

from .add_config import AddConfig
from .add_result import AddResult
from .archive import Archive
from .archive_model import open_code_maker
from .earlier_windows import SceneFile, note_place, remove_earlier
from .empty_windows import SceneReading, known_empty, note_empty, reading_of
from .item_columns import OWN, TIME, code_type
from .item_rows import place_columns
from .known_items import KnownItem, known_items, remove_repeated, with_earlier_columns
from .lance_library import ArchiveError
from .scene_codes import WindowBatch, coded_windows
from .sources import require_prefix

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

    file: SceneFile
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
        return item is not None and item.stamp == self.file.stamp


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
    of an earlier content of the file are removed when all windows of the new one are there; each
    task of a job array removes those that lie where its own windows do.

    Args:
        archive: an opened archive.
        path: a TIFF or JPEG 2000.
        config: how windows are added.
        model: as in :func:`ivr.archive_add`.
        root: folder that the name of the scene is relative to, its own folder if None.

    Raises:
        OptionError: an option does not belong to a scene.
        ArchiveError: the archive or its model cannot be used, or the scene is not below ``root``.
        MediaError: the scene cannot be read.
    """
    _refuse_options_of_files(config)
    base, file = _below_root(path, root)
    require_prefix(config.prefix)
    if fault := name_fault(file):
        raise ArchiveError(f"{base}: {file!r} {fault}")
    maker = open_code_maker(archive, model, config.device)
    if not maker.encodes_images:
        raise ArchiveError(f"{path}: the model of the archive was packed without its image encoder")
    stop, others = Stop(config.time_limit), archive.version - archive.commits
    try:
        with stop.on_signals(), open_scene(path, maker.pixels_config) as opened:
            grid = opened.grid(config.windows.tile, config.windows.overlap)
            reading = reading_of(maker.pixels_config)
            scene = _looked_up(archive, opened, grid, reading, file, base, config)
            unchanged = np.array([scene.is_unchanged(name) for name in scene.names])
            looked_up = unchanged.reshape(scene.empty.shape) | scene.noted
            mine = _share(config, len(grid.rows))
            wanted = ~looked_up & mine[:, None]
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
    left, removed = int(wanted.sum()) - looked_at, 0
    if not left:
        removed = remove_earlier(
            archive, scene.file, moved=config.moved,
            is_mine=lambda y: bool(mine[bisect_right(grid.rows, y) - 1]),
        )  # fmt: skip
    return AddResult(
        archive.place, archive.version, scene.added, scene.replaced, int(unchanged.sum()), (),
        left, int((scene.empty | scene.noted).sum()), removed,
    )  # fmt: skip


def _refuse_options_of_files(config: AddConfig) -> None:
    """Refuse what a scene, which one process of this machine reads, cannot obey."""
    if config.scheduler_address:
        raise OptionError("a scene is read on this machine; leave out --scheduler-address")
    of_files = ("jobs", "batch_size", "trust_mtime", "accept_spellings")
    given = [name for name in of_files if getattr(config, name) != getattr(AddConfig, name)]
    if given:
        option = given[0].replace("_", "-")
        raise OptionError(f"--{option} belongs to a manifest or a folder; leave it out for a scene")


def _below_root(path: Path, root: str | Path | None) -> tuple[Path, str]:
    """Return the root of a scene, its own folder if none is given, and its path below it."""
    base = (path.parent if root is None else Path(root)).absolute()
    if not path.absolute().is_relative_to(base):
        raise ArchiveError(f"{path}: is not below the root {base}")
    return base, path.absolute().relative_to(base).as_posix()


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
    one = SceneFile(config.prefix + file, file, root, stamp)
    if config.moved and (moved := note_place(archive, one)):
        say(f"{counted(moved, 'window')} found below {root} from now on")
    whole = SceneReading(stamp, grid, reading)
    noted = known_empty(archive.place, whole)
    found = np.zeros(whole.shape, bool)
    return _Scene(one, opened.place, names, known, whole, found, noted)


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
        replacements = with_earlier_columns(archive, _rows(bits, scene, others))
        scene.replaced += archive.write(replacements)
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
            "file": pa.array([scene.file.file] * many, pa.string()),
            "root": pa.array([str(scene.file.root)] * many, pa.string()),
            "stamp": pa.array([scene.file.stamp] * many, pa.uint64()),
            "added": pa.array([datetime.now(UTC)] * many, TIME),
            **place_columns(places),
            **corners,
        }
    )
