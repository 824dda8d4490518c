"""What an image encoder is made of: a network, its input and its weights.

A new encoder is a function without arguments that returns a :class:`Blueprint`. It stands in a file
of its own: in this package (named in ``ENCODERS`` of :mod:`ivr.features.encoders`), as an entry
point of the group ``ivr.encoders``, or given as ``--encoder module:function``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from ivr.errors import IvrError

# Mean and deviation of the colours of ImageNet, of RGB 0..255.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class EncoderError(IvrError):
    """An encoder that does not exist or cannot be used, in one line that says what to do."""


@dataclass(frozen=True)
class Blueprint:
    """A network that becomes an image encoder.

    Attributes:
        net: the network, weights not yet loaded; takes float images [n, 3, size, size] after
            normalisation.
        classifier: name of the layer of ``net`` that gives the class scores. It is cut: the vector
            of an image is the input of this layer. ``""`` for a network whose output is the vector.
        size: side of the square input, pixels.
        mean: subtracted from the input, RGB of 0..255.
        std: divides the input after that, RGB of 0..255.
        normalisation: the normalisation in words.
        any_size: whether the network also takes images of another size.
        imagenet: name of the ImageNet weights, ``""`` if they cannot be downloaded.
        url: address of the ImageNet weights, ``""`` if they cannot be downloaded. The name of the
            file has the first digits of its sha256: ``name-0123abcd.pth``.
        weights_help: how to get weights that cannot be downloaded, as the start of a sentence, e.g.
            ``"download net.pth from https://example.org"``.
        readers: functions that read weights files of other formats than PyTorch's and safetensors,
            by suffix in lower case; each returns a state dict of ``net`` and raises ValueError for
            a file of another kind.
    """

    net: nn.Module
    classifier: str
    size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    normalisation: str = "(RGB 0..255 - mean) / std"
    any_size: bool = False
    imagenet: str = ""
    url: str = ""
    weights_help: str = ""
    readers: Mapping[str, Callable[[Path], dict[str, Tensor]]] = field(default_factory=dict)
