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

from ivr.features.atomic_files import flush

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
    """Put what the hidden folder ``name`` holds in the place of what ``remove(folder)`` removes."""
    flush(folder / name)
    os.rename(folder / name, folder / f"{name}{COMPLETE}")
    flush(folder)
    finish(folder, name, remove)


def finish(folder: Path, name: str, remove: Callable[[Path], None]) -> None:
    """Finish a :func:`place` that was interrupted; nothing is done where there was none."""
    complete, moving = folder / f"{name}{COMPLETE}", folder / f"{name}{MOVING}"
    if complete.is_dir() and not complete.is_symlink():
        remove(folder)
        os.rename(complete, moving)
        flush(folder)
    if moving.is_dir() and not moving.is_symlink():
        _move(moving, folder)
        flush(folder)


def _move(source: Path, target: Path) -> None:
    """Move what ``source`` holds into ``target``, where folders of the same name are joined."""
    for path in sorted(source.iterdir()):
        there = target / path.name
        if path.is_dir() and there.is_dir() and not there.is_symlink():
            _move(path, there)
        else:
            os.replace(path, there)
    source.rmdir()
