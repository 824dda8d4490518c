"""Stage: another packed model of the same codes in place of that of an archive."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ivr.features.atomic_files import require_writable
from ivr.pipeline.packing.model_folder import is_packed
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.placed_together import finish, new_aside, place
from ivr.pipeline.runtime.results import Result

from .archive import open_archive
from .archive_model import COPY, confidence_thresholds, open_code_maker, threshold_words
from .lance_library import ArchiveError, is_local

ASIDE = ".model"


@dataclass(frozen=True, repr=False)
class ReplaceModelResult(Result):
    """A model that was replaced.

    Attributes:
        archive: the archive.
        model: its new model, a copy in the archive.
        thresholds: confidence below which a query is probably about nothing known, by its modality;
            empty if the model is not calibrated.
    """

    archive: str
    model: Path
    thresholds: dict[str, float] | None

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        words = threshold_words(self.thresholds, self.archive)
        return f"{self.archive}: model replaced; confidence: {words}"


def archive_replace_model(archive: str | Path, model: str | Path) -> ReplaceModelResult:
    """Copy a packed model into an archive, in place of the one that it has.

    The codes of both must be the same: it is the same run, packed again, for example by a version
    that calibrates the confidence. Rows stay as they are.

    Args:
        archive: an archive in a folder.
        model: a packed model.

    Raises:
        ArchiveError: the model makes other codes, is no packed model, or the archive is on an
            object store, where it has none.
        BusyError: another process replaces the model.
        UnwritableError: nothing can be written there.
    """
    held, source = open_archive(archive), Path(model)
    if not is_local(held.place):
        raise ArchiveError(f"{held.place}: holds no model; give one with --model when searching")
    open_code_maker(held, source, "cpu")
    if not is_packed(source):
        raise ArchiveError(f"{source}: a run; pack it with ivr pack, and give that folder")
    copy = Path(held.place) / COPY
    if source.resolve() == copy.resolve():
        raise ArchiveError(f"{source}: is the model of the archive already; give another one")
    require_writable(copy)
    with only_writer(copy):
        finish(copy, ASIDE, _remove_files)
        copy_model(source, new_aside(copy, ASIDE))
        place(copy, ASIDE, _remove_files)
    return ReplaceModelResult(held.place, copy, confidence_thresholds(held))


def copy_model(source: Path, copy: Path) -> None:
    """Copy the files of the folder ``source``, whose hidden files and folders are not the model's.

    The first error ends it: ``shutil.copytree`` puts all of them into one, which says neither that
    a disk is full nor what to do.
    """
    copy.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, copy / path.name)


def _remove_files(folder: Path) -> None:
    """Remove the files of a model, without hidden ones."""
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith("."):
            path.unlink()
