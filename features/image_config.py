"""Configuration of the image encoder; imports neither torch nor torchvision."""

from dataclasses import field
from typing import Literal

from ivr.config import config

from .image_bands import PixelConfig

TIMM = "timm:"
"""Start of the name of an encoder of timm."""
SIFT = "sift"
"""Name of the encoder that counts visual words (:mod:`ivr.features.sift`)."""
# Quarter turns, and whether the picture is mirrored after them. Of two or four views half are
# mirrored, and four views cover all four turns.
VIEWS = {
    1: ((0, False),),
    2: ((0, False), (1, True)),
    4: ((0, False), (1, True), (2, False), (3, True)),
    8: tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4)),
}


@config
class ImageConfig:
    """Image encoder.

    Whether the encoder exists is checked by :func:`ivr.features.encoders.require_encoder`, since
    the list of names needs torchvision.

    Attributes:
        encoder: Network that turns an image into a vector: ``cnn_f`` (the network of the papers), a
            classification network of torchvision such as ``vgg16`` or ``alexnet``, ``timm:NAME``
            for a network of timm, ``sift`` for counts of visual words, an encoder of another
            package by its name, or ``module:function``.
        weights: Weights of the encoder: ``imagenet`` (torchvision's, downloaded once; ``sift``
            learns its vocabulary instead), ``random`` (the same everywhere) or the path of a
            weights file.
        relu: Take the vector after its ReLU, as the network does; if false, before it (only for
            networks whose vector comes from a ReLU, such as ``vgg16``, ``alexnet`` and ``cnn_f``).
        precision: Precision of the network: ``float32``, or ``bfloat16`` or ``float16`` on a device
            that gains from it.
        pooling: Vector that is taken: ``vector`` is the input of the classifier, ``stages`` the
            statistics of the last five stages of the network (:mod:`ivr.features.stage_pooling`);
            of vision transformers of timm also ``token``, the class token, and ``mean``, the mean
            of the tokens of the picture.
        views: Number of turned and mirrored views of an image whose vectors are averaged; scenes
            from above have no upright.
        size: Side of the network's input in pixels; 0 takes the side that the network was trained
            with.
        pixels: How the bands of an image file become red, green and blue of 8 bits.
    """

    encoder: str = "vgg16"
    weights: str = "imagenet"
    relu: bool = True
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    pooling: Literal["vector", "stages", "token", "mean"] = "vector"
    views: Literal[1, 2, 4, 8] = 1
    size: int = 0
    pixels: PixelConfig = field(default_factory=PixelConfig)

    def __post_init__(self) -> None:
        """Refuse weights and sizes that no network has."""
        if not self.weights:
            raise ValueError("weights must be imagenet, random or the path of a file, got ''")
        if self.size and not 8 <= self.size <= 4096:
            raise ValueError(f"size must be 0 or from 8 to 4096 pixels, got {self.size}")
