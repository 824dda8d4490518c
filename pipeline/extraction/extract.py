"""Stage: images and voices of a manifest to ``images.h5`` and ``voices.h5``.

Rows are made in the order of the manifest and written in shards as they come, so that a call that
is killed loses seconds of work at most; the next call makes what is missing.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ivr.features.encoders import require_encoder
from ivr.features.store import Table
from ivr.features.waveform_augmentation import change_of, file_of
from ivr.pipeline.datasets.manifest import Manifest, read_manifest
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.stop import Stop

from .earlier_stamps import Restamped
from .extract_config import ExtractConfig
from .extract_result import ExtractedModality, ExtractPlan, ExtractResult, PlannedModality
from .feature_schema import held_tables, shards_of
from .finished_rows import (
    begun_batch_size,
    finished_rows,
    missing_batches,
    say_kept_changes,
)
from .kept_manifest import keep_manifest, require_place_of_manifest
from .modality import (
    Modality,
    Target,
    image_modality,
    image_target,
    voice_modality,
    voice_target,
)
from .other_settings import require_same_settings
from .row_shards import ExtractError, assemble_file, write_shards

Made = TypeVar("Made")
Maker = Callable[[Sequence[str], Path, Path, ExtractConfig], Made]


def extract(
    manifest: str | Path,
    out: str | Path,
    config: ExtractConfig | None = None,
    *,
    image_root: str | Path | None = None,
    voice_root: str | Path | None = None,
    root: str | Path | None = None,
    **options: Any,
) -> ExtractResult:
    """Extract the features that are missing in ``out``.

    Args:
        manifest: the manifest.
        out: folder for ``images.h5``, ``voices.h5`` and a copy of the manifest; a task of a job
            array writes to a folder of its own in it
            (:meth:`ivr.pipeline.extraction.job_array.JobArrayTask.folder`).
        config: how features are made and the work is divided; the defaults if None.
        image_root: folder that image names are relative to, ``root`` if None.
        voice_root: folder that voice names are relative to, ``root`` if None.
        root: folder that names are relative to, the manifest's own folder if None.
        **options: single values in place of those of ``config``, e.g. ``encoder="alexnet"`` (see
            :func:`ivr.pipeline.runtime.config_options.with_options`).

    Returns:
        Rows, new rows and skipped files of each modality.

    Raises:
        OptionError: no such option.
        ManifestError, EncoderError, WeightsError, DeviceError: an input that cannot be used.
        BusyError, StoreError, ReadersError: see their modules.
        ExtractError: ``out`` holds features of other settings and ``overwrite`` is not set, no file
            could be read, or one is damaged with ``strict``.
    """
    config = with_options(config or ExtractConfig(), options)
    require_encoder(config.image.encoder)
    path = Path(manifest)
    content = read_manifest(path, accept_spellings=config.accept_spellings)
    folder = config.shard.folder(Path(out)) if config.shard else Path(out)
    roots = _roots(path, image_root, voice_root, root)
    with only_writer(folder):
        require_place_of_manifest(folder, content, path)
        images, voices = _both(content, folder, roots, config, image_modality, voice_modality)
        _require_same_settings((images, voices), Path(out), config)
        stop = Stop(config.time_limit)
        with stop.on_signals():
            result = ExtractResult(
                _extract(images, config, stop) if images else None,
                _extract(voices, config, stop) if voices else None,
            )
        if result.finished:
            keep_manifest(folder, content, path)
        return result


def plan(
    manifest: str | Path,
    out: str | Path,
    config: ExtractConfig | None = None,
    *,
    image_root: str | Path | None = None,
    voice_root: str | Path | None = None,
    root: str | Path | None = None,
    **options: Any,
) -> ExtractPlan:
    """Return what :func:`extract` would do with the same arguments.

    Writes nothing, and neither loads nor downloads weights.

    Raises:
        OptionError, EncoderError, ManifestError, WeightsError, StoreError: see their modules.
        ExtractError: ``out`` holds features of other settings and ``overwrite`` is not set.
    """
    config = with_options(config or ExtractConfig(), options)
    require_encoder(config.image.encoder)
    path = Path(manifest)
    folder = config.shard.folder(Path(out)) if config.shard else Path(out)
    roots = _roots(path, image_root, voice_root, root)
    content = read_manifest(path, accept_spellings=config.accept_spellings)
    require_place_of_manifest(folder, content, path)
    images, voices = _both(content, folder, roots, config, image_target, voice_target)
    _require_same_settings((images, voices), Path(out), config)
    return ExtractPlan(
        _plan(images, config) if images else None, _plan(voices, config) if voices else None
    )


def _roots(
    manifest: Path,
    image_root: str | Path | None,
    voice_root: str | Path | None,
    root: str | Path | None,
) -> tuple[Path, Path]:
    """Return the absolute folders that image and voice names are relative to."""
    both = root or manifest.parent
    return Path(image_root or both).absolute(), Path(voice_root or both).absolute()


def _both(
    manifest: Manifest,
    folder: Path,
    roots: tuple[Path, Path],
    config: ExtractConfig,
    of_images: Maker[Made],
    of_voices: Maker[Made],
) -> tuple[Made | None, Made | None]:
    """Return what ``of_images`` and ``of_voices`` make of the names, None without names."""
    images, voices = manifest.image_names(), manifest.voice_names()
    if config.shard:
        images, voices = list(config.shard.select(images)), list(config.shard.select(voices))
    image_root, voice_root = roots
    return (
        of_images(images, folder, image_root, config) if images else None,
        of_voices(voices, folder, voice_root, config) if voices else None,
    )


def _require_same_settings(
    targets: Iterable[Target | None], out: Path, config: ExtractConfig
) -> None:
    """Refuse before any row is made: see :mod:`ivr.pipeline.extraction.other_settings`."""
    for target in targets:
        if target is not None:
            require_same_settings(target, out, config)


def _plan(target: Target, config: ExtractConfig) -> PlannedModality:
    _, finished = finished_rows(target, held_tables(target.path, target.kind))
    say_kept_changes(target, finished)
    done = len(finished & set(target.names))
    size = len(target.names) * target.dim * np.dtype(config.stored).itemsize
    return PlannedModality(target.path, len(target.names), done, size)


def _extract(modality: Modality, config: ExtractConfig, stop: Stop) -> ExtractedModality:
    tables = held_tables(modality.path, modality.kind)
    sources, finished = finished_rows(modality, tables, lambda: stop.signalled)
    say_kept_changes(modality, finished)
    size = config.batch_size or begun_batch_size(sources, modality.path)
    if not size and not finished.issuperset(modality.names):
        size = modality.usual_batch()
    batches = missing_batches(modality.names, finished, max(1, size))
    noted = modality.recording(batch_size=size)
    proceed = batches and not stop.acted_on
    new, skipped = write_shards(noted, batches, config, stop) if proceed else (0, [])
    modality.files.remember()
    left = sum(map(len, batches)) - new - len(skipped)
    unread = set(skipped)
    named = tuple(name for name in skipped if not change_of(name) or file_of(name) not in unread)
    if left:
        return ExtractedModality(modality.path, 0, new, named, left)
    rows = len(finished)
    if not new and finished.isdisjoint(modality.names):
        _require_a_row(modality, config, named)
        rows = 0
    elif new or not _is_whole(sources, modality, rows):
        written = assemble_file(modality)
        rows, named = len(written), (*named, *_changed_meanwhile(modality, written, unread))
    shards_of(modality.path, modality.kind).clear()
    return ExtractedModality(modality.path, rows, new, named, 0)


def _is_whole(sources: Sequence[Table], modality: Modality, rows: int) -> bool:
    """Return whether the feature file has the finished rows, and no row of a replaced file."""
    (source,) = sources if len(sources) == 1 else (None,)
    return (
        source is not None
        and source.path == modality.path
        and source.rows == rows
        and not isinstance(source, Restamped)
    )


def _changed_meanwhile(
    modality: Modality, written: Collection[str], skipped: Collection[str]
) -> list[str]:
    """Name the rows that were made from an earlier content of a file than its other rows."""
    names = [name for name in modality.names if name not in written and name not in skipped]
    for name in names:
        warn(f"skipped {name}: the file changed during this call; call again")
    return names


def _require_a_row(modality: Modality, config: ExtractConfig, skipped: Sequence[str]) -> None:
    """Refuse a manifest of which no file can be read.

    A task of a job array may have unreadable files only: other tasks may have readable ones, and
    merging refuses if none has.
    """
    if not config.shard:
        raise ExtractError(
            f"none of {len(skipped)} {modality.what} could be read, e.g. {skipped[0]}; "
            "say where they are with --image-root and --voice-root"
        )
