"""Which voice of an image is used where a protocol takes one."""

from collections.abc import Sequence

import numpy as np


def one_voice_per_image(names: Sequence[str], images: Sequence[str], seed: int) -> list[int]:
    """Return the rows of one voice an image, drawn by ``seed`` whatever the order of the rows.

    Args:
        names: of the voices.
        images: the image that each voice belongs to; a voice without an image stands for itself.
        seed: of the draw; each image draws from its place in alphabetical order.
    """
    by_image: dict[str, list[int]] = {}
    for row in sorted(range(len(names)), key=lambda row: names[row]):
        by_image.setdefault(images[row] or names[row], []).append(row)
    rng = np.random.default_rng(seed)
    return sorted(int(rng.choice(rows)) for _, rows in sorted(by_image.items()))
