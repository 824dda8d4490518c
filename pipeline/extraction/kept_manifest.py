"""The manifest in a folder of features, the spellings merged in it, and where its files lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import TEXT, replaced_text, require_replaceable
from ivr.features.regular_files import UnreadableFileError
from ivr.features.store import StoreError
from ivr.pipeline.datasets.manifest import MANIFEST as MANIFEST_FILE
from ivr.pipeline.datasets.manifest import Manifest, write_manifest
from ivr.pipeline.runtime.digests import rewriting
from ivr.pipeline.runtime.json_files import ContentError, load_json

MANIFEST, SPELLINGS, ROOTS = "manifest.csv", "spellings.json", "roots.json"


@dataclass(frozen=True)
class MediaRoots:
    """The folders that the names of a manifest are relative to.

    Attributes:
        images: folder of the images.
        voices: folder of the voices.
    """

    images: Path
    voices: Path


def keep_manifest(
    folder: Path, manifest: Manifest, source: Path | None = None, roots: MediaRoots | None = None
) -> None:
    """Write ``manifest`` to ``folder``, which spellings were merged, and where its files lie.

    Args:
        folder: a folder of features.
        manifest: the manifest that was extracted.
        source: the file it was read from; if that is the file in ``folder``, it stays as it is.
        roots: where the files lie; None if that is not known.
    """
    with rewriting(folder, [MANIFEST, SPELLINGS, ROOTS]):
        if roots is None:
            (folder / ROOTS).unlink(missing_ok=True)
        else:
            with replaced_text(folder / ROOTS) as file:
                record = {"images": str(roots.images), "voices": str(roots.voices)}
                file.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        in_place = _is_in_place(folder, source)
        if manifest.merged or not in_place:
            write_manifest(folder / MANIFEST, manifest)
        if manifest.merged:
            with replaced_text(folder / SPELLINGS) as file:
                file.write(json.dumps(_record(manifest), indent=2, ensure_ascii=False) + "\n")
        elif not in_place:
            (folder / SPELLINGS).unlink(missing_ok=True)


def require_place_of_manifest(folder: Path, manifest: Manifest, source: Path | None = None) -> None:
    """Refuse before an extraction or a merge what :func:`keep_manifest` would refuse after it.

    Raises:
        InTheWayError: something else than a manifest lies in its place.
    """
    if manifest.merged or not _is_in_place(folder, source):
        require_replaceable(folder / MANIFEST, MANIFEST_FILE)
    if manifest.merged:
        require_replaceable(folder / SPELLINGS, TEXT)
    require_replaceable(folder / ROOTS, TEXT)


def _is_in_place(folder: Path, source: Path | None) -> bool:
    target = folder / MANIFEST
    return source is not None and target.exists() and source.samefile(target)


def copy_spellings(task: Path, folder: Path) -> None:
    """Write to ``folder`` which spellings the ``task`` of a job array merged, if any."""
    if (task / SPELLINGS).is_file():
        with rewriting(folder, [SPELLINGS]), replaced_text(folder / SPELLINGS) as file:
            file.write((task / SPELLINGS).read_text(encoding="utf-8"))


def kept_roots(folder: Path) -> MediaRoots | None:
    """Return where the files of the manifest in ``folder`` lay when they were extracted.

    Returns:
        None for a folder of an earlier version, which does not record it.

    Raises:
        StoreError: the record cannot be read.
    """
    path = folder / ROOTS
    if not path.is_file():
        return None
    try:
        record = load_json(path, dict[str, str])
        return MediaRoots(Path(record["images"]), Path(record["voices"]))
    except UnreadableFileError as error:
        raise StoreError(f"{path}: {error}") from error
    except (ContentError, KeyError) as error:
        raise StoreError(f"{path}: damaged ({error}); extract again") from error


def merged_spellings(folder: Path) -> list[Any]:
    """Return the spellings that were merged in the manifest of ``folder``, as JSON values.

    Raises:
        StoreError: the record cannot be read.
    """
    path = folder / SPELLINGS
    if not path.is_file():
        return []
    try:
        return load_json(path, list[dict[str, Any]])
    except UnreadableFileError as error:
        raise StoreError(f"{path}: {error}") from error
    except ContentError as error:
        raise StoreError(f"{path}: damaged ({error}); extract again") from error


def _record(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {"column": one.column, "kept": one.kept, "rows": dict(one.counts)}
        for one in manifest.merged
    ]
