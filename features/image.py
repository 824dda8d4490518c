"""Images to vectors: classification networks cut before their last layer.

Every encoder is a whole network whose last layer with filters (its classifier) is replaced by the
identity, so that what comes out is the vector the classifier would have seen: fc7 after its ReLU
for VGG16, AlexNet and CNN-F, the pooled map for ResNet, SqueezeNet and most others.

All classification networks of torchvision are encoders under their torchvision names. A new encoder
is one new function that returns a :class:`Blueprint`, named in ``ENCODERS`` at the foot.
"""

import hashlib
import http.client
import pickle
import re
import socket
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlparse

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ivr.errors import IvrError

from .atomic_files import file_digest
from .cnn_f import SIZE as CNN_F_SIZE
from .cnn_f import CnnF, read_matconvnet
from .image_config import VIEWS, ImageConfig
from .stage_pooling import StageStatistics

SEED = 0
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


class WeightsError(IvrError):
    """Weights that cannot be used, in one line that says what to do."""


class EncoderError(IvrError):
    """An encoder that does not exist or cannot be used, in one line that says what to do."""


@dataclass(frozen=True)
class Blueprint:
    """A whole network, what it takes and where its weights are.

    Attributes:
        net: the network with its classifier, weights not yet loaded.
        size: side of the square input, pixels.
        mean: subtracted from the input, RGB of 0..255.
        std: divides the input after that, RGB of 0..255.
        normalisation: the input normalisation in words.
        imagenet: name of the ImageNet weights, ``""`` where none can be downloaded.
        url: address of the ImageNet weights; where ``imagenet`` is empty, the page that offers
            them to people.
    """

    net: nn.Module
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    normalisation: str
    imagenet: str
    url: str


class Encoder(nn.Module):
    """A network in evaluation mode that turns images into vectors.

    Attributes:
        name: name of the encoder.
        dim: length of a vector.
        size: side of the square input, pixels.
        provenance: how the vectors come about, JSON values.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, config: ImageConfig, blueprint: Blueprint, dim: int, provenance: Mapping[str, object]
    ) -> None:
        """Take over the network of ``blueprint``, already cut and loaded."""
        super().__init__()
        self.name = config.encoder
        self.dim = dim
        self.size = blueprint.size
        self.views = VIEWS[config.views]
        self.provenance = dict(provenance)
        self.dtype: torch.dtype = getattr(torch, config.precision)
        self.net = blueprint.net
        self.register_buffer("mean", torch.tensor(blueprint.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(blueprint.std).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Return the vectors of ``images``.

        Args:
            images: uint8 RGB, [n, 3, size, size], on the device of the encoder.

        Returns:
            float32, [n, dim].

        Raises:
            ValueError: the images have another type or shape.
        """
        if images.dtype != torch.uint8 or images.shape[1:] != (3, self.size, self.size):
            raise ValueError(
                f"{self.name} takes uint8 images [n, 3, {self.size}, {self.size}], "
                f"got {str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
            )
        scaled = (images.float() - self.mean) / self.std
        lower = self.dtype != torch.float32
        with _exact_float32(), torch.autocast(images.device.type, self.dtype, enabled=lower):
            vectors = [self.net(self._viewed(scaled, *view)).float() for view in self.views]
        return vectors[0] if len(vectors) == 1 else torch.stack(vectors).mean(0)

    def _viewed(self, images: Tensor, turns: int, mirrored: bool) -> Tensor:
        turned = torch.rot90(images, turns, (2, 3)) if turns else images
        view = turned.flip(3) if mirrored else turned
        return view.contiguous(memory_format=torch.channels_last)


def load_encoder(config: ImageConfig, device: torch.device) -> Encoder:
    """Return the encoder of ``config`` with its weights, on ``device``.

    Raises:
        EncoderError: there is no such encoder.
        WeightsError: the weights cannot be had, cannot be read or belong to another network.
        ValueError: the network does not give one vector an image, or has no ReLU to leave out.
    """
    require_encoder(config.encoder)
    blueprint = _build(config.encoder, config.size)
    last = _cut(blueprint.net)
    if not config.relu:
        _leave_out_relu(blueprint.net, last, config.encoder)
    source, sha256 = _load(config, blueprint, last)
    layer = f"input of {last}"
    if config.pooling == "stages":
        blueprint, layer = _of_stages(blueprint, config.encoder)
    dim = _dim(blueprint, config.encoder)
    provenance = {
        "encoder": config.encoder,
        "layer": layer,
        "relu": config.relu,
        "weights": source,
        "sha256": sha256,
        "normalisation": blueprint.normalisation,
        "mean": list(blueprint.mean),
        "std": list(blueprint.std),
        "precision": config.precision,
        "pooling": config.pooling,
        "views": config.views,
        "size": blueprint.size,
        "resize": f"whole image squashed to {blueprint.size} x {blueprint.size}, "
        "bilinear, antialias, uint8",
    }
    encoder = Encoder(config, blueprint, dim, provenance).to(device)
    return encoder.to(memory_format=torch.channels_last)


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders, our own first."""
    return (*ENCODERS, *torchvision.models.list_models(module=torchvision.models))


def require_encoder(name: str) -> None:
    """Refuse the name of an encoder that does not exist.

    Raises:
        EncoderError: with the nearest names.
    """
    names = encoder_names()
    if name not in names:
        near = get_close_matches(name, names, n=5, cutoff=0.5)
        choices = f"nearest are {', '.join(near)}" if near else f"choices: {', '.join(names)}"
        raise EncoderError(f"unknown encoder {name!r}; {choices}")


def torchvision_blueprint(name: str) -> Blueprint:
    """Return the classification network ``name`` of torchvision, with its default input."""
    weights = torchvision.models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    size = int(transforms.crop_size[0])
    return Blueprint(
        net=torchvision.models.get_model(name, weights=None, **_options(name, size)),
        size=size,
        mean=_of_255(transforms.mean),
        std=_of_255(transforms.std),
        normalisation="(RGB 0..255 - mean) / std",
        imagenet=str(weights),
        url=weights.url,
    )


def cnn_f() -> Blueprint:
    """Return CNN-F, the network of the DIVH paper; its input is not divided."""
    return Blueprint(
        net=CnnF(),
        size=CNN_F_SIZE,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        normalisation="RGB 0..255 - average image of the weights",
        imagenet="",
        url="https://www.vlfeat.org/matconvnet/pretrained/",
    )


def _options(name: str, size: int) -> dict[str, object]:
    # The published weights of these two expect the input of the original networks.
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "transform_input": True, "init_weights": False}
    return {"image_size": size} if name.startswith("vit_") else {}


def _of_255(values: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (255 * value for value in values)
    return red, green, blue


def _build(name: str, size: int = 0) -> Blueprint:
    """Return the network ``name``; its random weights are the same in every process.

    Raises:
        ValueError: a network that takes pictures of one size only, and another size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        blueprint = ENCODERS[name]() if name in ENCODERS else torchvision_blueprint(name)
    if not size or size == blueprint.size:
        return blueprint
    if name in ENCODERS or name.startswith("vit_"):
        raise ValueError(f"{name} takes pictures of {blueprint.size} pixels only, not {size}")
    return replace(blueprint, size=size)


def _of_stages(blueprint: Blueprint, name: str) -> tuple[Blueprint, str]:
    """Return the blueprint with the statistics of stages for its vector, and these in words."""
    try:
        net = StageStatistics(blueprint.net, blueprint.size)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
    return replace(blueprint, net=net), f"mean and deviation over {', '.join(net.stages)}"


def _cut(net: nn.Module) -> str:
    """Replace the last layer of ``net`` that has filters by the identity and return its name."""
    parts: list[tuple[str, nn.Module]] = list(net.named_modules())
    layers = [name for name, part in parts if isinstance(part, nn.Linear | nn.Conv2d)]
    net.set_submodule(layers[-1], nn.Identity())
    return layers[-1]


def _leave_out_relu(net: nn.Module, last: str, name: str) -> None:
    """Replace the ReLU whose output enters the layer ``last`` of ``net`` by the identity."""
    owner, _, key = last.rpartition(".")
    parts = list(net.get_submodule(owner).named_children())
    before = parts[: [child for child, _ in parts].index(key)]
    kept = [(child, part) for child, part in before if not isinstance(part, nn.Dropout)]
    in_order = isinstance(net.get_submodule(owner), nn.Sequential)
    if not (in_order and kept and isinstance(kept[-1][1], nn.ReLU)):
        raise ValueError(
            f"the vector of {name} does not come straight from a ReLU, so there is none to leave "
            "out: take it as it is, or take vgg16, alexnet or cnn_f"
        )
    net.set_submodule(f"{owner}.{kept[-1][0]}".lstrip("."), nn.Identity())


def _dim(blueprint: Blueprint, name: str) -> int:
    """Return the length of the vectors of a network that is already cut, without running it."""
    parts = (*blueprint.net.named_parameters(), *blueprint.net.named_buffers())
    shapes = {part: tensor.to("meta") for part, tensor in parts}
    images = torch.empty(2, 3, blueprint.size, blueprint.size, device="meta")
    with torch.inference_mode():
        vectors = torch.func.functional_call(blueprint.net.eval(), shapes, images)
    if vectors.ndim != 2 or len(vectors) != 2:
        raise ValueError(
            f"{name} gives {list(vectors.shape)} for two images, not one vector an image: "
            "take another encoder"
        )
    return int(vectors.shape[1])


def _load(config: ImageConfig, blueprint: Blueprint, last: str) -> tuple[str, str]:
    """Load the weights into the network and return their name and sha256."""
    if config.weights == "random":
        return f"random, seed {SEED}", _state_sha256(blueprint.net)
    imagenet = config.weights == "imagenet"
    path = _imagenet_file(config.encoder, blueprint) if imagenet else Path(config.weights)
    _refuse_unusable(path, config.encoder)
    sha256 = _file_sha256(path)
    if imagenet and not sha256.startswith(_hash_in_name(path)):
        raise WeightsError(f"{path}: damaged, its sha256 is not the one in its name; delete it")
    state = _without_unused(_read(path), last)
    _check(state, blueprint.net, path, config.encoder)
    _copy(state, blueprint.net)
    return blueprint.imagenet if imagenet else path.name, sha256


def _imagenet_file(name: str, blueprint: Blueprint) -> Path:
    """Return torchvision's file of ImageNet weights, downloaded where it is not there yet."""
    if not blueprint.imagenet:
        raise WeightsError(
            f"torchvision has no ImageNet weights of {name}: download imagenet-vgg-f.mat from "
            f"{blueprint.url} and give it with --weights FILE, or take --weights random"
        )
    filename = Path(urlparse(blueprint.url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / filename
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _timeout(PATIENCE):
            torch.hub.download_url_to_file(blueprint.url, str(path), _hash_in_name(path))
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise WeightsError(
            f"the ImageNet weights of {name} could not be downloaded ({_first_line(error)}): "
            f"put {blueprint.url} at {path}, or take --weights FILE or --weights random"
        ) from error
    return path


def _hash_in_name(path: Path) -> str:
    # torchvision's convention: name-<first digits of the sha256>.pth
    found = re.search(r"-([0-9a-f]+)\.", path.name)
    return found.group(1) if found else ""


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)


def _refuse_unusable(path: Path, name: str) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: no such file; weights are imagenet, random or the path of a file"
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({_first_line(error)})") from error
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "device or pipe"
        raise WeightsError(f"{path}: a {kind}, not a weights file")
    if path.suffix.lower() == ".mat" and name != "cnn_f":
        raise WeightsError(f"{path}: MatConvNet weights are read for cnn_f only, not for {name}")


def _read(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a weights file; nothing in it is ever executed."""
    try:
        if path.suffix.lower() == ".mat":
            return read_matconvnet(path)
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
        raise WeightsError(f"{path}: not a weights file ({_first_line(error)})") from error
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


def _without_unused(state: Mapping[str, Tensor], last: str) -> dict[str, Tensor]:
    """Return ``state`` under today's names, without what the network cut at ``last`` lacks."""
    unused = (f"{last}.", *AUXILIARY)
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


def _check(state: Mapping[str, Tensor], net: nn.Module, path: Path, name: str) -> None:
    misfits = _misfits(state, _wanted(net))
    if misfits:
        raise WeightsError(
            f"{path}: not weights of {name}, {len(misfits)} tensors do not fit "
            f"({'; '.join(misfits[:2])}){_advice(state)}"
        )
    for key, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path}: damaged, {key} holds values that are not finite")


def _misfits(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    missing = [f"{name} is missing" for name in wanted if name not in state]
    unexpected = [f"{name} is not of this net" for name in state if name not in wanted]
    return missing + unexpected + _other_kinds(state, wanted)


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
    for name in COMMON:
        with torch.device("meta"):
            net = torchvision_blueprint(name).net
        last = _cut(net)
        if not _misfits(_without_unused(state, last), _wanted(net)):
            return f"; they fit --encoder {name}"
    return ""


def _copy(state: Mapping[str, Tensor], net: nn.Module) -> None:
    with torch.no_grad():
        for name, tensor in _wanted(net).items():
            tensor.copy_(state[name])


def _file_sha256(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


def _state_sha256(net: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(_wanted(net).items()):
        digest.update(f"{name} {_kind(tensor)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _exact_float32() -> Iterator[None]:
    # cuDNN convolves float32 in TF32 unless told otherwise: ten bits of mantissa instead of 23.
    backend = torch.backends.cudnn
    with backend.flags(enabled=backend.enabled, benchmark=backend.benchmark, allow_tf32=False):
        yield


ENCODERS: dict[str, Callable[[], Blueprint]] = {"cnn_f": cnn_f}
