"""What is known of the encoders without their networks, so that a plan needs no torch.

The table ``encoder_table.json`` is written by ``docs/write_encoder_table.py`` for one release of
torchvision. With another release, whose default weights may be others, and for choices that change
the network, the network itself is asked (:func:`ivr.features.image.described_by_network`).
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .encoder_provenance import encoder_provenance, layer_words
from .image_config import ImageConfig
from .image_input import ImageInput
from .weights_file import WeightsSource, identify_file

TABLE = "encoder_table.json"


@dataclass(frozen=True)
class KnownEncoder:
    """An encoder with its default input.

    Attributes:
        dim: length of a vector.
        classifier: name of the layer that is cut.
        size: side of the input, pixels.
        mean: subtracted from the input, RGB of 0..255.
        std: divides the input after that.
        normalisation: the normalisation in words.
        imagenet: name of the ImageNet weights, ``""`` if they cannot be downloaded.
        url: address of these weights.
        weights_help: how to get weights that cannot be downloaded.
        suffixes: suffixes of weights files that it reads besides the usual ones.
    """

    dim: int
    classifier: str
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    normalisation: str
    imagenet: str
    url: str
    weights_help: str
    suffixes: tuple[str, ...]


def release(library: str) -> str:
    """Return the first two numbers of the version of an installed library, e.g. ``0.25``."""
    return ".".join(version(library).split(".")[:2])


@cache
def known_encoders() -> dict[str, KnownEncoder]:
    """Return the encoders of the table by name; none if it is of another release of torchvision."""
    content = json.loads(Path(__file__).with_name(TABLE).read_text(encoding="utf-8"))
    if content["torchvision"] != release("torchvision"):
        return {}
    return {name: _known(values) for name, values in content["encoders"].items()}


def describe_encoder(config: ImageConfig) -> tuple[int, dict[str, object]]:
    """Return length of the vectors and ``provenance`` of an encoder; loads no weights.

    Torch is imported only for random weights, whose digest needs them, for an encoder that is not
    in the table, and for choices that change its network.

    Raises:
        EncoderError, WeightsError: see :func:`ivr.features.image.described_by_network`.
    """
    known = known_encoders().get(config.encoder)
    as_in_table = known and config.relu and config.pooling == "vector"
    if not (known and as_in_table and config.size in (0, known.size)) or config.weights == "random":
        from .image import described_by_network

        return described_by_network(config)
    source = WeightsSource(
        config.encoder, known.imagenet, known.url, known.weights_help, known.suffixes
    )
    return known.dim, encoder_provenance(
        config,
        layer=layer_words(known.classifier),
        normalisation=known.normalisation,
        mean=known.mean,
        std=known.std,
        shape=ImageInput(known.size),
        weights=identify_file(config.weights, source),
    )


def require_known(name: str) -> None:
    """Refuse the name of an encoder that does not exist; torch is imported for others only.

    Raises:
        UnknownNameError: there is no such encoder; the message has the nearest names.
    """
    if name not in known_encoders():
        from .encoders import require_encoder

        require_encoder(name)


def _known(values: dict[str, Any]) -> KnownEncoder:
    of_tuples = ("mean", "std", "suffixes")
    return KnownEncoder(**values | {name: tuple(values[name]) for name in of_tuples})
