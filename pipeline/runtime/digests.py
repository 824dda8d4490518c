"""The sha256 of the files of a folder in ``digests.json``, so that any changed byte is found later.

Every stage writes its files inside :func:`rewriting`, or calls :func:`record_digests` last of all.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ivr.errors import IvrError
from ivr.features.atomic_files import file_digest, replaced_text
from ivr.features.regular_files import UnreadableFileError

from .json_files import ContentError, load_json

DIGESTS = "digests.json"


class DigestsError(IvrError):
    """A list of digests that cannot be read, in one line."""


@contextmanager
def rewriting(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Drop the digests of the files ``names``, let the block write them, and record the new ones.

    A block that is interrupted leaves these files without a digest, never with an older one.
    """
    forget_digests(folder, names)
    yield
    record_digests(folder, names)


def record_digests(folder: Path, names: Iterable[str]) -> None:
    """Record the sha256 of the files ``names`` of ``folder``; a file that is missing is dropped.

    The digests of other files stay. Several processes may record at the same time.
    """
    new = {name: file_digest(folder / name) for name in names if (folder / name).is_file()}
    _update(folder, names, new)


def forget_digests(folder: Path, names: Iterable[str]) -> None:
    """Drop the digests of the files ``names``, which are about to be written."""
    if (folder / DIGESTS).is_file():
        _update(folder, names, {})


def read_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 by file name that ``folder`` records, ``{}`` if it records none.

    Raises:
        DigestsError: not a list of digests.
    """
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    try:
        return load_json(path, dict[str, str])
    except UnreadableFileError as error:
        raise DigestsError(f"{path}: {error}") from error
    except ContentError as error:
        raise DigestsError(
            f"{path}: damaged, not a list of sha256 by file name ({error})"
        ) from error


def _update(folder: Path, names: Iterable[str], new: dict[str, str]) -> None:
    with _alone(folder):
        try:
            kept = read_digests(folder)
        except DigestsError:  # ivr verify names it; a new list replaces it
            kept = {}
        found = {name: digest for name, digest in kept.items() if name not in set(names)} | new
        with replaced_text(folder / DIGESTS) as file:
            text = json.dumps(dict(sorted(found.items())), indent=2, ensure_ascii=False)
            file.write(text + "\n")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process updates the digests of ``folder``."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
