"""Which folder of a run folder holds the run that was begun last; imports no torch."""

from pathlib import Path

from ivr.pipeline.runtime.placed_together import COMPLETE, MOVING

CONFIG, REPLACEMENT = "config.json", ".replacement"


def begun(run: Path) -> Path:
    """Return the folder of the run that was begun last in ``run``: its replacement, or itself.

    A link in the place of a replacement is not followed: ``ivr`` makes none.
    """
    for name in (REPLACEMENT, f"{REPLACEMENT}{COMPLETE}", f"{REPLACEMENT}{MOVING}"):
        if (run / name / CONFIG).is_file() and not (run / name).is_symlink():
            return run / name
    return run


def is_another_run(folder: Path, run: Path) -> bool:
    """Return whether ``folder`` holds a run that is not ``run``."""
    return folder.resolve() != run.resolve() and (begun(folder) / CONFIG).is_file()
