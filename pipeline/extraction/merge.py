"""Stage: the parts that the jobs of a job array extracted, to one folder of features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ivr.errors import IvrError
from ivr.features.atomic_files import file_digest
from ivr.features.store import Table, assemble, open_table
from ivr.features.waveform_augmentation import changed_name, changes_of, file_of
from ivr.pipeline.datasets.manifest import Item, read_manifest, write_manifest
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.progress import progress, say

from .feature_schema import (
    IMAGES,
    VOICES,
    checked,
    difference,
    held_tables,
    same_settings,
    shards_of,
)
from .job_array import FOLDER, part_of_folder

FILES = {"images.h5": IMAGES, "voices.h5": VOICES}


class MergeError(IvrError):
    """Parts that cannot be put together, in one line."""


@dataclass(frozen=True)
class Merged:
    """What became of one modality.

    Attributes:
        path: the feature file.
        rows: rows in it.
        lacking: names of the manifest that no part has a row of: files that could not be used.
    """

    path: Path
    rows: int
    lacking: tuple[str, ...]

    def summary(self) -> str:
        """Return what became of the modality in one line."""
        lacking = f", {len(self.lacking)} files skipped" if self.lacking else ""
        return f"{self.path}: {self.rows} rows{lacking}"


def merge(out: Path, folders: Sequence[Path] = ()) -> tuple[Merged, ...]:
    """Write to ``out`` the rows of all parts, as one call of ``ivr extract`` would have.

    Every byte of the parts is compared with their sha256 before. Rows that ``out`` has already,
    made with the same settings, are kept. The parts are left as they are.

    Args:
        out: folder of features.
        folders: the parts; by default those that ``ivr extract --shard`` made in ``out``.

    Raises:
        MergeError: no parts, some missing or unfinished, or of different manifests or settings.
        StoreError, ManifestError, BusyError: see their modules.
    """
    parts = list(folders) or sorted((out / FOLDER).glob("*-of-*"))
    _require_all(out, parts)
    manifest = read_manifest(parts[0] / "manifest.csv")
    with only_writer(out):
        items: Mapping[str, Sequence[Item]] = {
            "images.h5": manifest.images(),
            "voices.h5": manifest.voices(),
        }
        merged = tuple(
            _merge(out / name, kind, [item.name for item in items[name]], parts)
            for name, kind in FILES.items()
            if items[name]
        )
        write_manifest(out / "manifest.csv", manifest)
    return merged


def _require_all(out: Path, parts: Sequence[Path]) -> None:
    if not parts:
        raise MergeError(f"{out}: no parts here; make them with ivr extract --shard I/N")
    unfinished = [part for part in parts if not _finished(part)]
    if unfinished:
        raise MergeError(
            f"{unfinished[0]}: not finished ({len(unfinished)} of {len(parts)} are not); "
            "call the same ivr extract --shard again"
        )
    named = [part for folder in parts if (part := part_of_folder(folder))]
    counts = sorted({part.count for part in named})
    if len(counts) > 1:
        raise MergeError(
            f"{parts[0].parent}: parts of {' and of '.join(map(str, counts))} lie side by side; "
            "remove those that are not wanted"
        )
    there = {part.number for part in named}
    missing = [str(n) for n in range(1, counts[0] + 1) if n not in there] if named else []
    if missing:
        raise MergeError(
            f"{parts[0].parent}: of {counts[0]} parts {', '.join(missing)} are missing; "
            f"make them with ivr extract --shard {missing[0]}/{counts[0]}"
        )
    if len({file_digest(part / "manifest.csv") for part in parts}) > 1:
        raise MergeError(f"{parts[0].parent}: the parts were made of different manifests")


def _finished(part: Path) -> bool:
    begun = any((part / name).with_suffix(".shards").is_dir() for name in FILES)
    return (part / "manifest.csv").is_file() and not begun


def _merge(path: Path, kind: str, names: Sequence[str], parts: Sequence[Path]) -> Merged:
    files = [part / path.name for part in parts if (part / path.name).is_file()]
    if not files:
        raise MergeError(f"{path.name}: in none of the parts")
    sources = [checked(open_table(file, kind)) for file in files]
    config = sources[0].config
    for source in sources:
        if not same_settings(source.config, config):
            raise MergeError(
                f"{source.path}: made with other settings than {sources[0].path} "
                f"({difference(config, source.config)}); extract it again"
            )
    before = _before(path, kind, sources[0])
    for source in progress([*before, *sources], len(before) + len(sources), "files verified"):
        source.verify()
    held: dict[str, int] = {}
    for source in (*before, *sources):
        held |= zip(source.text("names"), source.read("stamps").tolist(), strict=True)
    # Not what was made of a recording that was replaced.
    held = {name: stamp for name, stamp in held.items() if held.get(file_of(name), stamp) == stamp}
    for change in sorted(changes_of(held)):
        lacking = sum(name in held and changed_name(name, change) not in held for name in names)
        if lacking:
            say(f"{path}: {lacking} voices have no row of {change}")
    others = sorted(set(held) - set(names))
    rows = assemble(path, kind, config, [*before, *sources], [*names, *others])
    shards_of(path, kind).clear()
    return Merged(path, rows, tuple(name for name in names if name not in held))


def _before(path: Path, kind: str, source: Table) -> list[Table]:
    """Return what is there already and may stay: the feature file, and what a call had begun."""
    kept = []
    for table in held_tables(path, kind):
        if same_settings(table.config, source.config):
            kept.append(table)
        elif table.path == path:
            found = difference(table.config, source.config)
            say(f"{path}: was made with other settings ({found}); it is replaced")
    return kept
