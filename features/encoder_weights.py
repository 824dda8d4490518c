"""Loading the weights of an image encoder: ImageNet's, random ones, or those of a file.

Nothing in a weights file is ever executed, and a file that does not fit the network is refused.
"""

import hashlib
import http.client
import pickle
import re
import socket
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ivr.errors import first_line

from .blueprint import Blueprint
from .encoders import SEED
from .image_config import ImageConfig
from .regular_files import UnreadableFileError
from .torchvision_networks import torchvision_blueprint
from .weights_file import (
    WeightsError,
    WeightsSource,
    file_sha256,
    hash_in_name,
    identify_file,
    imagenet_path,
    refuse_unusable,
)
from .weights_size import WeightsSizeError, require_size

# Networks that a file of weights is compared with when it does not fit the one asked for.
COMMON = ("alexnet", "vgg16", "squeezenet1_0", "resnet18", "resnet50")
# Heads that only training uses; the networks are built without them.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# Names in torchvision's own files that torchvision itself renames when loading.
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)
UNREADABLE = (
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
PATIENCE = 30.0  # seconds without a byte before a download is given up


def cut(blueprint: Blueprint) -> None:
    """Replace the classifier of the network, if it has one, by the identity."""
    if blueprint.classifier:
        blueprint.net.set_submodule(blueprint.classifier, nn.Identity())


def with_shapes_of_file(config: ImageConfig, blueprint: Blueprint) -> Blueprint:
    """Return ``blueprint`` with a network of the shapes of its weights file, if these decide them.

    Raises:
        WeightsError: the file cannot be read or belongs to another network.
    """
    if blueprint.of_file is None or config.weights in ("imagenet", "random"):
        return blueprint
    path = Path(config.weights)
    refuse_unusable(path, _source(config.encoder, blueprint))
    try:
        return replace(blueprint, net=blueprint.of_file(path))
    except (OSError, ValueError) as error:
        advice = blueprint.weights_help and f"; {blueprint.weights_help}"
        raise WeightsError(f"{path}: {first_line(error)}{advice}") from error


def load_weights(config: ImageConfig, blueprint: Blueprint) -> tuple[str, str]:
    """Load the weights of ``config`` into the network of ``blueprint``, which is already cut.

    Returns:
        Name and sha256 of the weights.

    Raises:
        WeightsError: the weights cannot be had, cannot be read or belong to another network.
    """
    if config.weights == "random":
        return identify_weights(config, blueprint)
    imagenet = config.weights == "imagenet"
    source = _source(config.encoder, blueprint)
    path = _imagenet_file(source) if imagenet else Path(config.weights)
    refuse_unusable(path, source)
    before = _identity(path)
    sha256 = file_sha256(path)
    if imagenet and not sha256.startswith(hash_in_name(path)):
        raise WeightsError(f"{path}: damaged, its sha256 is not the one in its name; delete it")
    state = _without_unused(_adapted(_read(path, blueprint), blueprint, path), blueprint)
    if _identity(path) != before:
        raise WeightsError(f"{path}: was replaced while it was read; call again")
    _check(state, blueprint, path, config.encoder)
    _copy(state, blueprint.net)
    return blueprint.imagenet if imagenet else path.name, sha256


def identify_weights(config: ImageConfig, blueprint: Blueprint) -> tuple[str, str]:
    """Return name and sha256 of the weights that :func:`load_weights` would load; loads none.

    Returns:
        The name, and the sha256; of ImageNet weights that are not downloaded yet the first digits
        alone, or ``""``.

    Raises:
        WeightsError: the weights cannot be had, or the file cannot be read.
    """
    if config.weights == "random":
        return f"random, seed {SEED}", _state_sha256(blueprint.net)
    return identify_file(config.weights, _source(config.encoder, blueprint))


def _source(name: str, blueprint: Blueprint) -> WeightsSource:
    return WeightsSource(
        name,
        blueprint.imagenet,
        blueprint.url,
        blueprint.weights_help,
        tuple(sorted(blueprint.readers)),
    )


def _imagenet_file(source: WeightsSource) -> Path:
    """Return the file of ImageNet weights; it is downloaded if it is not there yet."""
    path = imagenet_path(source)
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _timeout(PATIENCE):
            torch.hub.download_url_to_file(source.url, str(path), hash_in_name(path))
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise WeightsError(
            f"the ImageNet weights of {source.encoder} could not be downloaded "
            f"({first_line(error)}): put {source.url} at {path}, or take --weights FILE or "
            "--weights random"
        ) from error
    return path


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)


def _identity(path: Path) -> tuple[int, ...]:
    """Return what tells the file at ``path`` from one that takes its place."""
    try:
        status = path.stat()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path, blueprint: Blueprint) -> dict[str, Tensor]:
    """Return the named tensors of a weights file; nothing in it is ever executed."""
    try:
        require_size(path, blueprint.net)
    except (WeightsSizeError, UnreadableFileError) as error:
        raise WeightsError(f"{path}: {error}") from error
    try:
        if reader := blueprint.readers.get(path.suffix.lower()):
            return reader(path)
        if path.suffix.lower() == ".safetensors":
            return dict(load_file(path, device="cpu"))
        contents = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        # torch's own words advise to load the file without the protection.
        raise WeightsError(
            f"{path}: no weights file, or one with Python objects in it, which are never loaded; "
            "save the state_dict alone, or .safetensors"
        ) from error
    except UNREADABLE as error:
        raise WeightsError(f"{path}: not a weights file ({first_line(error)})") from error
    return _state_dict(contents, path)


def _state_dict(contents: object, path: Path) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model"):
        if isinstance(contents, dict) and isinstance(contents.get(wrapper), dict):
            contents = contents[wrapper]
    if not isinstance(contents, dict) or not all(map(_is_plain, contents.values())):
        raise WeightsError(f"{path}: holds no state_dict, that is, names and their tensors")
    names = [str(name) for name in contents]
    parallel = all(name.startswith("module.") for name in names)
    prefix = "module." if parallel else ""
    return {str(name).removeprefix(prefix): tensor for name, tensor in contents.items()}


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    )


def _adapted(state: dict[str, Tensor], blueprint: Blueprint, path: Path) -> dict[str, Tensor]:
    """Return ``state`` in the layout of the network of ``blueprint``."""
    if blueprint.adapt is None:
        return state
    try:
        return blueprint.adapt(state)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error


def _without_unused(state: Mapping[str, Tensor], blueprint: Blueprint) -> dict[str, Tensor]:
    """Return ``state`` under today's names, without the classifier and the auxiliary heads."""
    classifier = [f"{blueprint.classifier}."] if blueprint.classifier else []
    unused = (*classifier, *blueprint.unused, *AUXILIARY)
    return {
        _todays_name(name): tensor
        for name, tensor in state.items()
        if not name.startswith(unused) and not _is_counter(name)
    }


def _todays_name(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _is_counter(name: str) -> bool:
    # Absent from files before 2018, and evaluation does not use it.
    return name.endswith("num_batches_tracked")


def _wanted(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in net.state_dict().items() if not _is_counter(name)}


def _check(state: Mapping[str, Tensor], blueprint: Blueprint, path: Path, name: str) -> None:
    kinds = _misfits(state, _wanted(blueprint.net))
    if any(kinds):
        first = "; ".join(kind[0] for kind in kinds if kind)
        advice = _advice(state) or (blueprint.weights_help and f"; {blueprint.weights_help}")
        number = sum(map(len, kinds))
        told = "1 tensor does" if number == 1 else f"{number} tensors do"
        raise WeightsError(f"{path}: not weights of {name}, {told} not fit ({first}){advice}")
    for key, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path}: damaged, {key} holds values that are not finite")


def _misfits(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Return what is missing, what is unexpected and what is of another kind, in words."""
    missing = [f"{name} is missing" for name in wanted if name not in state]
    unexpected = [f"{name} is not of this net" for name in state if name not in wanted]
    return missing, unexpected, _other_kinds(state, wanted)


def _other_kinds(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    shared = [(name, state[name], wanted[name]) for name in wanted if name in state]
    return [
        f"{name} is {_kind(has)}, needs {_kind(needs)}"
        for name, has, needs in shared
        if has.shape != needs.shape or has.is_floating_point() != needs.is_floating_point()
    ]


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _advice(state: Mapping[str, Tensor]) -> str:
    """Return which of the common networks the weights ``state`` fit, in words."""
    for name in COMMON:
        with torch.device("meta"):
            blueprint = torchvision_blueprint(name)
        cut(blueprint)
        if not any(_misfits(_without_unused(state, blueprint), _wanted(blueprint.net))):
            return f"; they fit --encoder {name}"
    return ""


def _copy(state: Mapping[str, Tensor], net: nn.Module) -> None:
    with torch.no_grad():
        for name, tensor in _wanted(net).items():
            tensor.copy_(state[name])


def _state_sha256(net: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(_wanted(net).items()):
        digest.update(f"{name} {_kind(tensor)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
