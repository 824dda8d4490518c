"""Arrays that a model is given, checked at the door."""

from collections.abc import Sequence

import numpy as np

from ivr.features.image_input import ImageInput


def require_pixels(pixels: np.ndarray, wanted: ImageInput) -> None:
    """Refuse anything but uint8 pixels of the shape of ``wanted``.

    Raises:
        ValueError: another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.shape[1:] != wanted.shape:
        raise ValueError(
            f"pixels must be uint8 [n, {', '.join(map(str, wanted.shape))}], got {pixels.dtype} "
            f"{list(pixels.shape)}"
        )


def require_streams(streams: np.ndarray, frames: np.ndarray, shape: Sequence[int]) -> None:
    """Refuse anything but float32 or float16 [m, *shape], and integers [m].

    Args:
        streams: MFCC streams.
        frames: true number of frames of each voice.
        shape: streams, coefficients and frames of the voices of the model.

    Raises:
        ValueError: another type or shape.
    """
    wanted = ", ".join(map(str, shape))
    if streams.dtype not in (np.float32, np.float16) or streams.shape[1:] != tuple(shape):
        raise ValueError(
            f"streams must be float32 [m, {wanted}], got {streams.dtype} {list(streams.shape)}"
        )
    if frames.dtype.kind not in "iu" or frames.shape != streams.shape[:1]:
        raise ValueError(
            f"frames must be integers [{len(streams)}], got {frames.dtype} {list(frames.shape)}"
        )
