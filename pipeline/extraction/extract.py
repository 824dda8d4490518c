"""Stage: images and voices of a manifest to ``images.h5`` and ``voices.h5``.

Rows are made in the order of the manifest and put away in shards as they come, so that a call that
was killed has lost seconds of work at the most; the next call does what is missing.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from ivr.errors import IvrError
from ivr.features.image import EncoderError, WeightsError, require_encoder
from ivr.features.store import Shards, Table, assemble, text_column
from ivr.features.waveform_augmentation import change_of, changed_name, changes_of, file_of
from ivr.pipeline.datasets.manifest import (
    Manifest,
    ManifestError,
    read_manifest,
    resolve,
    write_manifest,
)
from ivr.pipeline.runtime.device import DeviceError
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.progress import progress, say
from ivr.pipeline.runtime.stop import Stop

from .extract_config import ExtractConfig
from .feature_schema import VOICES, difference, held_tables, same_settings, shards_of
from .modality import Modality, image_modality, voice_modality
from .parallel_readers import LostReadersError
from .worker_tasks import Failure, FeatureRow, file_stamp


class ExtractError(IvrError):
    """An extraction that cannot be done, in one line."""


@dataclass(frozen=True)
class Extracted:
    """What became of one modality.

    Attributes:
        path: the feature file.
        rows: rows in it, 0 where it was not written.
        new: rows made by this call.
        skipped: names of files that could not be used, and of voices that could not be changed.
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
        items: names in the manifest, and the voices as they are to be changed.
        done: of these, already extracted with the same settings.
        bytes: size of the finished file's vectors.
    """

    path: Path
    items: int
    done: int
    bytes: int


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
        out: folder for ``images.h5``, ``voices.h5`` and a copy of the manifest; a part goes to a
            folder of its own in it (:meth:`ivr.pipeline.extraction.job_array.Part.folder`).
        config: how.
        image_root: folder that image names start from; the manifest's own by default.
        voice_root: the same for voices.

    Raises:
        EncoderError, ManifestError, WeightsError, BusyError, StoreError, DeviceError,
            ReadersError: see their modules.
        ExtractError: nothing could be read, or a damaged file with ``strict``.
    """
    require_encoder(config.image.encoder)
    manifest = read_manifest(manifest_path)
    folder = config.part.folder(out) if config.part else out
    roots = image_root or manifest_path.parent, voice_root or manifest_path.parent
    with only_writer(folder):
        modalities = _modalities(manifest, folder, config, *roots)
        stop = Stop(config.time_limit)
        with stop.on_signals():
            extracted = tuple(_extract(modality, config, stop) for modality in modalities)
        finished = not any(result.left for result in extracted)
        if finished and not _same_file(manifest_path, folder / "manifest.csv"):
            write_manifest(folder / "manifest.csv", manifest)
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
    require_encoder(config.image.encoder)
    manifest = read_manifest(manifest_path)
    folder = config.part.folder(out) if config.part else out
    roots = image_root or manifest_path.parent, voice_root or manifest_path.parent
    plans = []
    for modality in _modalities(manifest, folder, config, *roots):
        tables = _tables(modality)
        _say_made_anew(modality, tables)
        _, finished = _finished(modality, tables)
        _say_kept_changes(modality, finished)
        done = len(finished & set(modality.names))
        size = len(modality.names) * modality.dim * np.dtype(config.stored).itemsize
        plans.append(Plan(modality.path, len(modality.names), done, size))
    return tuple(plans)


def _modalities(
    manifest: Manifest, folder: Path, config: ExtractConfig, image_root: Path, voice_root: Path
) -> list[Modality]:
    """Return what there is to extract; loads the encoder where there are images."""
    images = [item.name for item in manifest.images()]
    voices = [item.name for item in manifest.voices()]
    if config.part:
        images, voices = list(config.part.of(images)), list(config.part.of(voices))
    found = []
    try:
        if images:
            found.append(image_modality(images, folder, image_root.absolute(), config))
        if voices:
            found.append(voice_modality(voices, folder, voice_root.absolute(), config))
    except (EncoderError, WeightsError, DeviceError):
        raise
    except ValueError as error:
        raise ExtractError(str(error)) from error
    return found


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _extract(modality: Modality, config: ExtractConfig, stop: Stop) -> Extracted:
    tables = _tables(modality)
    _say_made_anew(modality, tables)
    sources, finished = _finished(modality, tables)
    _say_kept_changes(modality, finished)
    size = config.batch_size or _begun_with(sources, modality.path) or 0
    if not size and not finished.issuperset(modality.names):
        size = modality.usual_batch()
    batches = _missing(modality.names, finished, max(1, size))
    go_on = batches and not stop.acted_on
    noted = modality.recording(batch_size=size)
    new, skipped = _fill(noted, batches, config, stop) if go_on else (0, [])
    left = sum(map(len, batches)) - new - len(skipped)
    unread = set(skipped)
    skipped = [name for name in skipped if not change_of(name) or file_of(name) not in unread]
    if left:
        return Extracted(modality.path, 0, new, tuple(skipped), left)
    if not new and finished.isdisjoint(modality.names):
        if config.part:  # other parts may be readable; merging refuses where none is
            _shards(modality).clear()
            return Extracted(modality.path, 0, 0, tuple(skipped), 0)
        raise ExtractError(
            f"none of {len(skipped)} {modality.what} could be read, e.g. {skipped[0]}; "
            "say where they are with --image-root and --voice-root"
        )
    rows = len(finished)
    # A file whose rows are not all finished holds those of files that were replaced.
    whole = [table.path for table in sources if table.rows == len(finished)]
    if new or len(sources) != 1 or whole != [modality.path]:
        rows = _assemble(modality)
    _shards(modality).clear()
    return Extracted(modality.path, rows, new, tuple(skipped), 0)


def _tables(modality: Modality) -> list[Table]:
    """Return the feature file, where there is one, and the shards."""
    return held_tables(modality.path, modality.kind)


def _begun_with(sources: Sequence[Table], whole: Path) -> int:
    """Return the batch size of the call whose shards are gone on with, 0 for none.

    The last bits of a vector depend on it: what another call has begun is ended in the same way.
    """
    for table in sources:
        size = table.config.get("made_with", {}).get("batch_size")
        if table.path != whole and type(size) is int and size > 0:
            return size
    return 0


def _say_made_anew(modality: Modality, tables: Sequence[Table]) -> None:
    """Name one difference between the settings and those that rows were made with, if any."""
    for table in tables:
        if not same_settings(table.config, modality.config):
            found = difference(table.config, modality.config)
            say(f"{modality.path}: was made with other settings ({found}; all rows are made anew)")
            dropped = changes_of(table.text("names")) - changes_of(modality.names)
            if dropped:
                say(f"{modality.path}: but not those of {_asked_again(dropped)}")
            return


def _say_kept_changes(modality: Modality, finished: Collection[str]) -> None:
    """Name the changes that this call does not make and some of its voices lack, if any."""
    kept = changes_of(finished) - changes_of(modality.names)
    recorded = [name for name in modality.names if not change_of(name)]
    lacking = {
        change
        for change in kept
        if any(changed_name(name, change) not in finished for name in recorded)
    }
    if lacking:
        say(f"{modality.path}: not all voices have rows of {_asked_again(lacking)}")


def _asked_again(changes: Collection[str]) -> str:
    named = sorted(changes)
    return f"{', '.join(named)}; make them with {' '.join(f'--augment {name}' for name in named)}"


def _finished(modality: Modality, tables: Sequence[Table]) -> tuple[list[Table], set[str]]:
    """Return the tables that hold rows made with these settings, and the names finished in them.

    A name is not finished where the file behind it is another one now (a second data set that also
    calls its images 1.tif, 2.tif ...); a file that is gone keeps its row.
    """
    same = [table for table in tables if same_settings(table.config, modality.config)]
    stamps: dict[str, int] = {}
    for table in same:
        stamps |= zip(table.text("names"), table.read("stamps").tolist(), strict=True)
    held = set(map(file_of, stamps))
    now = {
        file: _stamp(modality.root, file)
        for file in dict.fromkeys(map(file_of, modality.names))
        if file in held
    }
    # All rows of such a file go, also those of changes that this call does not make.
    replaced = {
        name for name, stamp in stamps.items() if now.get(file_of(name)) not in (None, stamp)
    }
    return same, set(stamps) - replaced


def _stamp(root: Path, file: str) -> int | None:
    """Return the stamp of ``file`` below ``root``, None where it cannot be read."""
    try:
        return file_stamp(resolve(root, file))
    except (OSError, ManifestError):
        return None


def _missing(names: Sequence[str], finished: Collection[str], size: int) -> list[list[str]]:
    """Return the names that are not finished, those of one batch of ``names`` together.

    The last bits of a vector depend on how many images share its forward pass. So batches are cut
    from the manifest, not from what is missing, and a call that goes on makes the same bits; and
    from each change alone, so that it does not matter which others there are.
    """
    groups = [list(group) for _, group in groupby(names, change_of)]
    batches = [
        group[start : start + size] for group in groups for start in range(0, len(group), size)
    ]
    missing = [[name for name in batch if name not in finished] for batch in batches]
    return [batch for batch in missing if batch]


def _fill(
    modality: Modality, batches: Sequence[Sequence[str]], config: ExtractConfig, stop: Stop
) -> tuple[int, list[str]]:
    """Make the rows of ``batches``, put them away in shards; return how many, and the skipped.

    A file that cannot be read is named once, not for each of its changes.

    Whatever ends this early, the batches that were finished are kept.
    """
    pending, skipped, new, opened = list[FeatureRow](), dict[str, str](), 0, time.monotonic()
    try:
        for batch in _made(modality, batches, stop):
            rows = [row for row in batch if isinstance(row, FeatureRow)]
            pending += rows
            new += len(rows)
            for failure in (row for row in batch if isinstance(row, Failure)):
                if config.strict:
                    raise ExtractError(f"{failure.name}: {failure.reason} (stopped by --strict)")
                if not change_of(failure.name) or file_of(failure.name) not in skipped:
                    say(f"skipped {failure.name}: {failure.reason}")
                skipped[failure.name] = failure.reason
            late = time.monotonic() - opened > config.shard_seconds
            if pending and (len(pending) >= config.shard_rows or late):
                _put_away(modality, pending, config)
                pending, opened = [], time.monotonic()
    finally:
        if pending:
            _put_away(modality, pending, config)
    return new, list(skipped)


def _made(
    modality: Modality, batches: Sequence[Sequence[str]], stop: Stop
) -> Iterator[list[FeatureRow | Failure]]:
    """Yield the rows of one batch after the other, until it is time to stop.

    Time that is up is obeyed once a row was made, so that calls get somewhere however short they
    are and however many damaged files come first.
    """
    total, any_row = sum(map(len, batches)), False
    try:
        with (
            closing(modality.vectorise(batches)) as made,
            closing(progress(made, total, modality.what)) as rows,
        ):
            for batch in batches:
                some = list(islice(rows, len(batch)))
                any_row = any_row or any(isinstance(row, FeatureRow) for row in some)
                yield some
                if stop and (any_row or stop.signalled):
                    stop.acted_on = True
                    return
            next(rows, None)  # lets the progress end, with its last line
    except KeyboardInterrupt:
        if not stop:
            raise
        stop.acted_on = True
    except LostReadersError:
        # A terminal and a batch system signal the readers as well as this process.
        if not stop:
            raise
        stop.acted_on = True


def _put_away(modality: Modality, rows: Sequence[FeatureRow], config: ExtractConfig) -> None:
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
    # The order does not depend on which call made the changes.
    recorded = [name for name in modality.names if not change_of(name)]
    others = sorted(finished - set(recorded))
    for table in sources:
        if table.path == modality.path:
            table.verify()  # its rows get a new digest, which must not bless a flipped byte
    # Not the row of a file that was replaced by one that cannot be used.
    names = [*(name for name in recorded if name in finished), *others]
    return assemble(modality.path, modality.kind, modality.config, sources, names)


def _shards(modality: Modality) -> Shards:
    return shards_of(modality.path, modality.kind)
