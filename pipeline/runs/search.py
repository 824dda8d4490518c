"""Stage: one voice or image in, the nearest items of a codes file out."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.atomic_files import file_digest
from ivr.hashing.method import Method
from ivr.hashing.ranking import top_k
from ivr.hashing.trainer import encode_images, encode_voices
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.results import TableResult
from ivr.pipeline.runtime.visible_text import visible

from .encode import CodedItems, Codes, packed_codes, read_codes
from .query_vectors import QueryVectors
from .run_folder import CODES, CONFIG, MODEL, RunError, load_model, read_config
from .stale_codes import require_current_codes


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
        query: the file that was searched with.
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
    run: str | Path,
    *,
    voice: str | Path | None = None,
    image: str | Path | None = None,
    count: int = 10,
    codes: str | Path | None = None,
    weights: str | None = None,
    device: str = "auto",
) -> SearchResult:
    """Return the images nearest to a voice, or the voices nearest to an image.

    Args:
        run: a run folder.
        voice: recording to find images with; give this or ``image``.
        image: image file to find voices with.
        count: number of hits.
        codes: codes file of the same run, ``RUN/codes.h5`` by default.
        weights: weights of the image encoder, by default those of the features; required if
            these are a file that is no longer where it was.
        device: auto takes cuda if there is one.

    Raises:
        RunError: there is not exactly one query, or the run cannot encode it.
        StoreError, WeightsError, MediaError: see their modules.
    """
    archive = None if codes is None else Path(codes)
    if voice is not None and image is None:
        found = find_images(Path(run), Path(voice), count=count, codes=archive, device=device)
        return SearchResult(Path(voice), tuple(found))
    if image is not None and voice is None:
        found = find_voices(
            Path(run), Path(image), count=count, weights=weights, codes=archive, device=device
        )
        return SearchResult(Path(image), tuple(found))
    raise RunError("search with a voice or with an image; give exactly one of them")


def find_images(
    run: Path, voice: Path, *, count: int, codes: Path | None = None, device: str = "auto"
) -> list[Hit]:
    """Return the ``count`` images nearest to the recording ``voice``, nearest first.

    The arguments are those of :func:`search`.
    """
    config = read_config(run)
    model = load_model(run, config, choose_device(device))
    vectors, frames = QueryVectors(config, str(run / CONFIG)).of_voices([voice])
    _warn_of_signs(model, config["method"])
    query = packed_codes(encode_voices(model, vectors, frames), model.sizes.bits)
    return _nearest(query, _gallery(run, codes).images, count)


def find_voices(
    run: Path,
    image: Path,
    *,
    count: int,
    weights: str | None = None,
    codes: Path | None = None,
    device: str = "auto",
) -> list[Hit]:
    """Return the ``count`` voices nearest to ``image``, nearest first.

    The arguments are those of :func:`search`.
    """
    config, place = read_config(run), choose_device(device)
    vectors = QueryVectors(config, str(run / CONFIG), weights).of_images([image], place)
    model = load_model(run, config, place)
    _warn_of_signs(model, config["method"])
    query = packed_codes(encode_images(model, vectors), model.sizes.bits)
    return _nearest(query, _gallery(run, codes).voices, count)


def _warn_of_signs(model: Method, name: str) -> None:
    if model.distance != "hamming":
        warn(f"note: {name} ranks by {model.distance}; this search compares its sign codes")


def _gallery(run: Path, codes: Path | None) -> Codes:
    path = codes or run / CODES
    found = read_codes(path)
    if found.config["model"] != file_digest(run / MODEL):
        raise RunError(f"{path}: was not made with the model of {run}; make it with ivr encode")
    if codes is None:
        require_current_codes(path, found.config, run, read_config(run))
    return found


def _nearest(query: np.ndarray, gallery: CodedItems, count: int) -> list[Hit]:
    rows, distances = top_k(query, gallery.codes, count)
    return [
        Hit(gallery.names[row], int(distance), gallery.labels[row], gallery.captions[row])
        for row, distance in zip(rows[0], distances[0], strict=True)
    ]
