"""Stage: one voice or image in, the nearest items of a codes file out; imports no torch itself."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.features.media import MAX_BYTES, MediaError, read_bytes
from ivr.hashing.ranking import top_k
from ivr.pipeline.runs.codes_file import CodedItems, Codes, read_codes
from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.results import TableResult
from ivr.pipeline.runtime.visible_text import visible

from .code_maker import CodeMaker, open_model
from .model_folder import is_packed

STREAM = Path("-")
"""Stands for a recording that came from the standard input."""


class SearchError(IvrError):
    """A search that cannot be meant, or codes that do not belong to the model, in one line."""


@dataclass(frozen=True)
class Hit:
    """One item found.

    Attributes:
        name: name of the item.
        distance: Hamming distance to the query, bits.
        label: class name, ``""`` where unknown.
        caption: caption of a voice, ``""`` where unknown.
    """

    name: str
    distance: int
    label: str
    caption: str


@dataclass(frozen=True, repr=False)
class SearchResult(TableResult):
    """The items nearest to a query.

    Attributes:
        query: the file that was searched with; ``-`` for content that was given.
        hits: nearest first.
    """

    query: Path
    hits: tuple[Hit, ...]

    def __repr__(self) -> str:
        """Return the lines that ``ivr search`` prints: rank, distance, name, label, caption."""
        lines = (
            f"{rank:4d}  {hit.distance:4d} bits  {hit.name}  {hit.label}  {hit.caption}"
            for rank, hit in enumerate(self.hits, 1)
        )
        return "\n".join(visible(line.rstrip()) for line in lines)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per hit, with its rank from 1."""
        return [{"rank": rank, **asdict(hit)} for rank, hit in enumerate(self.hits, 1)]


def search(
    model: str | Path,
    *,
    voice: str | Path | bytes | None = None,
    image: str | Path | bytes | None = None,
    count: int = 10,
    codes: str | Path | None = None,
    weights: str | None = None,
    device: str = "auto",
) -> SearchResult:
    """Return the images nearest to a voice, or the voices nearest to an image.

    Args:
        model: a run folder, or a packed model; this one needs neither torch nor librosa.
        voice: recording to find images with, or the content of one; give this or ``image``.
        image: image file to find voices with, or the content of one.
        count: number of hits.
        codes: codes file of the same run, ``RUN/codes.h5`` by default; a packed model has none.
        weights: weights of the image encoder of a run, by default those of the features; required
            if these are a file that is no longer where it was.
        device: auto takes cuda if there is one.

    Raises:
        SearchError: there is not exactly one query, no codes, or codes of another model.
        RunError: the run cannot encode the query.
        PackError, StoreError, WeightsError, MediaError: see their modules.
    """
    query = voice if voice is not None else image
    if query is None or (voice is not None and image is not None):
        raise SearchError("search with a voice or with an image; give exactly one of them")
    folder = Path(model)
    if codes is None and is_packed(folder):
        raise SearchError(
            f"{folder}: holds no codes to search; name them with --codes RUN/codes.h5"
        )
    maker = open_model(folder, device=device, weights=weights)
    name, data = _content(query)
    try:
        found = (_code_of_voice if voice is not None else _code_of_image)(maker, name, data)
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from error
    if maker.distance != "hamming":
        warn(f"note: {maker.method} ranks by {maker.distance}; this search compares its sign codes")
    gallery = _gallery(maker, None if codes is None else Path(codes))
    items = gallery.images if voice is not None else gallery.voices
    return SearchResult(name, tuple(_nearest(found, items, count)))


def _content(query: str | Path | bytes) -> tuple[Path, bytes]:
    """Return the name and the content of a query."""
    if isinstance(query, bytes):
        if not query:
            raise MediaError(f"{STREAM}: no content was given")
        if len(query) > MAX_BYTES:
            raise MediaError(f"{STREAM}: more than {MAX_BYTES} bytes")
        return STREAM, query
    path = Path(query)
    try:
        return path, read_bytes(path)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error


def _code_of_voice(maker: CodeMaker, name: Path, data: bytes) -> np.ndarray:
    """Return the code [1, bits / 8] of a recording; warn of what is odd about it."""
    streams, frames, warnings = maker.streams(data)
    for one in warnings:
        warn(f"{one.severity}: {name}: {one.text}")
    return maker.codes_of_streams(streams[None], np.array([frames]))


def _code_of_image(maker: CodeMaker, name: Path, data: bytes) -> np.ndarray:
    """Return the code [1, bits / 8] of an image."""
    return maker.codes_of_pixels(maker.pixels(data)[None])


def _gallery(maker: CodeMaker, codes: Path | None) -> Codes:
    """Return the codes that are searched, by default those of the run of ``maker``."""
    path = codes or maker.source / "codes.h5"
    found = read_codes(path)
    if found.config["model"] != maker.model_sha256:
        raise SearchError(
            f"{path}: was not made with the model of {maker.source}; make it with ivr encode"
        )
    if codes is None:
        from ivr.pipeline.runs.run_folder import read_config
        from ivr.pipeline.runs.stale_codes import require_current_codes

        require_current_codes(path, found.config, maker.source, read_config(maker.source))
    return found


def _nearest(query: np.ndarray, gallery: CodedItems, count: int) -> list[Hit]:
    rows, distances = top_k(query, gallery.codes, count)
    return [
        Hit(gallery.names[row], int(distance), gallery.labels[row], gallery.captions[row])
        for row, distance in zip(rows[0], distances[0], strict=True)
    ]
