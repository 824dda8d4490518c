"""What an image encoder is made of: a network, its input and its weights.

A new encoder is a function without arguments that returns a :class:`Blueprint`. It stands in a file
of its own: in this package (named in ``ENCODERS`` of :mod:`ivr.features.encoders`), as an entry
point of the group ``ivr.encoders``, or given as ``--encoder module:function``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from ivr.errors import IvrError

from .image_input import ImageInput
from .image_resize import Interpolation

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
        mean: subtracted from the input, one value of 0..255 per band; RGB if there are three.
        std: divides the input after that, one value per band.
        normalisation: the normalisation in words.
        any_size: whether the network also takes images of another size.
        interpolation: kernel of the resizing.
        crop: share of the side of the resized picture that is cut out of its centre, in (0, 1].
        fit: which sides are resized to ``size / crop``, see
            :class:`ivr.features.image_input.ImageInput`.
        imagenet: name of the ImageNet weights, ``""`` if they cannot be downloaded.
        url: address of the ImageNet weights, ``""`` if they cannot be downloaded. The name of the
            file has the first digits of its sha256: ``name-0123abcd.pth``.
        weights_help: how to get weights that cannot be downloaded, as the start of a sentence, e.g.
            ``"download net.pth from https://example.org"``.
        readers: functions that read weights files of other formats than PyTorch's and safetensors,
            by suffix in lower case; each returns a state dict of ``net`` and raises ValueError for
            a file of another kind.
        unused: starts of the names of weights that the network does not take, e.g. of a head.
        adapt: turns a state dict of another layout into one of ``net``; raises ValueError for one
            that cannot be turned.
        poolings: vectors from the inside of the network, by name of ``--pooling``, that replace the
            general ones: each function takes ``net`` with its weights, and returns a module that
            turns its input into vectors and has a text ``words``; raises ValueError if the network
            has no such vector.
        of_file: makes the network with the shapes of a weights file in place of ``net``, for
            networks whose vectors are as long as their weights decide; raises ValueError for a file
            of another kind.
    """

    net: nn.Module
    classifier: str
    size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    normalisation: str = "(RGB 0..255 - mean) / std"
    any_size: bool = False
    interpolation: Interpolation = "bilinear"
    crop: float = 1.0
    fit: Literal["squash", "shorter"] = "squash"
    imagenet: str = ""
    url: str = ""
    weights_help: str = ""
    readers: Mapping[str, Callable[[Path], dict[str, Tensor]]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    poolings: Mapping[str, Callable[[nn.Module], nn.Module]] = field(default_factory=dict)
    of_file: Callable[[Path], nn.Module] | None = None

    @property
    def input(self) -> ImageInput:
        """How pictures become the input of the network."""
        scaled = math.floor(self.size / self.crop)
        return ImageInput(
            self.size,
            scaled if scaled > self.size else 0,
            self.fit,
            self.interpolation,
            len(self.mean),
        )
