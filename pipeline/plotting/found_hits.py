"""One query of an evaluation and what it finds, with the pixels and samples of the files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ivr.errors import IvrError
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import read_image
from ivr.features.media import MediaError
from ivr.features.voice_file import read_voice
from ivr.names import unknown
from ivr.pipeline.datasets.manifest import resolve
from ivr.pipeline.evaluation.evaluate import measure_of_run
from ivr.pipeline.evaluation.hits import ranked_hits
from ivr.pipeline.evaluation.protocol import DIRECTIONS, Protocol
from ivr.pipeline.evaluation.select import select
from ivr.pipeline.extraction.media_roots import media_roots
from ivr.pipeline.extraction.recorded_settings import recorded_pixels
from ivr.pipeline.pictures.ranked_hits import Hit, ImageItem, VoiceItem
from ivr.pipeline.runs.codes_file import CodedItems, read_codes
from ivr.pipeline.runs.run_folder import read_config
from ivr.pipeline.runtime.config_options import from_json

from .evaluated import Evaluated, PlotError, run_of

UNITS = {"euclidean": "distance", "matching": "log-odds against a match"}
"""Units of the distances of outputs."""


def first_hits(
    found: Evaluated, name: str, count: int, root: Path | None
) -> tuple[VoiceItem | ImageItem, list[Hit], str]:
    """Return the query ``name``, the first items that it finds, and the unit of their distances.

    Ranked as the evaluation ranks; items at equal distance stand in the order of the gallery.

    Args:
        found: the evaluation.
        name: name of an image or a voice of the test split, as the evaluation uses it.
        count: number of items.
        root: folder that the names of files are relative to; None for those of the extraction, or
            the nearest folder around the features that has such files.

    Raises:
        PlotError: codes that are newer than the results, or a file that cannot be found or read.
        UnknownNameError: no such query.
    """
    protocol = from_json(Protocol, found.results["protocol"])
    told = found.results["codes"]
    path = Path(told["file"])
    codes = read_codes(path)
    if codes.config["model"] != told["model_sha256"]:
        raise PlotError(f"{path}: of another model than the results; evaluate again")
    selection = select(codes, protocol)
    direction = next((d for d in DIRECTIONS if name in selection.queries[d].names), None)
    if direction is None:
        known = [each for d in DIRECTIONS for each in selection.queries[d].names]
        raise unknown("query", name, known)
    measure = None
    if protocol.distance != "hamming":
        run = run_of(found.folder)
        measure = measure_of_run(run, read_config(run), protocol)
    row = selection.queries[direction].names.index(name)
    first = ranked_hits(selection, direction, measure, [row], count)
    query, gallery, rows = first.queries, first.gallery, first.rows[0].tolist()
    asks_voice = direction == "voice_to_image"
    media = _Media(found.results, name, [gallery.names[row] for row in rows], root, asks_voice)
    hits = [
        Hit(media.item(gallery, row, is_voice=not asks_voice), float(distance), bool(relevant))
        for row, distance, relevant in zip(rows, first.distances[0], first.relevant[0], strict=True)
    ]
    unit = UNITS.get(protocol.distance or "", f"of {8 * query.codes.shape[1]} bits differ")
    return media.item(query, 0, is_voice=asks_voice), hits, unit


class _Media:
    """The files of some items."""

    def __init__(
        self,
        results: Mapping[str, Any],
        query: str,
        hits: Sequence[str],
        root: Path | None,
        asks_voice: bool,
    ) -> None:
        """Find the folders of the files of ``query`` and of ``hits``."""
        images, voices = (hits, [query]) if asks_voice else ([query], hits)
        self._roots = media_roots(Path(results["features"]["folder"]), images, voices, root)
        try:
            self._pixels = recorded_pixels(results["features"]["images"])
        except IvrError:  # codes of arrays, which have no settings of files
            self._pixels = PixelConfig()

    def item(self, items: CodedItems, row: int, *, is_voice: bool) -> VoiceItem | ImageItem:
        """Return the item in ``row`` with its samples or pixels."""
        name, label = items.names[row], items.labels[row]
        path = resolve(self._roots.voices if is_voice else self._roots.images, name)
        try:
            if is_voice:
                return VoiceItem(name, label, items.captions[row], *read_voice(path))
            return ImageItem(
                name, label, read_image(path, None, self._pixels.shown).transpose(1, 2, 0)
            )
        except (MediaError, OSError) as error:
            raise PlotError(f"{path}: cannot be drawn ({error}); give root=FOLDER") from error
