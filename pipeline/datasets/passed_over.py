"""Files that ``ivr prepare`` passed over: what lies in the folders and is in no row."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .layout import Sources
from .manifest import Manifest

BESIDE = (
    *(".aux", ".cpg", ".ovr", ".prj", ".tfw", ".xml"),
    *(".csv", ".db", ".ini", ".json", ".log", ".tsv", ".xls", ".xlsx", ".yaml", ".yml"),
    *(".doc", ".docx", ".html", ".md", ".pdf", ".py", ".rst", ".sha256", ".txt", ".zip"),
)
"""Suffixes of files that lie beside images and voices and are neither."""


def passed_over(sources: Sources, manifest: Manifest) -> dict[str, int]:
    """Return the number of files that may be images or voices and are in no row, by suffix.

    Hidden files, and texts, tables and other files that accompany a data set, are not counted.

    Args:
        sources: the folders that were searched.
        manifest: the manifest that was made of them.
    """
    named = {row.image for row in manifest.rows} | {row.voice for row in manifest.rows}
    roots = {os.path.abspath(root): root for root in (sources.images, sources.voices) if root}
    found: dict[str, bool] = {}
    for root in roots.values():
        names = list(files_below(root))
        # The names of a layout outside this package may be relative to a folder above.
        tops = [
            top for top in (root, root.parent) if any(_below(top, root, n) in named for n in names)
        ]
        for name in names:
            path = os.path.abspath(root / name)
            taken = any(_below(top, root, name) in named for top in tops[:1])
            found[path] = found.get(path, False) or taken
    counts = Counter(
        suffix or "(no suffix)"
        for path, taken in found.items()
        if not taken and (suffix := PurePosixPath(path).suffix.lower()) not in BESIDE
    )
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def files_below(root: Path) -> Iterable[str]:
    """Yield the names of the files below ``root``, without those that a system hides or leaves.

    Linked folders are not followed.
    """
    for parent, _, files in os.walk(root):
        for file in files:
            name = (Path(parent) / file).relative_to(root).as_posix()
            if not _is_hidden(name):
                yield name


def _is_hidden(name: str) -> bool:
    """Return whether an archive tool or the system left the file: ``._a.tif``, ``__MACOSX/``."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _below(top: Path, root: Path, name: str) -> str:
    """Return the name of the file ``name`` below ``root`` as it is below ``top``."""
    return (root.absolute() / name).relative_to(top.absolute()).as_posix()
