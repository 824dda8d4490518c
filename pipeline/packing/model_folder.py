"""The folder of a packed model: names of its files, ``model.json``, and the identity of a model.

``model.json`` holds everything but the networks: the settings of images and voices, bits, classes
and the sha256 of the weights. This module imports neither torch nor onnxruntime.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired

from pydantic import ConfigDict
from typing_extensions import TypedDict

from ivr.errors import IvrError
from ivr.features.atomic_files import file_digest
from ivr.features.regular_files import UnreadableFileError
from ivr.features.store import canonical_json
from ivr.hashing.distance_names import Distance
from ivr.pipeline.extraction.feature_schema import compared_settings
from ivr.pipeline.runtime.digests import DIGESTS, DigestsError, read_digests
from ivr.pipeline.runtime.json_files import ContentError, load_json

from .calibration import Calibration, StoredCalibration, from_stored

DESCRIPTION = "model.json"
VOICE_END, IMAGE_END, ENCODER = "voice.onnx", "image.onnx", "encoder.onnx"
WEIGHTS = ".data"
"""End of the name of the file that holds the weights of a large network."""
CARD, REQUIREMENTS = "README.md", "requirements.txt"
LONGEST_REASON = 200
"""Characters of the message of a library within ours."""
FORMAT = 1
"""Version of the format; a later one is refused."""


class PackError(IvrError):
    """A model that cannot be packed, or a packed model that cannot be used, in one line."""


class Description(TypedDict):
    """The content of ``model.json``, as far as queries need it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    format: int
    identity: str
    method: str
    distance: Distance
    bits: int
    classes: list[str]
    streams: list[str]
    voice_shape: list[int]
    image_dim: int
    size: int
    model_sha256: str
    images: dict[str, Any]
    voices: dict[str, Any]
    encoder: bool
    int8: NotRequired[dict[str, Any] | None]
    confidence: NotRequired[dict[str, StoredCalibration]]


def is_packed(folder: Path) -> bool:
    """Return whether ``folder`` holds a packed model."""
    return (folder / DESCRIPTION).is_file()


def read_description(folder: Path) -> Description:
    """Return the description of the packed model in ``folder``.

    Raises:
        PackError: not a packed model, a damaged one, or one of a later version.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise PackError(f"{folder}: no packed model; ivr pack RUN --out {folder} makes one")
    require_whole(path)
    try:
        if load_json(path, dict[str, Any]).get("format") != FORMAT:
            raise PackError(f"{path}: of another version of ivr; pack the run again")
        return load_json(path, Description)
    except UnreadableFileError as error:
        raise PackError(f"{path}: {error}") from error
    except ContentError as error:
        raise PackError(f"{path}: not the description of a model ({error})") from error


def read_calibrations(folder: Path, found: Description) -> dict[str, Calibration]:
    """Return what the confidence of answers is measured against, by the modality of the query.

    A model that was packed by an earlier version has none.

    Args:
        folder: the packed model, for the message.
        found: its description.

    Raises:
        PackError: damaged calibrations.
    """
    try:
        return from_stored(found.get("confidence", {}), found["bits"])
    except ValueError as error:
        raise PackError(f"{folder / DESCRIPTION}: damaged, has {error}; pack again") from error


def files_of(folder: Path, network: str) -> list[Path]:
    """Return the files of ``network`` in ``folder``: it, and its weights if these stand apart.

    Raises:
        PackError: the list of digests is damaged.
    """
    try:
        known = read_digests(folder)
    except DigestsError as error:
        raise PackError(str(error)) from error
    return [folder / network, *(folder / name for name in known if name == f"{network}{WEIGHTS}")]


def require_whole(path: Path) -> None:
    """Refuse the file ``path`` of a packed model unless its bytes match the recorded sha256.

    Raises:
        PackError: it is missing, changed or without a sha256.
    """
    try:
        known = read_digests(path.parent).get(path.name)
    except DigestsError as error:
        raise PackError(str(error)) from error
    if not path.is_file():
        raise PackError(f"{path}: missing; pack the run again")
    if known is None:
        raise PackError(f"{path}: {DIGESTS} has no sha256 of it; pack the run again")
    if file_digest(path) != known:
        raise PackError(f"{path}: damaged, does not match its sha256; pack the run again")


def model_identity(
    config: Mapping[str, Any], model_sha256: str, int8: Mapping[str, str] | None = None
) -> str:
    """Return the sha256 over all that decides the codes of a model.

    Args:
        config: content of the ``config.json`` of a run.
        model_sha256: sha256 of the weights of the run.
        int8: sha256 by name of the networks whose weights are int8, None if all are float32.
    """
    decided = {
        "model": model_sha256,
        **{name: config[name] for name in ("method", "bits", "options", "sizes", "streams")},
        "images": compared_settings(config["features"]["images"]),
        "voices": compared_settings(config["features"]["voices"]),
    }
    if int8 is not None:
        decided["int8"] = dict(int8)
    return hashlib.sha256(canonical_json(json.loads(json.dumps(decided))).encode()).hexdigest()
