"""Stage: one voice or image in, the nearest items of a codes file out; imports no torch itself."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.features.media import MAX_BYTES, MediaError, read_bytes
from ivr.hashing.ranking import top_k
from ivr.pipeline.datasets.voice_warnings import VoiceWarning
from ivr.pipeline.runs.codes_file import CodedItems, Codes, read_codes
from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.results import TableResult, json_value
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import aligned_bits

from .calibration import Calibration
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
            f"{rank:4d}  {aligned_bits(hit.distance)}  {hit.name}  {hit.label}  {hit.caption}"
            for rank, hit in enumerate(self.hits, 1)
        )
        return "\n".join(visible(line.rstrip()) for line in lines)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per hit, with its rank from 1."""
        return [{"rank": rank, **asdict(hit)} for rank, hit in enumerate(self.hits, 1)]

    def to_json(self) -> Any:
        """Return what ``ivr search --json`` prints: the hits."""
        return json_value(self.hits)


@dataclass(frozen=True)
class EncodedQuery:
    """A query and its code.

    Attributes:
        name: the file; ``-`` for content that was given.
        code: packed code [1, bits / 8], uint8.
        warnings: what is odd about a voice, problems first.
        calibration: what the confidence of its answer is measured against, None if the model has
            none.
    """

    name: Path
    code: np.ndarray
    warnings: tuple[VoiceWarning, ...]
    calibration: Calibration | None = None


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
    require_one_query(voice, image)
    folder = Path(model)
    if codes is None and is_packed(folder):
        raise SearchError(
            f"{folder}: holds no codes to search; name them with --codes RUN/codes.h5"
        )
    maker = open_model(folder, device=device, weights=weights)
    query = encoded_query(maker, voice=voice, image=image)
    gallery = _gallery(maker, None if codes is None else Path(codes))
    items = gallery.images if voice is not None else gallery.voices
    return SearchResult(query.name, tuple(_nearest(query.code, items, count)))


def require_one_query(voice: object, image: object) -> None:
    """Refuse anything but one query.

    Raises:
        SearchError: neither a voice nor an image is given, or both are.
    """
    if (voice is None) == (image is None):
        raise SearchError("search with a voice or with an image; give exactly one of them")


def encoded_query(
    maker: CodeMaker,
    *,
    voice: str | Path | bytes | None = None,
    image: str | Path | bytes | None = None,
) -> EncodedQuery:
    """Return the code of a query; what is odd about a voice is a warning of the logger, too.

    Args:
        maker: an opened model.
        voice: recording, or the content of one; give this or ``image``.
        image: image file, or the content of one.

    Raises:
        SearchError: there is not exactly one query.
        MediaError: the query cannot be used.
    """
    require_one_query(voice, image)
    query = voice if voice is not None else image
    assert query is not None
    name, data = _content(query)
    warnings: tuple[VoiceWarning, ...] = ()
    try:
        if voice is None:
            code = maker.codes_of_pixels(maker.pixels(data)[None])
        else:
            streams, frames, warnings = maker.streams(data)
            code = maker.codes_of_streams(streams[None], np.array([frames]))
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from error
    for one in warnings:
        warn(f"{one.severity}: {name}: {one.text}")
    if maker.distance != "hamming":
        warn(f"note: {maker.method} ranks by {maker.distance}; this search compares its sign codes")
    calibration = maker.calibrations.get("image" if voice is None else "voice")
    return EncodedQuery(name, code, warnings, calibration)


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
