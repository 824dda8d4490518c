"""The choice of one voice per image, for protocols that use one."""

from collections.abc import Sequence

import numpy as np


def one_voice_per_image(names: Sequence[str], images: Sequence[str], seed: int) -> list[int]:
    """Return the row numbers of one voice per image, drawn by ``seed``.

    The draw depends on the names, not on the order of the rows.

    Args:
        names: names of the voices.
        images: image of each voice; a voice without an image (``""``) is drawn by itself.
        seed: seed of the draw; images draw in alphabetical order.
    """
    by_image: dict[str, list[int]] = {}
    for row in sorted(range(len(names)), key=lambda row: names[row]):
        by_image.setdefault(images[row] or names[row], []).append(row)
    rng = np.random.default_rng(seed)
    return sorted(int(rng.choice(rows)) for _, rows in sorted(by_image.items()))
