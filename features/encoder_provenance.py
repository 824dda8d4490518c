"""What is recorded of an image encoder: everything that decides its vectors; imports no torch."""

from dataclasses import asdict

from .image_config import ImageConfig
from .image_input import ImageInput


def encoder_provenance(
    config: ImageConfig,
    *,
    layer: str,
    normalisation: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    shape: ImageInput,
    weights: tuple[str, str],
) -> dict[str, object]:
    """Return everything that decides the vectors, and the name of the weights; JSON values.

    Args:
        config: the choices of the user.
        layer: which vector is taken, in words.
        normalisation: normalisation of the input, in words.
        mean: subtracted from the input, each band of 0..255.
        std: divides the input after that.
        shape: the input of the network.
        weights: name and sha256 of the weights.
    """
    source, sha256 = weights
    # The input is recorded where it is not the usual one, so that earlier features stay valid.
    usual = asdict(ImageInput(shape.side))
    other = {name: value for name, value in asdict(shape).items() if value != usual[name]}
    return {
        "encoder": config.encoder,
        "layer": layer,
        "relu": config.relu,
        "weights": source,
        "sha256": sha256,
        "normalisation": normalisation,
        "mean": list(mean),
        "std": list(std),
        "precision": config.precision,
        "pooling": config.pooling,
        "views": config.views,
        "size": shape.side,
        "resize": shape.words,
        **({"input": other} if other else {}),
    }


def layer_words(classifier: str) -> str:
    """Return which vector is taken, in words.

    Args:
        classifier: name of the layer that is cut, ``""`` for none.
    """
    return f"input of {classifier}" if classifier else "output"
