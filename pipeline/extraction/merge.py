"""Stage: the features that the tasks of a job array extracted, to one folder of features."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ivr.errors import IvrError
from ivr.features.atomic_files import file_digest
from ivr.features.shards import assemble
from ivr.features.store import Table, open_table
from ivr.features.waveform_augmentation import (
    change_of,
    changed_name,
    changes_of,
    file_of,
    mixed_in,
)
from ivr.pipeline.datasets.manifest import Item, read_manifest
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.progress import progress, warn
from ivr.pipeline.runtime.words import counted

from .earlier_stamps import has_earlier_stamps
from .extract_result import MergedModality, MergeResult
from .feature_schema import (
    FILES,
    checked,
    differences,
    held_tables,
    joint_config,
    same_settings,
    shards_of,
)
from .finished_rows import has_its_voices
from .job_array import FOLDER, task_of_folder
from .kept_manifest import (
    copy_spellings,
    keep_manifest,
    kept_roots,
    require_place_of_manifest,
)
from .other_voices import Others, OtherVoices


class MergeError(IvrError):
    """Folders that cannot be merged, in one line."""


def merge(
    out: str | Path, folders: Sequence[str | Path] = (), *, overwrite: bool = False
) -> MergeResult:
    """Write to ``out`` the rows of all tasks of a job array, as one call of extract would have.

    The sha256 of every task's files is verified before. Rows that ``out`` already has, made with
    the same settings, are kept. The folders of the tasks are left as they are.

    Args:
        out: folder of features.
        folders: folders of the tasks; by default those that ``ivr extract --shard`` made in
            ``out``.
        overwrite: replace features in ``out`` that were made with other settings; without it they
            are refused.

    Returns:
        Rows and lacking names of each modality.

    Raises:
        MergeError: no folders, or some are missing, unfinished, or of other manifests or settings.
        StoreError, ManifestError, BusyError: see their modules.
    """
    out = Path(out)
    tasks = [Path(folder) for folder in folders] or sorted((out / FOLDER).glob("*-of-*"))
    _require_all(out, tasks)
    manifest = read_manifest(tasks[0] / "manifest.csv")
    items: Mapping[str, Sequence[Item]] = {
        "images.h5": manifest.images(),
        "voices.h5": manifest.voices(),
    }
    mixed = OtherVoices(manifest).of
    with only_writer(out):
        require_place_of_manifest(out, manifest)
        merged = {
            name: _merge(
                out / name, kind, [item.name for item in items[name]], mixed, tasks, overwrite
            )
            for name, kind in FILES.items()
            if items[name]
        }
        keep_manifest(out, manifest, roots=kept_roots(tasks[0]))
        copy_spellings(tasks[0], out)
    return MergeResult(merged.get("images.h5"), merged.get("voices.h5"))


def _require_all(out: Path, tasks: Sequence[Path]) -> None:
    """Refuse folders that are not all finished tasks of one job array and one manifest."""
    if not tasks:
        raise MergeError(f"{out}: no tasks here; make them with ivr extract --shard I/N")
    unfinished = [task for task in tasks if not _finished(task)]
    if unfinished:
        raise MergeError(
            f"{unfinished[0]}: not finished ({len(unfinished)} of {len(tasks)} are not); "
            "call the same ivr extract --shard again"
        )
    named = [task for folder in tasks if (task := task_of_folder(folder))]
    counts = sorted({task.count for task in named})
    if len(counts) > 1:
        raise MergeError(
            f"{tasks[0].parent}: tasks of {' and of '.join(map(str, counts))} lie side by side; "
            "remove the folders that are not wanted"
        )
    there = {task.number for task in named}
    missing = [str(n) for n in range(1, counts[0] + 1) if n not in there] if named else []
    if missing:
        raise MergeError(
            f"{tasks[0].parent}: of {counts[0]} tasks {', '.join(missing)} are missing; "
            f"make them with ivr extract --shard {missing[0]}/{counts[0]}"
        )
    if len({file_digest(task / "manifest.csv") for task in tasks}) > 1:
        raise MergeError(f"{tasks[0].parent}: the tasks had different manifests")


def _finished(task: Path) -> bool:
    begun = any((task / name).with_suffix(".shards").is_dir() for name in FILES)
    return (task / "manifest.csv").is_file() and not begun


def _merge(
    path: Path,
    kind: str,
    names: Sequence[str],
    mixed: Others,
    tasks: Sequence[Path],
    overwrite: bool,
) -> MergedModality:
    """Write the feature file ``path`` from those of the tasks."""
    sources = _sources(path, kind, tasks)
    tables = [*_kept_tables(path, kind, sources, overwrite), *sources]
    if len({has_earlier_stamps(table) for table in tables}) > 1:
        raise MergeError(
            f"{path.name}: some of the files to merge were made by an earlier version of ivr; "
            "call ivr extract again for each of them"
        )
    for table in progress(tables, len(tables), "files verified"):
        table.verify()
    held: dict[str, int] = {}
    for table in tables:
        held |= zip(table.text("names"), table.read("stamps").tolist(), strict=True)
    held = _without_replaced(held, set(names), mixed)
    for change in sorted(changes_of(held)):
        lacking = sum(name in held and changed_name(name, change) not in held for name in names)
        if lacking:
            warn(f"{path}: no row of {change} for {counted(lacking, 'voice')}")
    others = sorted(set(held) - set(names))
    config = joint_config(tables, sources[0].config["settings"])
    rows = assemble(path, kind, config, tables, [*names, *others])
    shards_of(path, kind).clear()
    return MergedModality(path, rows, tuple(name for name in names if name not in held))


def _without_replaced(
    held: Mapping[str, int], names: Collection[str], mixed: Others
) -> dict[str, int]:
    """Return ``held`` without changed voices of recordings that were replaced.

    Args:
        held: stamp of each row by name.
        names: the items of the manifest.
        mixed: returns the voices that are mixed into a row.
    """

    def is_kept(name: str, stamp: int) -> bool:
        if file_of(name) in names and mixed_in(change_of(name)):
            return has_its_voices(name, mixed(name), held, held)
        return bool(mixed_in(change_of(name))) or held.get(file_of(name), stamp) == stamp

    return {name: stamp for name, stamp in held.items() if is_kept(name, stamp)}


def _sources(path: Path, kind: str, tasks: Sequence[Path]) -> list[Table]:
    """Return the tasks' tables of the feature file ``path``, all made with the same settings."""
    files = [task / path.name for task in tasks if (task / path.name).is_file()]
    if not files:
        raise MergeError(f"{path.name}: in none of the tasks' folders")
    sources = [checked(open_table(file, kind)) for file in files]
    for source in sources:
        if not same_settings(source.config, sources[0].config):
            raise MergeError(
                f"{source.path}: made with other settings than {sources[0].path} "
                f"({differences(sources[0].config, source.config)}); extract it again"
            )
    return sources


def _kept_tables(path: Path, kind: str, sources: Sequence[Table], overwrite: bool) -> list[Table]:
    """Return the feature file and the shards at ``path`` that have the settings of ``sources``."""
    kept = []
    for table in held_tables(path, kind):
        if same_settings(table.config, sources[0].config):
            kept.append(table)
        elif table.path == path:
            found = differences(table.config, sources[0].config)
            if not overwrite:
                raise MergeError(
                    f"{path}: was made with other settings than the tasks ({found}); merge into "
                    "another folder, or replace it with --overwrite"
                )
            warn(f"{path}: was made with other settings ({found}); it is replaced")
    return kept
