"""Stage: read every byte of the files that `ivr` wrote and compare them with their sha256."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ivr.errors import IvrError
from ivr.features.atomic_files import file_digest
from ivr.features.store import StoreError, open_table
from ivr.pipeline.extraction.feature_schema import FILES
from ivr.pipeline.runtime.digests import DIGESTS, DigestsError, read_digests
from ivr.pipeline.runtime.results import TableResult

from .codes_file import KIND
from .run_folder import CODES, ITEMS, LOG, QUERIES, QUERY_TABLE
from .run_items import ITEMS_KIND

# Tables hold a sha256 of their own, also in folders of earlier versions.
KINDS = {**FILES, CODES: KIND, ITEMS: ITEMS_KIND, QUERIES: QUERY_TABLE}
# TensorBoard's own files, and the shards of an extraction that is not finished.
SKIPPED = ("tensorboard", ".shards")

State = Literal["whole", "changed", "missing", "no digest"]


class VerifyError(IvrError):
    """Nothing to verify, in one line."""


@dataclass(frozen=True)
class VerifiedFile:
    """One file and what its checksum says.

    Attributes:
        path: path of the file.
        state: whole; changed, if the bytes do not match; missing; or no digest, if no checksum is
            recorded (folders of earlier versions).
        problem: what is wrong, ``""`` for a whole file.
    """

    path: Path
    state: State
    problem: str = ""


@dataclass(frozen=True, repr=False)
class VerifyResult(TableResult):
    """The files of a folder.

    Attributes:
        folder: the folder that was verified.
        files: its files in alphabetical order.
    """

    folder: Path
    files: tuple[VerifiedFile, ...]

    @property
    def whole(self) -> bool:
        """Whether no file is changed or missing."""
        return not any(file.state in ("changed", "missing") for file in self.files)

    def __repr__(self) -> str:
        """Return the lines that ``ivr verify`` prints, one per file."""
        return "\n".join(file.problem or f"{file.path}: whole" for file in self.files)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per file: its path, its state and what is wrong."""
        return [{"file": str(f.path), "state": f.state, "problem": f.problem} for f in self.files]


def verify(folder: str | Path) -> VerifyResult:
    """Compare every file of ``folder`` with its recorded sha256.

    Args:
        folder: features, a run, a packed model, a comparison, or a folder that holds such folders.

    Raises:
        VerifyError: the folder holds no file with a digest.
    """
    folder = Path(folder)
    files = tuple(sorted(_verified(folder), key=lambda file: file.path))
    if all(file.state == "no digest" for file in files):
        raise VerifyError(
            f"{folder}: holds neither {DIGESTS} nor {', '.join(KINDS)}; "
            "give a folder of features, a run or a comparison"
        )
    return VerifyResult(folder, files)


def _verified(folder: Path) -> Iterator[VerifiedFile]:
    for place, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if not n.endswith(SKIPPED) and not n.startswith(".")]
        # Later calls add lines to the log: it has no digest.
        kept = [name for name in names if not name.startswith(".") and name != LOG]
        yield from _of_folder(Path(place), kept)


def _of_folder(folder: Path, names: list[str]) -> Iterator[VerifiedFile]:
    try:
        digests = read_digests(folder)
    except DigestsError as error:
        yield VerifiedFile(folder / DIGESTS, "changed", str(error))
        digests = {}
    for name in set(digests).difference(names):
        path = folder / name
        yield VerifiedFile(path, "missing", f"{path}: missing")
    for name in names:
        if name != DIGESTS:
            yield _of_file(folder / name, digests.get(name))


def _of_file(path: Path, digest: str | None) -> VerifiedFile:
    if digest is not None and file_digest(path) != digest:
        return VerifiedFile(path, "changed", f"{path}: damaged, does not match its sha256")
    if path.name in KINDS:
        try:
            open_table(path, KINDS[path.name]).verify()
        except StoreError as error:
            return VerifiedFile(path, "changed", str(error))
    elif digest is None:
        return VerifiedFile(path, "no digest", f"{path}: no digest was recorded")
    return VerifiedFile(path, "whole")
