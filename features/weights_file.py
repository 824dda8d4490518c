"""Files of weights: where they are, which they are, and whether they can be read; no torch.

What is in them is read by :mod:`ivr.features.encoder_weights`.
"""

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from ivr.errors import IvrError

from .atomic_files import file_digest


class WeightsError(IvrError):
    """Weights that cannot be used, in one line that says what to do."""


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of an encoder come from.

    Attributes:
        encoder: name of the encoder.
        imagenet: name of the ImageNet weights, ``""`` if they cannot be downloaded.
        url: address of the ImageNet weights, ``""`` if they cannot be downloaded.
        help: how to get weights that cannot be downloaded, as the start of a sentence, or ``""``.
        suffixes: suffixes of files that the encoder reads besides PyTorch's and safetensors.
    """

    encoder: str
    imagenet: str
    url: str
    help: str
    suffixes: tuple[str, ...]


def identify_file(weights: str, source: WeightsSource) -> tuple[str, str]:
    """Return name and sha256 of weights that are kept in a file; loads and downloads none.

    Args:
        weights: ``imagenet`` or the path of a file.
        source: where the weights of the encoder come from.

    Returns:
        The name, and the sha256; of ImageNet weights that are not downloaded yet the first digits
        alone, or ``""``.

    Raises:
        WeightsError: the weights cannot be had, or the file cannot be read.
    """
    if weights != "imagenet":
        path = Path(weights)
        refuse_unusable(path, source)
        return path.name, file_sha256(path)
    path = imagenet_path(source)
    return source.imagenet, file_sha256(path) if path.is_file() else hash_in_name(path)


def imagenet_path(source: WeightsSource) -> Path:
    """Return where torch keeps the file of ImageNet weights, whether or not it is there.

    Raises:
        WeightsError: they cannot be downloaded.
    """
    if not source.imagenet:
        advice = f": {source.help} and give the file" if source.help else "; give a file"
        raise WeightsError(
            f"no ImageNet weights of {source.encoder} can be downloaded"
            f"{advice} with --weights FILE, or take --weights random"
        )
    return hub_folder() / "checkpoints" / Path(urlparse(source.url).path).name


def hub_folder() -> Path:
    """Return the folder of ``torch.hub.get_dir()``: set in Python, or by the environment."""
    if "torch" in sys.modules:
        return Path(sys.modules["torch"].hub.get_dir())
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(os.path.expanduser(home)) / "hub"


def hash_in_name(path: Path) -> str:
    """Return the first digits of the sha256 that torchvision puts into the name, or ``""``."""
    found = re.search(r"-([0-9a-f]+)\.", path.name)
    return found.group(1) if found else ""


def refuse_unusable(path: Path, source: WeightsSource) -> None:
    """Refuse a path that is no readable file, or a file of another encoder's format.

    Raises:
        WeightsError: such a path.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: no such file; weights are imagenet, random or the path of a file"
        ) from error
    except (OSError, ValueError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: cannot be read ({first})") from error
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "device or pipe"
        raise WeightsError(f"{path}: a {kind}, not a weights file")
    if path.suffix.lower() == ".mat" and ".mat" not in source.suffixes:
        raise WeightsError(
            f"{path}: {source.encoder} has no reader of MatConvNet weights; cnn_f has one"
        )


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return file_digest(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
