"""Stage: images and voices of a manifest to ``images.h5`` and ``voices.h5``.

Rows are made in the order of the manifest and put away in shards as they come, so that a call that
was killed has lost seconds of work at the most; the next call does what is missing.
"""

import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, get_args

import joblib
import numpy as np

from ivr.features.image import Encoder, ImageConfig, WeightsError, load_encoder
from ivr.features.store import (
    Shards,
    StoreError,
    Table,
    assemble,
    canonical_json,
    open_table,
    text_column,
)
from ivr.features.voice import VoiceConfig

from .device import choose_device
from .lock import only_writer
from .manifest import ManifestError, read_manifest, resolve, write_manifest
from .progress import progress, say
from .rows import Failure, Row, decode, file_stamp, listen

IMAGES, VOICES = "image features", "voice features"
StoredType = Literal["float32", "float16"]
Rows = Generator[Row | Failure, None, None]
# Libraries whose version can move the last digits of a vector; recorded, not compared.
LIBRARIES = ("torch", "torchvision", "librosa", "numpy", "scipy", "soundfile", "soxr", "pillow")


class ExtractError(ValueError):
    """An extraction that cannot be done, in one line."""


@dataclass(frozen=True)
class ExtractConfig:
    """How features are made and how the work is spread.

    Attributes:
        image: the image encoder.
        voice: the MFCC.
        stored: float32, or float16 for half the disk and memory.
        batch_size: images a forward pass.
        jobs: parallel readers, 0 for one a core.
        device: auto takes cuda when there is one.
        strict: stop at the first damaged file.
        time_limit: seconds after which to stop in good order, 0 for none.
        shard_rows: a shard is closed with the batch that brings it to so many rows.
        shard_seconds: a shard is also closed after so many seconds.
    """

    image: ImageConfig = field(default_factory=ImageConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    stored: StoredType = "float32"
    batch_size: int = 32
    jobs: int = 0
    device: str = "auto"
    strict: bool = False
    time_limit: float = 0.0
    shard_rows: int = 512
    shard_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.stored not in get_args(StoredType):
            raise ValueError(f"stored must be float32 or float16, got {self.stored!r}")
        for name in ("batch_size", "shard_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("jobs", "time_limit"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True)
class Extracted:
    """What became of one modality.

    Attributes:
        path: the feature file.
        rows: rows in it, 0 where it was not written.
        new: rows made by this call.
        skipped: names of files that could not be used.
        left: rows still missing because the call was stopped.
    """

    path: Path
    rows: int
    new: int
    skipped: tuple[str, ...]
    left: int

    def summary(self) -> str:
        """Return what became of the modality in one line."""
        if self.left:
            return f"{self.path}: not written yet, {self.new} rows made, {self.left} left"
        skipped = f", {len(self.skipped)} files skipped" if self.skipped else ""
        return f"{self.path}: {self.rows} rows, {self.new} of them new{skipped}"


@dataclass(frozen=True)
class Plan:
    """What a call would do.

    Attributes:
        path: the feature file.
        items: names in the manifest.
        done: of these, already extracted with the same settings.
        bytes: size of the finished file's vectors.
    """

    path: Path
    items: int
    done: int
    bytes: int


@dataclass(frozen=True)
class Modality:
    """What differs between images and voices.

    Attributes:
        kind: of the table.
        path: the feature file.
        root: folder that names start from.
        names: the items of the manifest.
        config: ``settings``, which decide the vectors and are compared, and ``made_with``, which is
            recorded only: library versions, name of the weights (their sha256 is a setting).
        dim: length of a vector.
        vectorise: makes rows of batches of names, in order, a :class:`Failure` where a file cannot
            be used.
    """

    kind: str
    path: Path
    root: Path
    names: tuple[str, ...]
    config: Mapping[str, Any]
    dim: int
    vectorise: Callable[[Sequence[Sequence[str]]], Rows]


class Stop:
    """Tells when to stop in good order: a signal came, or the time is up.

    Attributes:
        acted_on: work was stopped because of it, and nothing more is to be begun.
    """

    def __init__(self, time_limit: float) -> None:
        """Start the clock; ``time_limit`` in seconds, 0 for none."""
        self.acted_on = False
        self._signalled = threading.Event()
        self._deadline = time.monotonic() + time_limit if time_limit else float("inf")

    def __bool__(self) -> bool:
        """Return whether to stop now."""
        return self.signalled or time.monotonic() > self._deadline

    @property
    def signalled(self) -> bool:
        """Whether a signal came."""
        return self._signalled.is_set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a wish to stop; a second one acts as usual."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, frame: object) -> None:
            self._signalled.set()
            signal.signal(number, before[signal.Signals(number)])
            # Past Python's buffers: the signal may have interrupted a write to one of them.
            os.write(2, b"stopping after this batch; nothing is lost\n")

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def extract(
    manifest_path: Path,
    out: Path,
    config: ExtractConfig,
    *,
    image_root: Path | None = None,
    voice_root: Path | None = None,
) -> tuple[Extracted, ...]:
    """Extract what is missing and return what became of each modality.

    Args:
        manifest_path: the manifest.
        out: folder for ``images.h5``, ``voices.h5`` and a copy of the manifest.
        config: how.
        image_root: folder that image names start from; the manifest's own by default.
        voice_root: the same for voices.

    Raises:
        ManifestError, WeightsError, BusyError, StoreError: see their modules.
        ExtractError: nothing could be read, or a damaged file with ``strict``.
    """
    manifest = read_manifest(manifest_path)
    with only_writer(out):
        modalities = _modalities(
            [item.name for item in manifest.images()],
            [item.name for item in manifest.voices()],
            out,
            config,
            image_root or manifest_path.parent,
            voice_root or manifest_path.parent,
        )
        stop = Stop(config.time_limit)
        with stop.on_signals():
            extracted = tuple(_extract(modality, config, stop) for modality in modalities)
        finished = not any(result.left for result in extracted)
        if finished and not _same_file(manifest_path, out / "manifest.csv"):
            write_manifest(out / "manifest.csv", manifest)
        return extracted


def plan(
    manifest_path: Path,
    out: Path,
    config: ExtractConfig,
    *,
    image_root: Path | None = None,
    voice_root: Path | None = None,
) -> tuple[Plan, ...]:
    """Return what :func:`extract` would do with the same arguments; writes nothing to ``out``."""
    manifest = read_manifest(manifest_path)
    roots = image_root or manifest_path.parent, voice_root or manifest_path.parent
    names = [item.name for item in manifest.images()], [item.name for item in manifest.voices()]
    plans = []
    for modality in _modalities(*names, out, config, *roots):
        tables = _tables(modality)
        _say_made_anew(modality, tables)
        _, finished = _finished(modality, tables)
        done = len(finished & set(modality.names))
        size = len(modality.names) * modality.dim * np.dtype(config.stored).itemsize
        plans.append(Plan(modality.path, len(modality.names), done, size))
    return tuple(plans)


def checked(table: Table) -> Table:
    """Return ``table`` when it has what every table of this stage has.

    Raises:
        StoreError: a column or the settings are missing, or do not belong together.
    """
    settings = table.config.get("settings")
    shape = settings.get("shape") if isinstance(settings, dict) else None
    kinds = {"names": ("S", 1), "stamps": ("u", 1), "vectors": ("f", 2)}
    if table.kind == VOICES:
        kinds["frames"] = ("i", 1)
    found = {name: (column.dtype.kind, len(column.shape)) for name, column in table.columns.items()}
    plain = isinstance(shape, list) and all(type(length) is int for length in shape)
    dim = math.prod(shape or ()) if plain else -1
    if found != kinds or table.columns["vectors"].shape[1] != dim:
        raise StoreError(f"{table.path}: not a table that ivr extract writes; make it again")
    return table


def _modalities(
    images: Sequence[str],
    voices: Sequence[str],
    out: Path,
    config: ExtractConfig,
    image_root: Path,
    voice_root: Path,
) -> list[Modality]:
    found = []
    versions = {name: version(name) for name in LIBRARIES}
    if images:
        encoder = _encoder(config)
        settings = {"stored": config.stored, "shape": [encoder.dim], **encoder.provenance}
        made_with = versions | {"weights": settings.pop("weights")}
        found.append(
            Modality(
                IMAGES,
                out / "images.h5",
                image_root,
                tuple(images),
                {"settings": settings, "made_with": made_with},
                encoder.dim,
                lambda batches: _image_rows(batches, image_root, encoder, config),
            )
        )
    if voices:
        shape = [3, config.voice.coefficients, config.voice.frames]
        settings = {
            "stored": config.stored,
            "shape": shape,
            "streams": ["mfcc", "delta", "delta-delta"],
            **asdict(config.voice),
        }
        found.append(
            Modality(
                VOICES,
                out / "voices.h5",
                voice_root,
                tuple(voices),
                {"settings": settings, "made_with": versions},
                int(np.prod(shape)),
                lambda batches: _voice_rows(batches, voice_root, config),
            )
        )
    return found


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _encoder(config: ExtractConfig) -> Encoder:
    if config.image.weights == "random":
        say(f"note: {config.image.encoder} has RANDOM weights: to try things out, not for figures")
    try:
        return load_encoder(config.image, choose_device(config.device))
    except WeightsError:
        raise
    except ValueError as error:
        raise ExtractError(str(error)) from error


def _extract(modality: Modality, config: ExtractConfig, stop: Stop) -> Extracted:
    tables = _tables(modality)
    _say_made_anew(modality, tables)
    sources, finished = _finished(modality, tables)
    batches = _missing(modality.names, finished, config.batch_size)
    go_on = batches and not stop.acted_on
    new, skipped = _fill(modality, batches, config, stop) if go_on else (0, [])
    left = sum(map(len, batches)) - new - len(skipped)
    if left:
        return Extracted(modality.path, 0, new, tuple(skipped), left)
    if not new and finished.isdisjoint(modality.names):
        raise ExtractError(
            f"none of {len(skipped)} {_what(modality)} could be read, e.g. {skipped[0]}; "
            "say where they are with --image-root and --voice-root"
        )
    rows = len(finished)
    if new or len(sources) != 1 or sources[0].path != modality.path:
        rows = _assemble(modality)
    _shards(modality).clear()
    return Extracted(modality.path, rows, new, tuple(skipped), 0)


def _tables(modality: Modality) -> list[Table]:
    """Return the feature file, where there is one, and the shards."""
    whole = [open_table(modality.path, modality.kind)] if modality.path.exists() else []
    return [checked(table) for table in (*whole, *_shards(modality).tables())]


def _say_made_anew(modality: Modality, tables: Sequence[Table]) -> None:
    """Name one difference between the settings and those that rows were made with, if any."""
    others = [table for table in tables if not _same_settings(table, modality)]
    if others:
        difference = _difference(others[0], modality)
        say(f"{modality.path}: was made with other settings ({difference})")


def _finished(modality: Modality, tables: Sequence[Table]) -> tuple[list[Table], set[str]]:
    """Return the tables that hold rows made with these settings, and the names finished in them.

    A name is not finished where the file behind it is another one now (a second data set that also
    calls its images 1.tif, 2.tif ...); a file that is gone keeps its row.
    """
    same = [table for table in tables if _same_settings(table, modality)]
    stamps: dict[str, int] = {}
    for table in same:
        stamps |= zip(table.text("names"), table.read("stamps").tolist(), strict=True)
    replaced = {
        name
        for name in modality.names
        if name in stamps and _replaced(modality, name, stamps[name])
    }
    return same, set(stamps) - replaced


def _replaced(modality: Modality, name: str, stamp: int) -> bool:
    try:
        return file_stamp(resolve(modality.root, name)) != stamp
    except (OSError, ManifestError):
        return False


def _missing(names: Sequence[str], finished: Collection[str], size: int) -> list[list[str]]:
    """Return the names that are not finished, those of one batch of ``names`` together.

    The last bits of a vector depend on how many images share its forward pass. So batches are cut
    from the manifest, not from what is missing, and a call that goes on makes the same bits.
    """
    batches = [names[start : start + size] for start in range(0, len(names), size)]
    missing = [[name for name in batch if name not in finished] for batch in batches]
    return [batch for batch in missing if batch]


def _fill(
    modality: Modality, batches: Sequence[Sequence[str]], config: ExtractConfig, stop: Stop
) -> tuple[int, list[str]]:
    """Make the rows of ``batches``, put them away in shards; return how many, and the skipped.

    Whatever ends this early, the batches that were finished are kept.
    """
    pending, skipped, new, opened = list[Row](), list[str](), 0, time.monotonic()
    try:
        for batch in _made(modality, batches, stop):
            rows = [row for row in batch if isinstance(row, Row)]
            pending += rows
            new += len(rows)
            for failure in (row for row in batch if isinstance(row, Failure)):
                if config.strict:
                    raise ExtractError(f"{failure.name}: {failure.reason} (stopped by --strict)")
                say(f"skipped {failure.name}: {failure.reason}")
                skipped.append(failure.name)
            late = time.monotonic() - opened > config.shard_seconds
            if pending and (len(pending) >= config.shard_rows or late):
                _put_away(modality, pending, config)
                pending, opened = [], time.monotonic()
    finally:
        if pending:
            _put_away(modality, pending, config)
    return new, skipped


def _made(
    modality: Modality, batches: Sequence[Sequence[str]], stop: Stop
) -> Iterator[list[Row | Failure]]:
    """Yield the rows of one batch after the other, until it is time to stop.

    Time that is up is obeyed once a row was made, so that calls get somewhere however short they
    are and however many damaged files come first.
    """
    total, any_row = sum(map(len, batches)), False
    try:
        with (
            closing(modality.vectorise(batches)) as made,
            closing(progress(made, total, _what(modality))) as rows,
        ):
            for batch in batches:
                some = list(islice(rows, len(batch)))
                any_row = any_row or any(isinstance(row, Row) for row in some)
                yield some
                if stop and (any_row or stop.signalled):
                    stop.acted_on = True
                    return
            next(rows, None)  # lets the progress end, with its last line
    except (KeyboardInterrupt, BrokenExecutor) as error:
        # A terminal and a batch system signal the readers as well as this process.
        if stop:
            stop.acted_on = True
        elif isinstance(error, KeyboardInterrupt):
            raise
        else:
            raise ExtractError(
                "a reader process was ended from outside, for lack of memory perhaps; what was "
                "finished is kept: call again, with fewer --jobs"
            ) from error


def _put_away(modality: Modality, rows: Sequence[Row], config: ExtractConfig) -> None:
    """Write a shard of ``rows``."""
    vectors = np.stack([row.vector for row in rows])
    with np.errstate(over="ignore"):
        stored = vectors.astype(config.stored)
    finite = np.isfinite(stored).all(axis=1)
    if not finite.all():
        name = rows[int(np.argmin(finite))].name
        raise ExtractError(
            f"{name}: its vector holds values beyond {config.stored}; "
            "take --stored float32 and --precision float32"
        )
    columns = {
        "names": text_column(row.name for row in rows),
        "stamps": np.array([row.stamp for row in rows], np.uint64),
        "vectors": stored,
    }
    if modality.kind == VOICES:
        columns["frames"] = np.array([row.frames for row in rows], np.int32)
    _shards(modality).write(modality.config, columns)


def _assemble(modality: Modality) -> int:
    """Write the feature file from its predecessor and the shards; return its number of rows."""
    sources, finished = _finished(modality, _tables(modality))
    others = sorted(finished - set(modality.names))
    return assemble(
        modality.path, modality.kind, modality.config, sources, [*modality.names, *others]
    )


def _image_rows(
    batches: Sequence[Sequence[str]], root: Path, encoder: Encoder, config: ExtractConfig
) -> Rows:
    import torch

    device = next(encoder.buffers()).device
    names = list(chain.from_iterable(batches))
    with closing(
        _in_parallel(decode, names, (root, encoder.size), config, prefer="threads")
    ) as decoded:
        for batch in batches:
            rows = list(islice(decoded, len(batch)))
            images = [row.vector for row in rows if isinstance(row, Row)]
            vectors = iter(())
            if images:
                pixels = torch.from_numpy(np.stack(images)).to(device, non_blocking=True)
                vectors = iter(encoder(pixels).cpu().numpy())
            for row in rows:
                yield replace(row, vector=next(vectors)) if isinstance(row, Row) else row


def _voice_rows(batches: Sequence[Sequence[str]], root: Path, config: ExtractConfig) -> Rows:
    names = list(chain.from_iterable(batches))
    arguments = (root, config.voice, os.getpid())
    return _in_parallel(listen, names, arguments, config, prefer="processes")


def _in_parallel(
    function: Callable[..., Row | Failure],
    names: Sequence[str],
    arguments: tuple[Any, ...],
    config: ExtractConfig,
    *,
    prefer: str,
) -> Rows:
    """Yield ``function(name, *arguments)`` in order; readers are a window ahead at the most."""
    jobs = min(config.jobs or joblib.cpu_count(), len(names))
    window = max(config.shard_rows, config.batch_size)
    # One BLAS thread a worker process is joblib's own choice where there is one a core.
    with joblib.Parallel(jobs, prefer=prefer, return_as="generator") as parallel:
        for start in range(0, len(names), window):
            some = names[start : start + window]
            results = parallel(joblib.delayed(function)(name, *arguments) for name in some)
            try:
                for result in results:  # noqa: UP028 - the generator is closed below, not here
                    yield result
            finally:
                # joblib warns of results that nobody took: when we stop early, there are some.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    results.close()


def _shards(modality: Modality) -> Shards:
    return Shards(modality.path.with_suffix(".shards"), modality.kind)


def _same_settings(table: Table, modality: Modality) -> bool:
    return canonical_json(modality.config["settings"]) == canonical_json(table.config["settings"])


def _difference(table: Table, modality: Modality) -> str:
    mine, theirs = modality.config["settings"], table.config["settings"]
    pairs = {name: (mine.get(name), theirs.get(name)) for name in {**mine, **theirs}}
    name = next(n for n, (one, other) in pairs.items() if json.dumps(one) != json.dumps(other))
    return f"{name}: {theirs.get(name)}, now {mine.get(name)}; all rows are made anew"


def _what(modality: Modality) -> str:
    return "images" if modality.kind == IMAGES else "voices"
