"""Stage: an archive without items."""

from pathlib import Path

from .item_columns import items_schema
from .lance_library import (
    TABLE,
    ArchiveError,
    connect,
    is_local,
    lance_errors,
)
from .settings import ArchiveSettings


def make_table(place: str, settings: ArchiveSettings) -> None:
    """Make the table of an archive without rows.

    Args:
        place: the archive, see :func:`ivr.pipeline.archive.lance_library.place_of`.
        settings: what decides its codes.

    Raises:
        ArchiveError: there is an archive already, or the place cannot be written.
    """
    if is_local(place):
        Path(place).mkdir(parents=True, exist_ok=True)
    connection = connect(place)
    try:
        with lance_errors(place):
            connection.create_table(TABLE, schema=items_schema(settings), mode="create")
    except ArchiveError as error:
        if "already exists" in str(error):
            raise ArchiveError(
                f"{place}: holds an archive already; add to it with ivr archive add"
            ) from error
        raise
