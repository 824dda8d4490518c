"""The model of an archive: the copy in it, or a run or packed model elsewhere."""

from pathlib import Path

from ivr.pipeline.packing.code_maker import CodeMaker, open_model
from ivr.pipeline.packing.model_folder import (
    PackError,
    is_packed,
    read_calibrations,
    read_description,
)

from .archive import Archive
from .distances import NOTHING, UNCLEAR
from .lance_library import ArchiveError, is_local

COPY = "model"
"""Folder of the copy of the packed model in a local archive."""


def model_place(archive: Archive, model: str | Path | None = None) -> Path:
    """Return the folder of the model: ``model``, the copy in the archive, or where it was.

    Raises:
        ArchiveError: the model of the archive is not there.
    """
    if model is not None:
        return Path(model)
    copy = Path(archive.place) / COPY
    if is_local(archive.place) and copy.is_dir():
        return copy
    if archive.settings.model and Path(archive.settings.model).is_dir():
        return Path(archive.settings.model)
    raise ArchiveError(
        f"{archive.place}: its model is not here ({archive.settings.model or copy}); "
        "give it with --model"
    )


def confidence_thresholds(archive: Archive) -> dict[str, float] | None:
    """Return the confidence below which a query is probably about nothing known, by its modality.

    Empty if the model of ``archive`` is not calibrated; None if it is not here or is damaged.
    """
    try:
        place = model_place(archive)
        if not is_packed(place):
            return {}
        found = read_calibrations(place, read_description(place))
    except (ArchiveError, PackError):
        return None
    return {modality: one.threshold for modality, one in found.items()}


def threshold_words(thresholds: dict[str, float] | None, archive: str) -> str:
    """Return what the confidence of answers is measured against, and how to calibrate it.

    Args:
        thresholds: see :func:`confidence_thresholds`.
        archive: the archive, for the command that cures it.
    """
    if thresholds is None:
        return "unknown, the model is not here or is damaged; give it with --model when searching"
    if not thresholds:
        return (
            f"not calibrated; below the constant {UNCLEAR:g} a query is {NOTHING}, which fits some "
            "methods only; to calibrate: ivr pack RUN --out MODEL, of a run with 20 validation "
            f"images and voices, then ivr archive update {archive} --model MODEL"
        )
    values = ", ".join(f"{value:.2f} ({modality})" for modality, value in thresholds.items())
    return f"calibrated; below {values} a query is {NOTHING}"


def open_code_maker(
    archive: Archive,
    model: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> CodeMaker:
    """Return the opened model of ``archive``.

    Args:
        archive: an archive.
        model: a packed model or a run, by default the one that the archive was created with.
        device: auto, cpu, cuda or cuda:N.
        threads: threads that compute one batch, by default one per core.

    Raises:
        ArchiveError: it is not there, or its codes are not those of the archive.
        PackError, RunError, DeviceError: see :func:`ivr.pipeline.packing.code_maker.open_model`.
    """
    place = model_place(archive, model)
    maker = open_model(place, device=device, threads=threads)
    if maker.identity != archive.settings.identity:
        raise ArchiveError(
            f"{place}: makes other codes than those of {archive.place}, which come from another "
            "training or other settings; give the model that it was created with, or create an "
            "archive for this one"
        )
    return maker
