"""An archive that stays in memory with its model and answers queries, the newest version first."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.features.media import MediaError
from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.archive_model import model_place, open_code_maker
from ivr.pipeline.archive.item_columns import MODALITIES, OWN
from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.archive.search import ArchiveSearchResult, modality_of, nearest_items
from ivr.pipeline.archive.where import parse_bounds
from ivr.pipeline.datasets.manifest import ManifestError, resolve
from ivr.pipeline.packing.code_maker import CodeMaker
from ivr.pipeline.packing.model_folder import is_packed
from ivr.pipeline.packing.search import STREAM, EncodedQuery
from ivr.pipeline.runtime.memory import hold_little_memory, return_freed_memory
from ivr.pipeline.runtime.progress import warn

from .read_tasks import draw_thumbnail, draw_window, play, read_image, read_voice
from .readers import Readers
from .serve_config import ServeConfig

MOST_HITS = 1000
"""Largest number of hits of one answer."""


WINDOW = ("window_x", "window_y", "window_width", "window_height")
SHOWN_OWN = (
    *("speaker", "time", "pixel_size", "west", "south", "east", "north"),
    *WINDOW,
)
"""Own columns of an archive that a hit shows beside name, label and caption, where they are filled;
where files lie is no business of a client."""


class ServeError(IvrError):
    """An archive that cannot be served as asked, in one line."""


class UnknownItemError(IvrError):
    """An item that the archive does not have, or that has no such file."""


@dataclass(frozen=True)
class Asked:
    """What a client asks for.

    Attributes:
        count: largest number of hits.
        find: ``images`` or ``voices``; None for the other modality than the query's.
        where: SQL condition on the rows, None for all.
        bbox: ``WEST,SOUTH,EAST,NORTH`` in degrees, None for all places.
        within: largest distance, bits, None for any.
    """

    count: int = 10
    find: str | None = None
    where: str | None = None
    bbox: str | None = None
    within: int | None = None


@dataclass(frozen=True)
class Answer:
    """The hits of a query, and how long its stages took.

    Attributes:
        result: hits, confidence and warnings.
        seconds: wall time by stage: read, encode, rank.
    """

    result: ArchiveSearchResult
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Held:
    """A version of the archive, and the columns of its hits: each takes about a millisecond."""

    archive: Archive
    columns: tuple[str, ...]


class ResidentArchive:
    """An archive in memory; any number of threads may ask it."""

    def __init__(
        self, place: str | Path, config: ServeConfig, model: str | Path | None = None
    ) -> None:
        """Open the archive and its model, read the codes and start the readers.

        Args:
            place: an archive.
            config: how it is served.
            model: a packed model, by default the one that the archive was created with.

        Raises:
            ArchiveError, PackError: see :func:`ivr.pipeline.archive.archive_model.open_code_maker`.
            ServeError: the model is a run, which needs torch.
        """
        self.config = config
        hold_little_memory()
        archive = open_archive(place)
        archive.hold()
        return_freed_memory()
        self._held = _held(archive)
        self.model = model_place(self.archive, model)
        if not is_packed(self.model):
            raise ServeError(
                f"{self.model}: is not a packed model; make one with ivr pack and give it with "
                "--model"
            )
        self._maker: CodeMaker = open_code_maker(
            self.archive, self.model, "cpu", threads=config.threads
        )
        self._warm_up()
        self._readers = Readers(config.readers, config.time_limit, str(self.model))
        self._stop = threading.Event()
        if config.refresh:
            threading.Thread(target=self._watch, daemon=True).start()

    @property
    def archive(self) -> Archive:
        """The version that is searched now."""
        return self._held.archive

    @property
    def lost_readers(self) -> int:
        """Number of reader processes that died or were ended."""
        return self._readers.lost

    def about(self) -> dict[str, Any]:
        """Return what the page says of the archive, as JSON values."""
        archive = self.archive
        counts = {modality: len(archive.held(modality)) for modality in MODALITIES}
        return {
            "archive": Path(archive.place).name,
            "version": archive.version,
            "images": counts["image"],
            "voices": counts["voice"],
            "bits": archive.settings.bits,
            "method": self._maker.method,
            "classes": list(self._maker.classes),
            "upload_bytes": self.config.upload_megabytes * 1_000_000,
            "voice_seconds": self.config.voice_seconds,
        }

    def by_voice(self, data: bytes, asked: Asked) -> Answer:
        """Return the items nearest to an uploaded recording.

        Raises:
            MediaError: the recording cannot be used.
            ArchiveError: what is asked for cannot be meant.
        """
        with _timed() as seconds:
            with seconds("read"):
                model = str(self.model)
                voice = self._readers.read(read_voice, model, data, self.config.voice_seconds)
            with seconds("encode"):
                frames = np.array([voice.frames])
                code = self._maker.codes_of_streams(voice.streams[None], frames)
            query = EncodedQuery(STREAM, code, voice.warnings)
            return self._answer(query, asked, seconds, is_voice=True)

    def by_image(self, data: bytes, asked: Asked) -> Answer:
        """Return the items nearest to an uploaded image; raises as :meth:`by_voice`."""
        with _timed() as seconds:
            with seconds("read"):
                pixels = self._readers.read(read_image, str(self.model), data)
            with seconds("encode"):
                code = self._maker.codes_of_pixels(pixels[None])
            return self._answer(EncodedQuery(STREAM, code, ()), asked, seconds, is_voice=False)

    def thumbnail(self, item: int) -> bytes:
        """Return the image of the row id ``item`` as a JPEG picture of the configured size.

        Raises:
            UnknownItemError: no such image, or its file is gone.
            MediaError: the file cannot be used.
        """
        row = self._row(item, "image")
        model, path, side = str(self.model), str(_file_of(row)), self.config.thumbnail
        window = tuple(row[name] for name in WINDOW)
        if None in window:
            return self._readers.read(draw_thumbnail, model, path, side)
        return self._readers.read(draw_window, model, path, window, side)

    def audio(self, item: int) -> bytes:
        """Return the voice of the row id ``item`` as a WAV recording; raises as the thumbnail."""
        return self._readers.read(play, str(_file_of(self._row(item, "voice"))))

    def close(self) -> None:
        """End the readers, and look for new versions no longer."""
        self._stop.set()
        self._readers.close()

    def _answer(
        self, query: EncodedQuery, asked: Asked, seconds: "_Stages", *, is_voice: bool
    ) -> Answer:
        if not 1 <= asked.count <= MOST_HITS:
            raise ArchiveError(f"count must be from 1 to {MOST_HITS}, got {asked.count}")
        box = parse_bounds(asked.bbox) if asked.bbox else None
        with seconds("rank"):
            held = self._held
            found = nearest_items(
                held.archive,
                query,
                modality=modality_of(asked.find or None, is_voice=is_voice),
                count=asked.count,
                where=asked.where or None,
                bbox=box,
                within=asked.within,
                index=self.config.index,
                columns=held.columns,
            )
        return Answer(found, seconds.times)

    def _row(self, item: int, modality: str) -> dict[str, Any]:
        columns = ["modality", "root", "file", *WINDOW]
        try:
            (row,) = self.archive.rows([item], columns).to_pylist()
        except (ArchiveError, OverflowError, ValueError) as error:
            raise UnknownItemError(f"no item {item}") from error
        if row["modality"] != modality:
            raise UnknownItemError(f"item {item}: is of the modality {row['modality']}")
        found: dict[str, Any] = row
        return found

    def _warm_up(self) -> None:
        """Load the voice end, so that the first query is as fast as the others."""
        config, rows = self._maker.voice_config, len(self._maker.stream_rows)
        streams = np.zeros((1, rows, config.coefficients, config.frames), np.float32)
        self._maker.codes_of_streams(streams, np.array([config.frames]))

    def _watch(self) -> None:
        """Put a new version in the place of the old one once its codes are read."""
        said = ""
        while not self._stop.wait(self.config.refresh):
            try:
                latest = self.archive.newer()
                if latest is not None:
                    self._held = _held(latest)
                    latest.tidy()
                    return_freed_memory()
                said = ""
            except (IvrError, OSError) as error:
                if said != str(error):
                    said = str(error)
                    warn(f"{said}; the last version stays")


def _held(archive: Archive) -> _Held:
    """Return ``archive``, whose codes are in memory, and the columns that its hits show."""
    further = [name for name in archive.schema.names if name not in OWN]
    own = [name for name in SHOWN_OWN if archive.count(f"{name} IS NOT NULL")]
    return _Held(archive, (*own, *further))


def _file_of(row: dict[str, Any]) -> Path:
    """Return the file of a row; it is below the root that it was added from.

    Raises:
        UnknownItemError: it leads elsewhere, or is gone.
    """
    with suppress(ManifestError, OSError):
        path = resolve(Path(row["root"]), row["file"])
        if path.is_file():
            return path
    raise UnknownItemError("its file is not there")


class _Stages:
    """Wall time of the stages of one query."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.times[stage] = time.perf_counter() - start


@contextmanager
def _timed() -> Iterator[_Stages]:
    """Yield a clock; what a reader says of content has no file name."""
    try:
        yield _Stages()
    except MediaError as error:
        raise MediaError(f"the upload: {error}") from error
