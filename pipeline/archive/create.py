"""Stage: an archive without items, for the codes of one model."""

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from ivr.features.atomic_files import require_writable
from ivr.pipeline.packing.code_maker import open_model
from ivr.pipeline.packing.model_folder import is_packed
from ivr.pipeline.runtime.results import Result

from .archive_model import COPY
from .item_columns import items_schema
from .lance_library import (
    TABLE,
    ArchiveError,
    connect,
    is_archive,
    is_local,
    lance_errors,
    place_of,
)
from .replace_model import copy_model
from .settings import FORMAT, ArchiveSettings


@dataclass(frozen=True, repr=False)
class CreateResult(Result):
    """A new archive.

    Attributes:
        archive: the archive.
        bits: bits per code.
        method: method that its model was trained with.
        model: the model: its copy in the archive, or where it is.
    """

    archive: str
    bits: int
    method: str
    model: Path

    def __repr__(self) -> str:
        """Return the archive in one line."""
        return f"{self.archive}: archive of {self.bits}-bit codes of {self.method} ({self.model})"


def archive_create(archive: str | Path, model: str | Path) -> CreateResult:
    """Make an archive without items, for the codes of ``model``.

    A packed model is copied into an archive in a folder, which then needs nothing else. Of a run,
    and for an archive on an object store, the path is kept.

    Args:
        archive: a new folder, or an address such as ``s3://bucket/archive``.
        model: a packed model or a run.

    Raises:
        ArchiveError: there is an archive already, or something else lies in the folder.
        UnwritableError: nothing can be written there.
        PackError, RunError: see :func:`ivr.pipeline.packing.code_maker.open_model`.
    """
    place, source = place_of(archive), Path(model)
    if is_local(place):
        _require_free(Path(place))
    maker = open_model(source)
    copied = is_local(place) and is_packed(source)
    kept = "" if copied else str(source.absolute())
    settings = ArchiveSettings(
        FORMAT, maker.bits, maker.identity, maker.method, maker.classes, kept, uuid4().hex
    )
    if copied:
        # Before the table: a folder with a table is an archive, and has its model.
        copy_model(source, Path(place) / COPY)
    make_table(place, settings)
    return CreateResult(
        place, maker.bits, maker.method, Path(place) / COPY if copied else source.absolute()
    )


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
            raise _exists(place) from error
        raise


def _require_free(folder: Path) -> None:
    """Refuse a folder that holds something else than what a killed call left."""
    if is_archive(folder):
        raise _exists(str(folder))
    others = (
        [path.name for path in folder.iterdir() if path.name != COPY] if folder.is_dir() else []
    )
    if others:
        raise ArchiveError(f"{folder}: holds {others[0]}; name a new folder")
    require_writable(folder)


def _exists(place: str) -> ArchiveError:
    return ArchiveError(f"{place}: holds an archive already; add to it with ivr archive add")
