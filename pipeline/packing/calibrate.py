"""The confidence of known queries of a run: computed from the codes of its validation split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.pipeline.runs.codes_file import CodedItems, read_codes
from ivr.pipeline.runs.run_folder import CODES
from ivr.pipeline.runs.stale_codes import require_current_codes
from ivr.pipeline.runtime.progress import warn

from .calibration import LEAST, StoredCalibration, as_stored, calibrated
from .model_folder import PackError

MOST = 1000
"""Largest number of known queries and of known items, evenly spread over the split."""


def run_calibrations(
    run: Path, config: Mapping[str, Any], model_sha256: str
) -> dict[str, StoredCalibration]:
    """Return the calibrations of ``run`` by the modality of the query: ``voice``, ``image``.

    A run without current codes, or with a small validation split, has none; a warning says why.

    Args:
        run: the run folder.
        config: content of its ``config.json``.
        model_sha256: sha256 of its weights.
    """
    try:
        images, voices = _validation_items(run, config, model_sha256)
    except IvrError as error:
        _say_missing(str(error))
        return {}
    if min(len(images.names), len(voices.names)) < LEAST:
        _say_missing(
            f"{run}: its validation split has {len(images.names)} images and "
            f"{len(voices.names)} voices, fewer than {LEAST}"
        )
        return {}
    own = np.array(voices.images)[:, None] == np.array(images.names)[None]
    sides = {"voice": (voices, images, own), "image": (images, voices, own.T)}
    found = {}
    for modality, (queries, items, pairs) in sides.items():
        one = calibrated(queries.codes, items.codes, pairs)
        if one is not None:
            other = "images" if modality == "voice" else "voices"
            computed = (
                f"{100 * one.quantile:g} % quantile of 1 - nearest / median over {one.queries} "
                f"{modality}s of the validation split, Hamming distances to {len(items.names)} "
                f"{other} of this split but the query's own, float32 codes of the run"
            )
            found[modality] = as_stored(one, computed)
    return found


def _validation_items(
    run: Path, config: Mapping[str, Any], model_sha256: str
) -> tuple[CodedItems, CodedItems]:
    """Return images and voices of the validation split.

    Raises:
        PackError: there are no codes, or codes of other weights.
        RunError: the codes are of features that were extracted anew since.
        StoreError: not a codes file.
    """
    path = run / CODES
    if not path.is_file():
        raise PackError(f"{path}: missing; ivr encode {run} makes it")
    codes = read_codes(path)
    if codes.config["model"] != model_sha256:
        raise PackError(f"{path}: of other weights; make it again with ivr encode {run}")
    require_current_codes(path, codes.config, run, config)
    return _spread(codes.images), _spread(codes.voices)


def _spread(items: CodedItems) -> CodedItems:
    """Return at most :data:`MOST` items of the validation split, evenly spread over it."""
    rows = [row for row, split in enumerate(items.splits) if split == "val"]
    places = np.linspace(0, len(rows) - 1, min(len(rows), MOST)).astype(int)
    return items.select([rows[place] for place in places])


def _say_missing(reason: str) -> None:
    warn(
        f"note: the confidence of answers is not calibrated, the constant threshold is used: "
        f"{reason}"
    )
