"""An archive that stays in memory with its model and answers queries, the newest version first."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.features.media import MediaError
from ivr.pipeline.archive.archive import open_archive
from ivr.pipeline.archive.archive_model import model_place, open_code_maker
from ivr.pipeline.archive.lance_library import ArchiveError, is_archive
from ivr.pipeline.archive.search import ArchiveSearchResult, modality_of
from ivr.pipeline.archive.where import parse_bounds
from ivr.pipeline.datasets.manifest import ManifestError, resolve
from ivr.pipeline.packing.code_maker import CodeMaker, open_model
from ivr.pipeline.packing.model_folder import is_packed
from ivr.pipeline.packing.search import STREAM, EncodedQuery
from ivr.pipeline.runtime.memory import hold_little_memory
from ivr.pipeline.runtime.progress import warn

from .galleries import WINDOW, ArchiveGallery, Asked, DatabaseGallery, Gallery
from .read_tasks import draw_thumbnail, draw_window, play, read_image, read_voice
from .readers import Readers
from .serve_config import ServeConfig
from .service_errors import ServeError, UnknownItemError

MOST_HITS = 1000
"""Largest number of hits of one answer."""
_PATH = re.compile(r"(?<![\w.])(?:file://)?/(?:[^\s/:'\"]+/)+([^\s/:'\"]*)")
"""An absolute path of more than one part; the group is its last one."""


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
class Trouble:
    """Why the newest version could not be looked for.

    Attributes:
        text: the last error.
        since: time of the first of the errors without a success in between, ISO 8601, UTC.
        is_gone: no query can be answered, as the archive or the database is gone.
    """

    text: str
    since: str
    is_gone: bool


class ResidentArchive:
    """An archive in memory; any number of threads may ask it.

    Attributes:
        trouble: why the newest version is not searched, None if all is well.
    """

    def __init__(
        self, place: str | Path, config: ServeConfig, model: str | Path | None = None
    ) -> None:
        """Open the model and what is searched, and start the readers.

        Args:
            place: an archive; for a database also the packed model that encodes its queries.
            config: how it is served.
            model: a packed model, by default the one that the archive was created with.

        Raises:
            ArchiveError, PackError: see :func:`ivr.pipeline.archive.archive_model.open_code_maker`.
            PostgresError: see :class:`ivr.pipeline.serving.galleries.DatabaseGallery`.
            ServeError: the model is a run, which needs torch.
        """
        hold_little_memory()
        self.config = config
        archive = None
        if config.engine is None or is_archive(place):
            archive = open_archive(place)
            self.model = model_place(archive, model)
        else:
            self.model = Path(model or place)
        if not is_packed(self.model):
            raise ServeError(
                f"{self.model}: is not a packed model; make one with ivr pack and give it with "
                "--model"
            )
        threads = config.threads
        self._maker: CodeMaker = (
            open_model(self.model, device="cpu", threads=threads)
            if archive is None
            else open_code_maker(archive, self.model, "cpu", threads=threads)
        )
        self.gallery: Gallery = (
            ArchiveGallery(archive, index=config.index)
            if config.engine is None and archive is not None
            else DatabaseGallery(
                str(config.engine), config.table, self._maker, index=config.index,
                time_limit=config.time_limit,
            )
        )  # fmt: skip
        self._warm_up()
        self.trouble: Trouble | None = None
        self._readers = Readers(config.readers, config.time_limit, str(self.model))
        self._stop = threading.Event()
        if config.refresh:
            threading.Thread(target=self._watch, daemon=True).start()

    @property
    def lost_readers(self) -> int:
        """Number of reader processes that died or were ended."""
        return self._readers.lost

    def about(self) -> dict[str, Any]:
        """Return what the page says of the archive, as JSON values."""
        gallery = self.gallery
        counts = gallery.counts()
        return {
            "archive": gallery.name,
            "version": gallery.version,
            "images": counts["image"],
            "voices": counts["voice"],
            "bits": gallery.bits,
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
            known = self._maker.calibrations.get("voice")
            query = EncodedQuery(STREAM, code, voice.warnings, known)
            return self._answer(query, asked, seconds, is_voice=True)

    def by_image(self, data: bytes, asked: Asked) -> Answer:
        """Return the items nearest to an uploaded image; raises as :meth:`by_voice`."""
        with _timed() as seconds:
            with seconds("read"):
                pixels = self._readers.read(read_image, str(self.model), data)
            with seconds("encode"):
                code = self._maker.codes_of_pixels(pixels[None])
            query = EncodedQuery(STREAM, code, (), self._maker.calibrations.get("image"))
            return self._answer(query, asked, seconds, is_voice=False)

    def thumbnail(self, item: int) -> bytes:
        """Return the image of the row id ``item`` as a JPEG picture of the configured size.

        Raises:
            UnknownItemError: no such image, or its file is gone.
            MediaError: the file cannot be used.
        """
        row = self._row(item, "image")
        model, path, side = str(self.model), str(_file_of(row)), self.config.thumbnail
        window = tuple(row[name] for name in WINDOW)
        with _of_file(path):
            if None in window:
                return self._readers.read(draw_thumbnail, model, path, side)
            return self._readers.read(draw_window, model, path, window, side)

    def audio(self, item: int) -> bytes:
        """Return the voice of the row id ``item`` as a WAV recording; raises as the thumbnail."""
        path = str(_file_of(self._row(item, "voice")))
        with _of_file(path):
            return self._readers.read(play, path)

    def without_places(self, text: str) -> str:
        """Return a message without the places of the archive, the model and any other file."""
        text = text.removeprefix(f"{self.gallery.place}: ")
        text = text.replace(self.gallery.place, self.gallery.name)
        if text.startswith(f"{self.model}: "):
            text = "the model: " + text.removeprefix(f"{self.model}: ")
        text = text.replace(str(self.model.absolute()), "the model")
        return _PATH.sub(r"\1", text)

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
        modality = modality_of(asked.find, is_voice=is_voice)
        with seconds("rank"):
            found = self.gallery.nearest(query, modality, asked, box)
        return Answer(found, seconds.times)

    def _row(self, item: int, modality: str) -> dict[str, Any]:
        row = self.gallery.file_row(item)
        if row["modality"] != modality:
            raise UnknownItemError(f"item {item}: is of the modality {row['modality']}")
        return row

    def _warm_up(self) -> None:
        """Load the voice end, so that the first query is as fast as the others."""
        shape = self._maker.voices.shape
        self._maker.codes_of_streams(np.zeros((1, *shape), np.float32), np.array([shape[-1]]))

    def _watch(self) -> None:
        """Let the newest version be searched."""
        while not self._stop.wait(self.config.refresh):
            try:
                self.gallery.refresh()
                self.trouble = None
            except Exception as error:  # whatever it is: the next look may succeed
                before, text = self.trouble, str(error)
                if not isinstance(error, (IvrError, OSError)):
                    text = f"{type(error).__name__}: {text}"
                since = before.since if before else datetime.now(UTC).isoformat(timespec="seconds")
                self.trouble = Trouble(text, since, self.gallery.is_gone(error))
                if before is None or before.text != text:
                    warn(f"{text}; the last version stays")


def _file_of(row: dict[str, Any]) -> Path:
    """Return the file of a row; it is below the root that it was added from.

    Raises:
        UnknownItemError: it leads elsewhere, or is gone.
    """
    with suppress(ManifestError, OSError, TypeError):  # an export of a run has no files
        path = resolve(Path(row["root"]), row["file"])
        if path.is_file():
            return path
    raise UnknownItemError("its file is not there")


@contextmanager
def _of_file(path: str) -> Iterator[None]:
    """Leave ``path`` out of the errors of the block."""
    try:
        yield
    except MediaError as error:
        raise MediaError(f"its file: {str(error).replace(path, 'it')}") from error


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
