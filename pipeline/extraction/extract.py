"""Stage: images and voices of a manifest to ``images.h5`` and ``voices.h5``.

Rows are made in the order of the manifest and written in shards as they come, so that a call that
is killed loses seconds of work at most; the next call makes what is missing.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ivr.features.encoder_table import require_known
from ivr.features.store import Table
from ivr.features.waveform_augmentation import change_of, file_of
from ivr.pipeline.datasets.manifest import read_manifest
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.stop import Stop

from .earlier_stamps import Restamped
from .extract_config import ExtractConfig
from .extract_result import ExtractedModality, ExtractResult
from .feature_schema import held_tables, shards_of
from .finished_rows import (
    begun_batch_size,
    finished_rows,
    missing_batches,
    say_kept_changes,
)
from .kept_manifest import MediaRoots, keep_manifest, require_place_of_manifest
from .modality import Modality, image_modality, voice_modality
from .other_settings import require_settings_of_each
from .row_shards import assemble_file, write_shards
from .target import ExtractError, of_each_modality, roots_of
from .vocabulary import with_known_vocabulary
from .vocabulary_learning import with_learnt_vocabulary


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
        ManifestError, EncoderError, WeightsError, DeviceError, VocabularyError: an input that
            cannot be used.
        BusyError, StoreError, ReadersError: see their modules.
        ExtractError: ``out`` holds features of other settings and ``overwrite`` is not set, no file
            could be read, or one is damaged with ``strict``.
    """
    config = with_options(config or ExtractConfig(), options)
    stop = Stop(config.time_limit)
    require_known(config.image.encoder)
    path = Path(manifest)
    content = read_manifest(path, accept_spellings=config.accept_spellings)
    folder = config.shard.folder(Path(out)) if config.shard else Path(out)
    roots = roots_of(path, image_root, voice_root, root)
    with only_writer(folder):
        require_place_of_manifest(folder, content, path)
        config = with_known_vocabulary(config, Path(out))
        config = with_learnt_vocabulary(config, content, folder, roots[0])
        images, voices = of_each_modality(
            content, folder, roots, config, image_modality, voice_modality
        )
        require_settings_of_each((images, voices), Path(out), config)
        with stop.on_signals():
            result = ExtractResult(
                _extract(images, config, stop) if images else None,
                _extract(voices, config, stop) if voices else None,
            )
        if result.finished:
            keep_manifest(folder, content, path, MediaRoots(*roots))
        return result


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
