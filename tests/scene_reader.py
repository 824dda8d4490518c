"""A reader of scenes in the process of the test: faster, and its reads can be counted."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivr.features.image_bands import PixelConfig
from ivr.features.raster_scene import SceneFile
from ivr.features.scene_windows import Scene, SceneWindow, WindowGrid


class ReaderHere:
    """Answers as :class:`ivr.features.raster_process.RasterReader` does, without a process."""

    def __init__(self, files: Sequence[int] = ()) -> None:
        self.files = files
        self.scene: SceneFile | None = None
        self.found: Any = None

    def ask(self, call: str, arguments: dict[str, Any]) -> None:
        if call == "scene":
            config = PixelConfig(**arguments["config"])
            self.scene = SceneFile(arguments["file"], config, lambda: None)
            self.found = self.scene.place()
        else:
            self.found = getattr(self.scene, call)(**arguments)

    def reply(self) -> Any:
        return self.found.copy() if isinstance(self.found, np.ndarray) else self.found

    def close(self) -> None:
        if self.scene is not None:
            self.scene.close()
            self.scene = None


@contextmanager
def scene_here(path: Path, pixels: PixelConfig | None = None) -> Iterator[Scene]:
    """Yield a scene that this process reads."""
    handle = os.open(path, os.O_RDONLY)
    reader = ReaderHere((handle,))
    try:
        yield Scene(handle, reader, pixels or PixelConfig())  # type: ignore[arg-type]
    finally:
        reader.close()
        os.close(handle)


def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have scenes read by this process, and keep the process that writes heat maps."""
    monkeypatch.setattr("ivr.features.scene_windows.RasterReader", ReaderHere)
    monkeypatch.setattr("ivr.pipeline.archive.locate.raster_readers", nullcontext)


def windows_of(scene: Scene, grid: WindowGrid) -> Iterator[SceneWindow]:
    """Yield the windows of ``scene`` that have data, row by row."""
    return (one for one in scene.every_window(grid, range(len(grid.rows))) if one is not None)


def empty_in(scene: Scene, grid: WindowGrid) -> int:
    """Return the number of windows without data."""
    return sum(one is None for one in scene.every_window(grid, range(len(grid.rows))))
