"""Stage: files into an archive in one pass: read, encode, write, block by block.

Each block is one version of the archive: a call that is killed keeps the blocks that it reported,
and the next call adds the rest.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from ivr.config import OptionError
from ivr.features.atomic_files import require_writable
from ivr.pipeline.extraction.file_stamps import FileStamps
from ivr.pipeline.extraction.parallel_readers import LostReadersError
from ivr.pipeline.extraction.worker_tasks import SkippedFile
from ivr.pipeline.packing.code_maker import CodeMaker
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.progress import progress, say, warn
from ivr.pipeline.runtime.stop import Stop
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .add_config import AddConfig
from .add_result import AddResult
from .add_scene import add_scene, is_scene
from .archive import Archive, open_archive
from .archive_model import open_code_maker
from .changed_columns import update_columns
from .coded_files import CodedFile, coded_files
from .item_rows import item_rows
from .known_items import KnownItem, known_items, remove_repeated, with_earlier_columns
from .lance_library import ArchiveError, is_local
from .sources import Roots, SourceItems, read_source, refuse_windows
from .wider_columns import require_exact


@dataclass
class _Work:
    """Items of one modality that are to be encoded, and the outcome so far."""

    items: SourceItems
    known: Mapping[str, KnownItem]
    unchanged: int
    updated: int
    files: FileStamps
    refused: dict[str, str]
    added: int = 0
    replaced: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> int:
        return len(self.items.names) - self.added - self.replaced - len(self.skipped)


def archive_add(
    archive: str | Path,
    source: str | Path,
    config: AddConfig | None = None,
    *,
    model: str | Path | None = None,
    image_root: str | Path | None = None,
    voice_root: str | Path | None = None,
    root: str | Path | None = None,
    **options: Any,
) -> AddResult:
    """Add the files of ``source`` that are new or changed; their codes replace earlier ones.

    An item is known by its modality and its name: its path below the root, with the prefix of the
    config before it. It is encoded if the archive does not have it, or has it from a file of
    another content. If a manifest says something else now of an item whose file is the same, its
    columns are brought up to date, and nothing is encoded.

    Args:
        archive: an archive.
        source: a manifest; a folder, whose images are added with all folders below it; or a scene,
            a TIFF or JPEG 2000 of any size, whose windows are added.
        config: how files are added; the defaults if None.
        model: a packed model or a run, by default the one that the archive was created with.
        image_root: folder that image names of a manifest are relative to, ``root`` if None.
        voice_root: folder that voice names of a manifest are relative to, ``root`` if None.
        root: folder that names are relative to, the manifest's own folder if None.
        **options: single values in place of those of ``config``, e.g. ``prefix="2026-05/"``.

    Returns:
        Numbers of rows, and the files that were skipped.

    Raises:
        OptionError: no such option, or one that does not belong to ``source``.
        ArchiveError: the archive cannot be used, the model is another one, a name stands in the
            archive for a file of another folder, no file could be read, or one is damaged with
            ``strict``.
        UnwritableError: the archive is on a disk that is only read.
        ManifestError, ReadersError: see their modules.
    """
    config = with_options(config or AddConfig(), options)
    held = open_archive(archive)
    if config.trust_mtime and not is_local(held.place):
        raise OptionError(f"{held.place}: --trust-mtime is for archives in a folder")
    if is_local(held.place):
        require_writable(Path(held.place))
    if is_scene(Path(source)):
        if voice_root is not None:
            raise OptionError(f"{source}: a scene has no voices; leave out --voice-root")
        return add_scene(held, Path(source), config, model, root or image_root)
    both = Path(root).absolute() if root is not None else None
    roots = Roots(
        both if image_root is None else Path(image_root).absolute(),
        both if voice_root is None else Path(voice_root).absolute(),
    )
    sources = read_source(
        Path(source),
        held.schema,
        roots,
        prefix=config.prefix,
        accept_spellings=config.accept_spellings,
    )
    for items in sources:
        refuse_windows(Path(source), items)
        require_exact(held.table, items.columns.schema, str(source))
    stop = Stop(config.time_limit)
    with stop.on_signals():
        work = [_work(held, _share(items, config), config, stop) for items in sources]
        maker = None
        if any(one.items.names for one in work):
            maker = open_code_maker(held, model, config.device)
            _require_encoder(maker, work, source)
        others = held.version - held.commits
        for one in work:
            if maker is not None and one.items.names and not stop.acted_on:
                _add(held, one, maker, config, stop)
            one.files.remember()
        if held.version - held.commits != others:
            # Another writer committed meanwhile, perhaps the same items.
            remove_repeated(held, {one.items.modality: one.items.names for one in work})
    return _result(held, work, config)


def _require_encoder(maker: CodeMaker, work: Sequence[_Work], source: str | Path) -> None:
    """Refuse images for a model that answers voices only, before any file is read."""
    images = any(one.items.names for one in work if one.items.modality == "image")
    if images and not maker.encodes_images:
        raise ArchiveError(
            f"{source}: has images, and the model of the archive was packed without its image "
            "encoder; leave the column image empty, or make an archive for a model with it"
        )


def _share(items: SourceItems, config: AddConfig) -> SourceItems:
    """Return the items of this task of a job array, all without one."""
    if config.shard is None:
        return items
    refused = dict(config.shard.select(tuple(items.refused.items())))
    return replace(items.part(config.shard.select(range(len(items.names)))), refused=refused)


def _name_refused(refused: Mapping[str, str], config: AddConfig) -> None:
    """Name the files that cannot be added under their names.

    Raises:
        ArchiveError: there is one, with ``strict``.
    """
    for name, reason in refused.items():
        if config.strict:
            raise ArchiveError(f"{name}: {reason} (stopped by --strict)")
        warn(f"skipped {visible(name)}: {reason}")


def _work(archive: Archive, items: SourceItems, config: AddConfig, stop: Stop) -> _Work:
    """Return the items of ``items`` that are new or changed."""
    _name_refused(items.refused, config)
    known = known_items(archive, items.modality, items.names)
    files = FileStamps(items.root, _remembered(archive, items) if config.trust_mtime else None)
    of_known = [file for file, name in zip(items.files, items.names, strict=True) if name in known]
    now = files.now(of_known, lambda: stop.signalled)
    wanted, moved, same = [], [], []
    for place, (file, name) in enumerate(zip(items.files, items.names, strict=True)):
        item = known.get(name)
        # A file that is gone keeps its row; ivr archive verify --files names it.
        if item is None or now[file] not in (None, item.stamp):
            wanted.append(place)
            if item is not None and item.root != str(items.root) and not config.moved:
                raise ArchiveError(
                    f"{name} is in {archive.place} from {item.root}, with another content; give "
                    "--prefix to keep both, or --moved if these files replace those"
                )
            continue
        same.append(place)
        if now[file] == item.stamp and item.root != str(items.root):
            moved.append(place)
    if moved and config.moved:
        _note_root(archive, items.part(moved))
    rest = items.part(same)
    updated = update_columns(archive, rest, [known[name].row_id for name in rest.names])
    refused = dict(items.refused)
    return _Work(items.part(wanted), known, len(same) - updated, updated, files, refused)


def _note_root(archive: Archive, items: SourceItems) -> None:
    """Write to the rows of ``items``, whose content is the same, where their files are now."""
    many = len(items.names)
    archive.update(
        pa.table(
            {
                "modality": pa.array([items.modality] * many, pa.string()),
                "name": pa.array(items.names, pa.string()),
                "root": pa.array([str(items.root)] * many, pa.string()),
                "file": pa.array(items.files, pa.string()),
            }
        )
    )
    say(f"{counted(many, items.modality)} found below {items.root} from now on")


def _remembered(archive: Archive, items: SourceItems) -> Path:
    name = xxhash.xxh3_64_hexdigest(f"{items.modality} {items.root}".encode())
    return Path(archive.place) / f".{name}.mtimes"


def _add(archive: Archive, work: _Work, maker: CodeMaker, config: AddConfig, stop: Stop) -> None:
    """Encode the items of ``work`` and write them.

    Whatever ends this early, the rows that were encoded are written.
    """
    pending: list[tuple[int, CodedFile]] = []
    opened = float("inf")
    try:
        for place, coded in _encoded(work, maker, config, stop):
            name = work.items.names[place]
            if isinstance(coded, SkippedFile):
                if config.strict:
                    raise ArchiveError(f"{coded.name}: {coded.reason} (stopped by --strict)")
                warn(f"skipped {coded.name}: {coded.reason}")
                work.skipped[name] = coded.reason
                continue
            if not pending:
                opened = time.monotonic()
            pending.append((place, coded))
            late = time.monotonic() - opened > config.block_seconds
            if len(pending) >= config.block_rows or late:
                _write(archive, work, pending)
                pending = []
    finally:
        if pending:
            _write(archive, work, pending)


def _encoded(
    work: _Work, maker: CodeMaker, config: AddConfig, stop: Stop
) -> Iterator[tuple[int, CodedFile | SkippedFile]]:
    """Yield the place and the code of one item after the other, until it is time to stop.

    A time limit is obeyed only after an item was encoded, so that repeated calls make progress.
    """
    what = "images" if work.items.modality == "image" else "voices"
    any_code = False
    with (
        stop.ending(LostReadersError),
        closing(coded_files(work.items, maker, config)) as made,
        closing(progress(made, len(work.items.names), what)) as coded,
    ):
        for place, one in enumerate(coded):
            any_code = any_code or isinstance(one, CodedFile)
            yield place, one
            if stop and (any_code or stop.signalled):
                stop.acted_on = True
                return


def _write(archive: Archive, work: _Work, pending: Sequence[tuple[int, CodedFile]]) -> None:
    """Write the rows of ``pending``, new ones beside the others."""
    names = [work.items.names[place] for place, _ in pending]
    others = [one for one, name in zip(pending, names, strict=True) if name in work.known]
    new = [one for one, name in zip(pending, names, strict=True) if name not in work.known]
    work.added += archive.append(item_rows(archive.settings.bits, work.items, new))
    if others:
        rows = item_rows(archive.settings.bits, work.items, others)
        rows = with_earlier_columns(archive, rows, work.items.columns.column_names)
        work.replaced += archive.write(rows)
    for place, coded in pending:
        work.files.note(work.items.files[place], coded.row.stamp, coded.row.state)


def _result(archive: Archive, work: Sequence[_Work], config: AddConfig) -> AddResult:
    skipped = {name: why for one in work for name, why in (one.refused | one.skipped).items()}
    added, replaced, unchanged, updated, left = (
        sum(getattr(one, name) for one in work)
        for name in ("added", "replaced", "unchanged", "updated", "left")
    )
    some = added or replaced or unchanged or updated or left
    if skipped and not some and not config.shard:
        first = next(iter(skipped.items()))
        raise ArchiveError(
            f"none of {counted(len(skipped), 'file')} could be read, e.g. {first[0]}: {first[1]}"
        )
    return AddResult(
        archive.place, archive.version, added, replaced, unchanged, tuple(skipped), left,
        updated=updated,
    )  # fmt: skip
