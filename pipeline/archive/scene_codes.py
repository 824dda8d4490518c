"""Codes of the windows of a scene: made in batches, kept in a file, and taken up again from it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.scene_windows import Scene, WindowGrid, WindowPlace
from ivr.features.store import StoreError, has_columns, open_table, write_table
from ivr.pipeline.packing.code_maker import CodeMaker
from ivr.pipeline.runtime.progress import progress, say

BATCH = 16
"""Windows per call of the image network: more need more memory and are no faster on a CPU."""
GPU_BATCH = 256
"""The same for a run whose network is on a GPU."""
SAVE_SECONDS = 30.0
_MANY = 4096  # windows without data, after which they are reported
_LONG = 2000  # windows whose encoding takes minutes on a processor
UNKNOWN, CODED, EMPTY = 0, 1, 2
"""States of a window: not looked at yet, with a code, without data."""
_KIND = "scene codes"
_COLUMNS = {"states": ("u", 1), "codes": ("u", 2)}


@dataclass(frozen=True)
class SceneCodes:
    """Codes of the windows of one scene.

    Attributes:
        grid: where the windows lie.
        states: uint8 [rows, columns]: :data:`UNKNOWN`, :data:`CODED` or :data:`EMPTY`.
        codes: packed codes, uint8 [rows, columns, bits / 8]; 0 where there is none.
    """

    grid: WindowGrid
    states: np.ndarray
    codes: np.ndarray

    @property
    def coded(self) -> np.ndarray:
        """Whether a window has a code, [rows, columns]."""
        found: np.ndarray = self.states == CODED
        return found


@dataclass
class CodesFile:
    """A file that keeps the codes of one scene, so that the next call need not make them again.

    Attributes:
        path: the file; None keeps nothing.
        settings: everything that decides the codes; a file of other settings is replaced.
    """

    path: Path | None
    settings: dict[str, Any]
    _saved: float = field(default_factory=time.monotonic)

    def read(self, grid: WindowGrid, bits: int) -> SceneCodes:
        """Return the codes in the file, or no code of any window."""
        shape = len(grid.rows), len(grid.columns)
        empty = np.zeros(shape, np.uint8), np.zeros((*shape, bits // 8), np.uint8)
        if self.path is None or not self.path.exists():
            return SceneCodes(grid, *empty)
        table = open_table(self.path, _KIND)
        if not has_columns(table, _COLUMNS) or dict(table.config) != self.settings:
            say(f"{self.path}: codes of another scene, model or grid; they are made anew")
            return SceneCodes(grid, *empty)
        table.verify()
        states, codes = table.read("states"), table.read("codes")
        if states.size != empty[0].size or codes.size != empty[1].size:
            raise StoreError(f"{self.path}: damaged, not one code per window; remove it")
        return SceneCodes(grid, states.reshape(shape), codes.reshape(empty[1].shape))

    def write(self, codes: SceneCodes, *, at_once: bool) -> None:
        """Keep ``codes``; without ``at_once`` only if the last time is some seconds ago."""
        now = time.monotonic()
        if self.path is None or not (at_once or now - self._saved >= SAVE_SECONDS):
            return
        columns = {
            "states": codes.states.reshape(-1),
            "codes": codes.codes.reshape(codes.states.size, -1),
        }
        write_table(self.path, _KIND, self.settings, columns)
        self._saved = time.monotonic()


@dataclass(frozen=True)
class WindowBatch:
    """Windows that were looked at.

    Attributes:
        empty: places of those without data: row times number of columns plus column, [m].
        coded: places of those with data, [n].
        windows: where these lie.
        codes: their packed codes, uint8 [n, bits / 8].
    """

    empty: np.ndarray
    coded: np.ndarray
    windows: Sequence[WindowPlace]
    codes: np.ndarray


def coded_windows(
    scene: Scene, grid: WindowGrid, maker: CodeMaker, wanted: np.ndarray
) -> Iterator[WindowBatch]:
    """Yield the windows that are wanted, row by row, in batches with their codes.

    Args:
        scene: an open scene.
        grid: where the windows lie.
        maker: a model, whose choice of bands and stretch the scene was opened with.
        wanted: booleans [rows, columns]; a row of windows without any is not read.

    Raises:
        MediaError: the scene is damaged, or changed while it was read.
    """
    rows = np.flatnonzero(wanted.any(1)).tolist()
    places = [(row, column) for row in rows for column in range(len(grid.columns))]
    size = _batch(maker)
    empty: list[int] = []
    coded: list[tuple[int, WindowPlace]] = []
    pixels: list[np.ndarray] = []

    def batch() -> WindowBatch:
        found = WindowBatch(
            np.array(empty, np.int64),
            np.array([place for place, _ in coded], np.int64),
            [window for _, window in coded],
            maker.codes_of_pixels(np.stack(pixels)) if pixels else no_codes,
        )
        for several in (empty, coded, pixels):
            several.clear()
        return found

    no_codes = np.empty((0, maker.bits // 8), np.uint8)
    windows = progress(scene.every_window(grid, rows), len(places), "windows")
    for (row, column), window in zip(places, windows, strict=True):
        if not wanted[row, column]:
            continue
        place = row * len(grid.columns) + column
        if window is None:
            empty.append(place)
        else:
            coded.append((place, window.place))
            pixels.append(maker.input.fitted(window.pixels))
        if len(pixels) == size or len(empty) >= _MANY:
            yield batch()
    if empty or coded:
        yield batch()


def _device_of_run(maker: CodeMaker) -> str | None:
    """Return the kind of device that a run computes on; None for a packed model."""
    network = getattr(maker, "network", None)
    return None if network is None else str(network.device.type)


def _batch(maker: CodeMaker) -> int:
    return GPU_BATCH if _device_of_run(maker) == "cuda" else BATCH


def complete_codes(
    scene: Scene, codes: SceneCodes, maker: CodeMaker, file: CodesFile
) -> SceneCodes:
    """Return ``codes`` with those of the windows that were not looked at yet.

    What was made is kept in ``file``, whatever ends this early.

    Raises:
        MediaError: the scene is damaged, or changed while it was read.
    """
    states, made = codes.states.copy(), codes.codes.copy()
    found = SceneCodes(codes.grid, states, made)
    changed = False
    if _device_of_run(maker) == "cpu" and int((states == UNKNOWN).sum()) >= _LONG:
        say("note: a packed model (ivr pack RUN --out MODEL) takes half of this memory")
    try:
        for batch in coded_windows(scene, codes.grid, maker, states == UNKNOWN):
            states.reshape(-1)[batch.empty] = EMPTY
            states.reshape(-1)[batch.coded] = CODED
            made.reshape(states.size, -1)[batch.coded] = batch.codes
            changed = True
            file.write(found, at_once=False)
    finally:
        if changed:
            file.write(found, at_once=True)
    return found
