"""What is recorded of an image encoder: everything that decides its vectors; imports no torch."""

from .image_config import ImageConfig


def encoder_provenance(
    config: ImageConfig,
    *,
    layer: str,
    normalisation: str,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    size: int,
    weights: tuple[str, str],
) -> dict[str, object]:
    """Return everything that decides the vectors, and the name of the weights; JSON values.

    Args:
        config: the choices of the user.
        layer: which vector is taken, in words.
        normalisation: normalisation of the input, in words.
        mean: subtracted from the input, RGB of 0..255.
        std: divides the input after that.
        size: side of the input, pixels.
        weights: name and sha256 of the weights.
    """
    source, sha256 = weights
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
        "size": size,
        "resize": f"whole image squashed to {size} x {size}, bilinear, antialias, uint8",
    }


def layer_words(classifier: str) -> str:
    """Return which vector is taken, in words.

    Args:
        classifier: name of the layer that is cut, ``""`` for none.
    """
    return f"input of {classifier}" if classifier else "output"
