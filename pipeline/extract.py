"""Stage: images and voices of a manifest to ``images.h5`` and ``voices.h5``.

Rows are made in the order of the manifest and put away in shards as they come, so that a call that
was killed has lost seconds of work at the most; the next call does what is missing.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import joblib
import numpy as np

from ivr.features.image import Encoder, ImageConfig, load_encoder
from ivr.features.media import MediaError, read_image
from ivr.features.store import (
    Shards,
    Table,
    assemble,
    canonical_json,
    open_table,
    text_column,
)
from ivr.features.voice import VoiceConfig, read_voice_vectors

from .device import choose_device
from .lock import only_writer
from .manifest import ManifestError, read_manifest, resolve, write_manifest
from .progress import progress, say

IMAGES, VOICES = "image features", "voice features"
StoredType = Literal["float32", "float16"]
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
        shard_rows: rows that a shard holds at the most.
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
            if getattr(self, name) < 0:
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
class Failure:
    """A file that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One finished row.

    Attributes:
        name: of the item.
        vector: [dim].
        frames: true number of frames of a voice, 0 for an image.
    """

    name: str
    vector: np.ndarray
    frames: int = 0


@dataclass(frozen=True)
class Modality:
    """What differs between images and voices.

    Attributes:
        kind: of the table.
        path: the feature file.
        names: the items of the manifest.
        config: ``settings``, which decide the vectors and are compared, and ``made_with``, which is
            recorded only: library versions, name of the weights (their sha256 is a setting).
        dim: length of a vector.
        vectorise: makes rows of names, in order, a :class:`Failure` where a file cannot be used.
    """

    kind: str
    path: Path
    names: tuple[str, ...]
    config: Mapping[str, Any]
    dim: int
    vectorise: Callable[[Sequence[str]], Iterator[Row | Failure]]


class Stop:
    """Tells when to stop in good order: a signal came, or the time is up."""

    def __init__(self, time_limit: float) -> None:
        """Start the clock; ``time_limit`` in seconds, 0 for none."""
        self._signalled = threading.Event()
        self._deadline = time.monotonic() + time_limit if time_limit else float("inf")

    def __bool__(self) -> bool:
        """Return whether to stop now."""
        return self._signalled.is_set() or time.monotonic() > self._deadline

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
            say("stopping after this batch; nothing is lost")

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
        write_manifest(out / "manifest.csv", manifest)
        stop = Stop(config.time_limit)
        with stop.on_signals():
            return tuple(_extract(modality, config, stop) for modality in modalities)


def plan(manifest_path: Path, out: Path, config: ExtractConfig) -> tuple[Plan, ...]:
    """Return what :func:`extract` would do, without doing it."""
    manifest = read_manifest(manifest_path)
    roots = manifest_path.parent, manifest_path.parent
    names = [item.name for item in manifest.images()], [item.name for item in manifest.voices()]
    plans = []
    for modality in _modalities(*names, out, config, *roots):
        _, finished = _finished(modality)
        done = len(finished & set(modality.names))
        size = len(modality.names) * modality.dim * np.dtype(config.stored).itemsize
        plans.append(Plan(modality.path, len(modality.names), done, size))
    return tuple(plans)


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
        encoder = load_encoder(config.image, choose_device(config.device))
        settings = {"stored": config.stored, "shape": [encoder.dim], **encoder.provenance}
        made_with = versions | {"weights": settings.pop("weights")}
        found.append(
            Modality(
                IMAGES,
                out / "images.h5",
                tuple(images),
                {"settings": settings, "made_with": made_with},
                encoder.dim,
                lambda names: _image_rows(names, image_root, encoder, config),
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
                tuple(voices),
                {"settings": settings, "made_with": versions},
                int(np.prod(shape)),
                lambda names: _voice_rows(names, voice_root, config),
            )
        )
    return found


def _extract(modality: Modality, config: ExtractConfig, stop: Stop) -> Extracted:
    sources, finished = _finished(modality)
    todo = [name for name in modality.names if name not in finished]
    new, skipped = _fill(modality, todo, config, stop)
    left = len(todo) - new - len(skipped)
    if left:
        return Extracted(modality.path, 0, new, tuple(skipped), left)
    if not finished and not new:
        raise ExtractError(
            f"none of {len(todo)} {_what(modality)} could be read, e.g. {skipped[0]}; "
            "say where they are with --image-root and --voice-root"
        )
    rows = len(finished)
    if new or len(sources) != 1 or sources[0].path != modality.path:
        rows = _assemble(modality)
    return Extracted(modality.path, rows, new, tuple(skipped), 0)


def _finished(modality: Modality) -> tuple[list[Table], set[str]]:
    """Return the tables that hold rows made with these settings, and the names in them."""
    tables = []
    if modality.path.exists():
        table = open_table(modality.path, modality.kind)
        if _same_settings(table, modality):
            tables.append(table)
        else:
            say(f"{modality.path}: was made with other settings ({_difference(table, modality)})")
    tables += [table for table in _shards(modality).tables() if _same_settings(table, modality)]
    return tables, {name for table in tables for name in table.text("names")}


def _fill(
    modality: Modality, todo: Sequence[str], config: ExtractConfig, stop: Stop
) -> tuple[int, list[str]]:
    """Make the rows ``todo``, put them away in shards, and return how many, and the skipped."""
    shards, pending, skipped, new = _shards(modality), list[Row](), list[str](), 0
    opened = time.monotonic()
    for row in progress(modality.vectorise(todo) if todo else (), len(todo), _what(modality)):
        if isinstance(row, Failure):
            say(f"skipped {row.name}: {row.reason}")
            skipped.append(row.name)
            if config.strict:
                raise ExtractError(f"{row.name}: {row.reason} (stopped by --strict)")
        else:
            pending.append(row)
            new += 1
        late = time.monotonic() - opened > config.shard_seconds
        if pending and (len(pending) >= config.shard_rows or late or stop):
            shards.write(modality.config, _columns(pending, config, modality.kind))
            pending, opened = [], time.monotonic()
        if stop:
            return new, skipped
    if pending:
        shards.write(modality.config, _columns(pending, config, modality.kind))
    return new, skipped


def _assemble(modality: Modality) -> int:
    """Write the feature file from its predecessor and the shards, then remove the shards."""
    sources, finished = _finished(modality)
    others = sorted(finished - set(modality.names))
    rows = assemble(
        modality.path, modality.kind, modality.config, sources, [*modality.names, *others]
    )
    _shards(modality).clear()
    return rows


def _image_rows(
    names: Sequence[str], root: Path, encoder: Encoder, config: ExtractConfig
) -> Iterator[Row | Failure]:
    import torch

    device = next(encoder.buffers()).device
    decoded = _in_parallel(_decode, names, (root, encoder.size), config, prefer="threads")
    while batch := list(islice(decoded, config.batch_size)):
        images = [row.vector for row in batch if isinstance(row, Row)]
        vectors = iter(())
        if images:
            pixels = torch.from_numpy(np.stack(images)).to(device, non_blocking=True)
            vectors = iter(encoder(pixels).cpu().numpy())
        for row in batch:
            yield Row(row.name, next(vectors)) if isinstance(row, Row) else row


def _voice_rows(names: Sequence[str], root: Path, config: ExtractConfig) -> Iterator[Row | Failure]:
    return _in_parallel(_listen, names, (root, config.voice), config, prefer="processes")


def _in_parallel(
    function: Callable[..., Row | Failure],
    names: Sequence[str],
    arguments: tuple[Any, ...],
    config: ExtractConfig,
    *,
    prefer: str,
) -> Iterator[Row | Failure]:
    """Yield ``function(name, *arguments)`` in order; readers are a window ahead at the most."""
    jobs = min(config.jobs or os.cpu_count() or 1, len(names))
    window = max(config.shard_rows, config.batch_size)
    window -= window % config.batch_size
    # One BLAS thread a worker process is joblib's own choice where there is one a core.
    with joblib.Parallel(jobs, prefer=prefer, return_as="generator") as parallel:
        for start in range(0, len(names), window):
            some = names[start : start + window]
            yield from parallel(joblib.delayed(function)(name, *arguments) for name in some)


def _decode(name: str, root: Path, size: int) -> Row | Failure:
    try:
        return Row(name, read_image(resolve(root, name), size))
    except (MediaError, ManifestError) as error:
        return Failure(name, str(error))
    except OSError as error:
        return Failure(name, error.strerror or str(error))


def _listen(name: str, root: Path, config: VoiceConfig) -> Row | Failure:
    try:
        vectors, frames = read_voice_vectors(resolve(root, name), config)
        return Row(name, vectors.reshape(-1), frames)
    except (MediaError, ManifestError) as error:
        return Failure(name, str(error))
    except OSError as error:
        return Failure(name, error.strerror or str(error))


def _columns(rows: Sequence[Row], config: ExtractConfig, kind: str) -> dict[str, np.ndarray]:
    columns = {
        "names": text_column(row.name for row in rows),
        "vectors": np.stack([row.vector for row in rows]).astype(config.stored),
    }
    if kind == VOICES:
        columns["frames"] = np.array([row.frames for row in rows], np.int32)
    return columns


def _shards(modality: Modality) -> Shards:
    return Shards(modality.path.with_suffix(".shards"), modality.kind)


def _same_settings(table: Table, modality: Modality) -> bool:
    mine, theirs = modality.config["settings"], table.config.get("settings", {})
    return canonical_json(mine) == canonical_json(theirs)


def _difference(table: Table, modality: Modality) -> str:
    mine, theirs = modality.config["settings"], dict(table.config.get("settings", {}))
    differing = [name for name in mine if mine[name] != theirs.get(name)]
    name = differing[0] if differing else next(name for name in theirs if name not in mine)
    return f"{name}: {theirs.get(name)}, now {mine.get(name)}; all rows are made anew"


def _what(modality: Modality) -> str:
    return "images" if modality.kind == IMAGES else "voices"
