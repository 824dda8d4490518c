"""Files of a folder that change together: written aside, then put in the place of the old ones.

The files are written into a hidden folder of the folder. Once they are complete, its name tells how
far the change is, so that whatever ends it, :func:`finish` does the rest:

``.NAME``: being written; the old files are in place.
``.NAME.complete``: the old files are being removed.
``.NAME.moving``: the new ones are being moved into their places.

All of this happens while the lock of the folder is held.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ivr.features.atomic_files import InTheWayError, flush

COMPLETE, MOVING = ".complete", ".moving"


def new_aside(folder: Path, name: str) -> Path:
    """Return the new empty hidden folder ``name`` of ``folder``; what an earlier one left goes."""
    remove_aside(folder, name)
    (folder / name).mkdir()
    return folder / name


def remove_aside(folder: Path, name: str) -> None:
    """Remove the hidden folder ``name`` of ``folder``, if there is one; a link is not followed."""
    aside = folder / name
    if aside.is_symlink():
        aside.unlink()
    elif aside.exists():
        shutil.rmtree(aside)


def place(folder: Path, name: str, remove: Callable[[Path], None]) -> None:
    """Put what the hidden folder ``name`` holds in the place of what ``remove(folder)`` removes.

    Raises:
        InTheWayError: something lies in its place that is not replaced; nothing was changed.
    """
    _require_room(folder / name, folder)
    flush(folder / name)
    os.rename(folder / name, folder / f"{name}{COMPLETE}")
    flush(folder)
    finish(folder, name, remove)


def finish(folder: Path, name: str, remove: Callable[[Path], None]) -> None:
    """Finish a :func:`place` that was interrupted; nothing is done where there was none.

    Raises:
        InTheWayError: something lies in its place that is not replaced; call again without it.
    """
    complete, moving = folder / f"{name}{COMPLETE}", folder / f"{name}{MOVING}"
    for aside in (complete, moving):
        if aside.is_symlink():  # not made by place()
            aside.unlink()
    if complete.is_dir():
        _require_room(complete, folder)
        remove(folder)
        os.rename(complete, moving)
        flush(folder)
    if moving.is_dir():
        _require_room(moving, folder)
        _move(moving, folder)
        flush(folder)


def _require_room(source: Path, target: Path) -> None:
    """Refuse a user's folder in the place of a file, and a file in that of a folder."""
    for path in source.iterdir():
        there = target / path.name
        if there.is_symlink() or not there.exists():
            continue
        if path.is_dir() != there.is_dir():
            found, wanted = ("folder", "file") if there.is_dir() else ("file", "folder")
            raise InTheWayError(
                f"{there}: a {found} lies where a {wanted} is to be put; move it and call again"
            )
        if path.is_dir():
            _require_room(path, there)


def _move(source: Path, target: Path) -> None:
    """Move what ``source`` holds into ``target``, where folders of the same name are joined."""
    for path in sorted(source.iterdir()):
        there = target / path.name
        if path.is_dir() and there.is_dir() and not there.is_symlink():
            _move(path, there)
        else:
            if there.is_symlink():
                there.unlink()
            os.replace(path, there)
    source.rmdir()
