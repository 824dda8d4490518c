"""Stage: read every byte of the files that `ivr` wrote and compare them with their sha256."""

from collections.abc import Iterator
from pathlib import Path

from ivr.features.store import StoreError, open_table

from .encode import KIND
from .feature_tables import IMAGES, VOICES
from .runs import CODES

KINDS = {"images.h5": IMAGES, "voices.h5": VOICES, CODES: KIND}


class VerifyError(ValueError):
    """Nothing to verify, in one line."""


def verify(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each table in ``folder`` and what is wrong with it, ``""`` for nothing.

    Args:
        folder: features or a run.

    Raises:
        VerifyError: the folder holds no table.
    """
    paths = [folder / name for name in KINDS if (folder / name).is_file()]
    if not paths:
        raise VerifyError(f"{folder}: holds none of {', '.join(KINDS)}")
    for path in paths:
        try:
            open_table(path, KINDS[path.name]).verify()
            yield path, ""
        except StoreError as error:
            yield path, str(error)
