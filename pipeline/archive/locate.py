"""Stage: find the places in a huge scene that a voice describes or an image shows."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ivr.config import OptionError
from ivr.features.atomic_files import (
    HDF5,
    HEAT_MAP,
    PNG,
    TEXT,
    FileKind,
    require_replaceable,
    require_writable,
)
from ivr.features.image_file import READER
from ivr.features.media import MediaError
from ivr.features.raster_process import raster_readers
from ivr.features.scene_windows import Scene, WindowGrid, open_scene
from ivr.hashing.ranking import hamming_distance
from ivr.pipeline.extraction.file_stamps import stamp_of_blocks
from ivr.pipeline.packing.code_maker import CodeMaker, open_model
from ivr.pipeline.packing.search import EncodedQuery, encoded_query
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.progress import say

from .distances import against_known, confidence
from .heat_files import write_heat, write_overlay, write_places
from .heat_map import best_places, heat_map
from .locate_config import LocateConfig
from .locate_result import FoundPlace, LocatedQuery, LocateResult
from .scene_codes import CODED, EMPTY, CodesFile, SceneCodes, complete_codes

Files = str | Path | Sequence[str | Path] | None
"""One file or several."""


class LocateError(OptionError):
    """A search in a scene that cannot be meant, in one line."""


def locate(
    scene: str | Path,
    config: LocateConfig | None = None,
    *,
    voice: Files = None,
    image: Files = None,
    model: str | Path | None = None,
    archive: str | Path | None = None,
    out: str | Path | None = None,
    overlay: str | Path | None = None,
    places: str | Path | None = None,
    codes: str | Path | None = None,
    **options: Any,
) -> LocateResult:
    """Return the places in a scene that are nearest to voices or images, and draw heat maps.

    The scene is cut into overlapping windows, which are encoded once for all queries; memory does
    not grow with its size. Files that are named are written when all is computed.

    Args:
        scene: a GeoTIFF or JPEG 2000 of any size.
        config: windows, number of places and device; the defaults if None.
        voice: recording that says what to look for, or several.
        image: image file that shows it, or several.
        model: packed model or run; give this or ``archive``.
        archive: archive that the scene was added to: its codes and its model are used. Windows
            that it lacks are encoded, and not added.
        out: GeoTIFF to write: one heat map of Hamming distances (bits) per query.
        overlay: PNG to write: the scene with the heat map and the best places.
        places: GeoJSON to write: outlines of the best places.
        codes: file that keeps the codes of the windows for later calls; a call that was stopped
            continues from it.
        **options: single values in place of those of ``config``, e.g. ``overlap=0``.

    Returns:
        The best places of each query, voices first.

    Raises:
        OptionError: no such option.
        LocateError: no query, not one of ``model`` and ``archive``, or files that would replace
            each other or the scene.
        MediaError: the scene or a query cannot be used.
        PackError, RunError, ArchiveError, StoreError, InTheWayError, DeviceError: see their
            modules.
    """
    config = with_options(config or LocateConfig(), options)
    path, voices, images = Path(scene), _files(voice), _files(image)
    written = {"out": out, "overlay": overlay, "places": places, "codes": codes}
    found = {name: Path(value) for name, value in written.items() if value is not None}
    if not voices and not images:
        raise LocateError("say what to look for: give a voice or an image")
    _require_places(found, [path, *voices, *images])
    maker, known = _model(model, archive, config)
    with raster_readers():
        queries = [encoded_query(maker, voice=one) for one in voices]
        queries += [encoded_query(maker, image=one) for one in images]
        try:
            with open_scene(path, maker.pixels_config) as opened:
                grid = opened.grid(config.windows.tile, config.windows.overlap)
                before, all_codes = _codes(opened, grid, maker, known, found.get("codes"))
                encoded = int(all_codes.coded.sum()) - before
                stretch = opened.stretch if encoded else None
                heats, located = _located(opened, all_codes, queries, config.count)
                _write(found, opened, grid, heats, located, path.name)
        except MediaError as error:
            raise MediaError(f"{path}: {error}") from error
    coded, empty = (int((all_codes.states == state).sum()) for state in (CODED, EMPTY))
    return LocateResult(
        path, maker.bits, grid.tile, grid.stride, coded, empty, encoded, stretch, opened.place.crs,
        located,
    )  # fmt: skip


def _files(given: Files) -> list[Path]:
    several = [given] if isinstance(given, str | Path) else given or ()
    return [Path(one) for one in several]


KINDS: Mapping[str, FileKind] = {"out": HEAT_MAP, "overlay": PNG, "places": TEXT, "codes": HDF5}
"""What each file that is written is."""


def _require_places(files: Mapping[str, Path], inputs: Sequence[Path]) -> None:
    """Refuse places that cannot be written to, before the long work."""
    for name, path in files.items():
        require_writable(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        require_replaceable(path, KINDS[name])
    taken = [os.path.realpath(path) for path in (*files.values(), *inputs)]
    for path in files.values():
        if taken.count(os.path.realpath(path)) > 1:
            raise LocateError(f"{path}: is to be written and is used otherwise too; name another")


def _model(
    model: str | Path | None, archive: str | Path | None, config: LocateConfig
) -> tuple[CodeMaker, Any]:
    """Return what makes codes, and the archive that has some already, if one is named."""
    if (model is None) == (archive is None):
        raise LocateError("say what encodes: give a model or an archive, and not both")
    if archive is None:
        assert model is not None
        return open_model(model, device=config.device), None
    from .archive import open_archive
    from .archive_model import open_code_maker

    held = open_archive(archive)
    return open_code_maker(held, None, config.device), held


def _codes(
    scene: Scene, grid: WindowGrid, maker: CodeMaker, archive: Any, path: Path | None
) -> tuple[int, SceneCodes]:
    """Return how many windows had codes already, and the codes of all windows."""
    stamp = stamp_of_blocks(scene.content()) if path is not None or archive is not None else 0
    settings = {
        "scene": stamp,
        "model": maker.identity,
        "tile": grid.tile,
        "stride": grid.stride,
        "size": [grid.width, grid.height],
        "pixels": asdict(maker.pixels_config),
        "reader": READER,
    }
    file = CodesFile(path, json.loads(json.dumps(settings)))
    held = file.read(grid, maker.bits)
    if archive is not None:
        from .archived_scenes import with_archived_codes
        from .empty_windows import reading_of

        held = with_archived_codes(archive, stamp, reading_of(maker.pixels_config), held)
    before = int(held.coded.sum())
    if before:
        say(f"codes of {before} of {grid.count} windows are there already")
    return before, complete_codes(scene, held, maker, file)


def _located(
    scene: Scene, codes: SceneCodes, queries: Sequence[EncodedQuery], count: int
) -> tuple[list[np.ndarray], tuple[LocatedQuery, ...]]:
    """Return the heat map and the best places of each query."""
    coded = codes.coded
    if not coded.any():
        raise MediaError("holds no valid pixel")
    grid, known = codes.grid, codes.codes[coded]
    width, height = grid.size
    heats, located = [], []
    for query in queries:
        distances = np.full(coded.shape, np.nan)
        distances[coded] = hamming_distance(query.code, known)[0]
        heat = heat_map(grid, distances)
        peaks = best_places(grid, distances, heat, count)
        corners = [(grid.columns[peak.column], grid.rows[peak.row]) for peak in peaks]
        degrees = scene.degrees([(x, y, width, height) for x, y in corners])
        places = tuple(
            FoundPlace(
                rank,
                peak.distance,
                x,
                y,
                width,
                height,
                scene.place.bounds_of(x, y, width, height),
                box,
            )
            for rank, (peak, (x, y), box) in enumerate(zip(peaks, corners, degrees, strict=True), 1)
        )
        clear = against_known(confidence(query.code[0], known, peaks[0].distance), query)
        heats.append(heat)
        located.append(LocatedQuery(query.name, places, clear))
    return heats, tuple(located)


def _write(
    files: Mapping[str, Path],
    scene: Scene,
    grid: WindowGrid,
    heats: Sequence[np.ndarray],
    queries: Sequence[LocatedQuery],
    name: str,
) -> None:
    """Write the files that were asked for."""
    if "out" in files:
        write_heat(files["out"], scene.place, grid, heats, queries)
    if "overlay" in files:
        write_overlay(files["overlay"], scene, grid, heats, queries)
    if "places" in files:
        write_places(files["places"], scene, name, queries)
