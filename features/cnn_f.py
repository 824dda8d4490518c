"""CNN-F, the image network of the DIVH paper, and the reader of its MatConvNet weights.

The MATLAB file is not read by ``scipy.io.loadmat``, which trusts the file: of 400 single changed
bytes in a small network file, 8 crashed the process with a memory fault.

References:
    Chatfield, Simonyan, Vedaldi and Zisserman, "Return of the Devil in the Details: Delving Deep
    into Convolutional Nets", BMVC 2014, Table 1, row CNN-F.
    The MathWorks, "MAT-File Format", chapter 1, level 5 MAT-files.
"""

import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .blueprint import Blueprint

SIZE = 224
# Average colour of the ImageNet training images, RGB (Simonyan and Zisserman 2015); used until an
# average image is read.
AVERAGE_COLOUR = (123.68, 116.779, 103.939)
# MAT-File Format, table 1-1: types of stored numbers (16 to 18 are UTF-8 to UTF-32) ...
NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
NUMBERS |= {12: "<i8", 13: "<u8", 16: "u1", 17: "<u2", 18: "<u4"}
MATRIX, COMPRESSED = 14, 15
# ... and table 1-3: classes of arrays.
CELL, STRUCT, TEXT = 1, 2, 4
NUMERIC = range(6, 16)
HEADER = 128
LARGEST = 2**30  # bytes of all variables unpacked; the weights of CNN-F are 243 MB
MOST_ELEMENTS = 100_000  # five per name of one of a thousand classes, and some per layer
MOST_TEXT = 10_000  # characters


class CnnF(nn.Sequential):
    """CNN-F on RGB images of 0..255, minus the average image, which is part of its weights.

    The layers have MatConvNet's names. Its pools pad one row and one column at the far ends
    (``pad = [0 1 0 1]``), which at 224 pixels is what ``ceil_mode`` does. Its normalisation divides
    by ``(kappa + alpha * sum of squares) ** beta`` where torch takes the mean of the squares, so
    that torch's alpha is MatConvNet's 1e-4 times the window, 5.

    Attributes:
        average: image subtracted from every image, [3, 224, 224], 0..255.
    """

    average: Tensor

    def __init__(
        self,
        channels: tuple[int, int, int, int, int] = (64, 256, 256, 256, 256),
        hidden: int = 4096,
        classes: int = 1000,
    ) -> None:
        """Build the net with random weights.

        Args:
            channels: filters of conv1 to conv5.
            hidden: length of fc6 and fc7.
            classes: length of fc8.
        """
        one, two, three, four, five = channels
        layers: list[tuple[str, nn.Module]] = [
            ("conv1", nn.Conv2d(3, one, 11, stride=4)),
            ("relu1", nn.ReLU()),
            ("norm1", _normalisation()),
            ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
            ("conv2", nn.Conv2d(one, two, 5, padding=2)),
            ("relu2", nn.ReLU()),
            ("norm2", _normalisation()),
            ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
            ("conv3", nn.Conv2d(two, three, 3, padding=1)),
            ("relu3", nn.ReLU()),
            ("conv4", nn.Conv2d(three, four, 3, padding=1)),
            ("relu4", nn.ReLU()),
            ("conv5", nn.Conv2d(four, five, 3, padding=1)),
            ("relu5", nn.ReLU()),
            ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
            ("flatten", nn.Flatten()),
            ("fc6", nn.Linear(five * 6 * 6, hidden)),
            ("relu6", nn.ReLU()),
            ("fc7", nn.Linear(hidden, hidden)),
            ("relu7", nn.ReLU()),
            ("fc8", nn.Linear(hidden, classes)),
        ]
        super().__init__(OrderedDict(layers))
        colour = torch.tensor(AVERAGE_COLOUR).view(3, 1, 1)
        self.register_buffer("average", colour.expand(3, SIZE, SIZE).contiguous())

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of the last layer for float ``images`` [n, 3, 224, 224] of 0..255."""
        vectors = images - self.average
        for layer in self:
            vectors = layer(vectors)
        return vectors


def cnn_f() -> Blueprint:
    """Return CNN-F, the network of the DIVH paper; its input is not divided."""
    return Blueprint(
        net=CnnF(),
        classifier="fc8",
        size=SIZE,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        normalisation="RGB 0..255 - average image of the weights",
        weights_help=(
            "download imagenet-vgg-f.mat from https://www.vlfeat.org/matconvnet/pretrained/"
        ),
        readers={".mat": read_matconvnet},
    )


def read_matconvnet(path: Path) -> dict[str, Tensor]:
    """Return the weights of a MatConvNet network as a state dict of :class:`CnnF`.

    Filters [height, width, in, out] become [out, in, height, width]; those of layers called
    ``fc...`` become [out, in * height * width]. The layers may stand at the top of the file or in
    ``net``, their weights in ``weights`` or (files before 2015) in ``filters`` and ``biases``, the
    average image below ``meta`` or (before 2015) not.

    Args:
        path: a ``.mat`` file such as ``imagenet-vgg-f.mat``.

    Raises:
        ValueError: the file is not a MatConvNet network.
        OSError: the file cannot be read.
    """
    contents = _variables(memoryview(path.read_bytes()))
    if "layers" not in contents and "net" not in contents:
        raise ValueError("no MatConvNet network: it has neither 'layers' nor 'net'")
    try:
        net = contents.get("net", contents)
        state = {"average": _average(net)}
        for layer in net["layers"]:
            state |= _layer(layer)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"not the fields of a MatConvNet network ({error})") from error
    return state


def _normalisation() -> nn.LocalResponseNorm:
    return nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2)


def _average(net: Mapping[str, Any]) -> Tensor:
    image = net.get("meta", net)["normalization"]["averageImage"]
    if image.ndim != 3:
        raise ValueError(f"averageImage must be [224, 224, 3] or [1, 1, 3], got {image.shape}")
    planes = torch.from_numpy(np.array(image.transpose(2, 0, 1), dtype=np.float32, order="C"))
    return planes.expand(-1, SIZE, SIZE) if planes.shape[1:] == (1, 1) else planes


def _layer(layer: Mapping[str, Any]) -> dict[str, Tensor]:
    pair = (layer["filters"], layer["biases"]) if "filters" in layer else layer.get("weights", ())
    if len(pair) == 0:
        return {}
    name, filters = layer["name"], pair[0]
    planes = np.array(filters.transpose(3, 2, 0, 1), dtype=np.float32, order="C")
    weight = planes.reshape(len(planes), -1) if name.startswith("fc") else planes
    bias = np.array(pair[1], dtype=np.float32).ravel()
    return {f"{name}.weight": torch.from_numpy(weight), f"{name}.bias": torch.from_numpy(bias)}


def _variables(data: memoryview) -> dict[str, Any]:
    """Return the variables of a level 5 MAT-file: arrays, text, lists (cells), dicts (structs)."""
    if len(data) < HEADER or bytes(data[124:128]) != b"\x00\x01IM":
        raise ValueError("no MATLAB file of version 5 to 7; save it with -v7")
    contents: dict[str, Any] = {}
    top = list(_elements(data[HEADER:], budget := iter(range(MOST_ELEMENTS))))
    unpacked = sum(_unpacked_length(body) for kind, body in top if kind == COMPRESSED)
    if unpacked + len(data) > LARGEST:
        raise ValueError(f"its variables unpack to {unpacked} bytes, more than {LARGEST}")
    for kind, body in top:
        matrices = _elements(_unpacked(body), budget) if kind == COMPRESSED else [(kind, body)]
        contents |= dict(_matrix(matrix, budget) for kind, matrix in matrices if kind == MATRIX)
    return contents


def _unpacked_length(data: memoryview) -> int:
    """Return the length of the variable that ``data`` unpacks to, from its tag."""
    tag = zlib.decompressobj().decompress(data, 8)
    if len(tag) < 8:
        raise ValueError("a variable ends early")
    return 8 + int.from_bytes(tag[4:], "little")


def _unpacked(data: memoryview) -> memoryview:
    unpacker, length = zlib.decompressobj(), _unpacked_length(data)
    unpacked = unpacker.decompress(data, length)
    if len(unpacked) < length or (
        not unpacker.eof and unpacker.decompress(unpacker.unconsumed_tail, 1)
    ):
        raise ValueError("a variable ends early or is longer than its tag says")
    return memoryview(unpacked)


def _elements(data: memoryview, budget: Iterator[int]) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of the data elements that follow each other in ``data``."""
    start = 0
    while start < len(data):
        if start + 8 > len(data):
            raise ValueError("ends within a tag")
        if next(budget, None) is None:
            raise ValueError(f"has more than {MOST_ELEMENTS} parts")
        kind, length = struct.unpack_from("<II", data, start)
        small = kind >> 16
        if small:  # up to four bytes stand in the tag itself
            kind, length = kind & 0xFFFF, small
        body = start + (4 if small else 8)
        if body + length > len(data) or small > 4:
            raise ValueError("ends early")
        yield kind, data[body : body + length]
        padding = 0 if kind == COMPRESSED else -(body + length) % 8
        start = body + length + padding


def _matrix(data: memoryview, budget: Iterator[int]) -> tuple[str, Any]:
    """Return name and value of an array; the value is None for classes that are not used."""
    parts = list(_elements(data, budget))
    if not parts:
        return "", np.empty((0, 0))
    if len(parts) < 3 or len(parts[0][1]) < 8:
        raise ValueError("an array without flags, dimensions and name")
    (_, flags), (_, shape), (_, name) = parts[:3]
    return bytes(name).decode("latin-1"), _value(
        flags[0], np.frombuffer(shape, "<i4"), parts[3:], budget
    )


def _value(
    kind: int, shape: np.ndarray, parts: list[tuple[int, memoryview]], budget: Iterator[int]
) -> Any:
    if kind == CELL:
        return [_matrix(body, budget)[1] for _, body in parts]
    if kind == STRUCT:
        return _struct(parts, budget)
    if kind == TEXT:
        text = _numbers(parts)
        if len(text) > MOST_TEXT:
            raise ValueError(f"a text of {len(text)} characters")
        return "".join(map(chr, text))
    if kind in NUMERIC:
        if min(shape) < 0:
            raise ValueError(f"an array of shape {shape.tolist()}")
        return _numbers(parts).reshape(shape, order="F")
    return None


def _struct(parts: list[tuple[int, memoryview]], budget: Iterator[int]) -> dict[str, Any]:
    """Return the fields of a struct, or of the first struct of an array."""
    if len(parts) < 2 or len(parts[0][1]) != 4:
        raise ValueError("a struct without names of fields")
    width = max(1, int.from_bytes(parts[0][1], "little"))
    names = bytes(parts[1][1])
    starts = range(0, len(names), width)
    fields = [names[start : start + width].split(b"\0")[0].decode("latin-1") for start in starts]
    return {
        field: _matrix(body, budget)[1] for field, (_, body) in zip(fields, parts[2:], strict=False)
    }


def _numbers(parts: list[tuple[int, memoryview]]) -> np.ndarray:
    if not parts or parts[0][0] not in NUMBERS:
        raise ValueError("an array without its numbers")
    return np.frombuffer(parts[0][1], NUMBERS[parts[0][0]])
