"""Stage: read every byte of the files that `ivr` wrote and compare them with their sha256."""

from collections.abc import Iterator
from pathlib import Path

from ivr.errors import IvrError
from ivr.features.store import StoreError, open_table
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES

from .encode import KIND
from .run_folder import CODES

KINDS = {"images.h5": IMAGES, "voices.h5": VOICES, CODES: KIND}


class VerifyError(IvrError):
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
