"""What lies at a path where something else was expected, for messages."""

import os
from difflib import get_close_matches
from pathlib import Path


def instead(path: Path) -> str:
    """Return what is at ``path`` where a folder was expected, with paths that may be meant.

    For example ``no such folder, did you mean tiles?``; ``""`` for a folder.
    """
    if path.is_dir():
        return ""
    if path.is_symlink():
        return "a link that leads to no folder"
    if os.path.lexists(path):
        return "a file, not a folder"
    near = _near(path)
    return "no such folder" + (f", did you mean {' or '.join(near)}?" if near else "")


def _near(path: Path) -> list[str]:
    """Return the folders beside ``path`` whose names are close to its name."""
    try:
        there = [one.name for one in path.parent.iterdir() if one.is_dir()]
    except OSError:
        return []
    return [str(path.parent / name) for name in get_close_matches(path.name, there, 2, 0.6)]
