"""One query of an evaluation and what it finds, with the pixels and samples of the files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import read_image
from ivr.features.media import MediaError
from ivr.features.voice_file import read_voice
from ivr.names import unknown
from ivr.pipeline.datasets.manifest import resolve
from ivr.pipeline.evaluation.evaluate import measure_of_run
from ivr.pipeline.evaluation.protocol import DIRECTIONS, Protocol
from ivr.pipeline.evaluation.rank import ranker_of
from ivr.pipeline.evaluation.select import select
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
        root: folder that the names of files are relative to; None to look in the folder of the
            features and the two around it.

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
    ranker = ranker_of(selection, direction, measure)
    queries, gallery = selection.queries[direction], selection.galleries[direction]
    query = queries.select([queries.names.index(name)])
    distances = ranker.distances(query, gallery)[0]
    relevant = ranker.relevant(query, gallery)[0]
    rows = np.argsort(distances, kind="stable")[:count]
    media = _Media(found.results, [name, *(gallery.names[row] for row in rows)], root)
    asks_voice = direction == "voice_to_image"
    hits = [
        Hit(media.item(gallery, row, is_voice=not asks_voice), float(distances[row]),
            bool(relevant[row]))
        for row in rows.tolist()
    ]  # fmt: skip
    unit = UNITS.get(protocol.distance or "", f"of {8 * query.codes.shape[1]} bits differ")
    return media.item(query, 0, is_voice=asks_voice), hits, unit


class _Media:
    """The files of some items."""

    def __init__(self, results: Mapping[str, Any], names: Sequence[str], root: Path | None) -> None:
        """Find the folder of the files ``names``."""
        features = Path(results["features"]["folder"])
        around = (features, *features.parents[:2]) if root is None else (root,)
        places = [place for place in around if any((place / name).is_file() for name in names)]
        if not places:
            looked = ", ".join(str(place) for place in around)
            raise PlotError(f"{names[0]}: no such file in {looked}; give root=FOLDER")
        self._root = places[0]
        try:
            self._pixels = recorded_pixels(results["features"]["images"])
        except IvrError:  # codes of arrays, which have no settings of files
            self._pixels = PixelConfig()

    def item(self, items: CodedItems, row: int, *, is_voice: bool) -> VoiceItem | ImageItem:
        """Return the item in ``row`` with its samples or pixels."""
        name, label = items.names[row], items.labels[row]
        path = resolve(self._root, name)
        try:
            if is_voice:
                return VoiceItem(name, label, items.captions[row], *read_voice(path))
            return ImageItem(name, label, read_image(path, None, self._pixels).transpose(1, 2, 0))
        except (MediaError, OSError) as error:
            raise PlotError(f"{path}: cannot be drawn ({error}); give root=FOLDER") from error
