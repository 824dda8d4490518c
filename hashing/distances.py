"""Real-valued outputs to distances, by the method's own measure.

A measure takes outputs of images [n, width] and of voices [m, width], float32, and returns
distances [n, m], float64 or float32, smaller is nearer. The caller passes blocks of rows.
"""

from collections.abc import Callable

import numpy as np
import torch

from .method import Method

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


def measure_of(model: Method) -> Measure | None:
    """Return how ``model`` compares outputs; None for a method that compares codes.

    Raises:
        ValueError: a distance that is not implemented.
    """
    if model.distance == "hamming":
        return None
    if model.distance == "euclidean":
        return euclidean_distance
    if model.distance == "matching":
        return lambda images, voices: unlikeliness(model, images, voices)
    raise ValueError(f"no distance {model.distance!r}")


def euclidean_distance(images: np.ndarray, voices: np.ndarray) -> np.ndarray:
    """Return Euclidean distances [n, m], float64; equal vectors are at equal distances."""
    from scipy.spatial.distance import cdist

    table: np.ndarray = cdist(images, voices)
    return table


def unlikeliness(model: Method, images: np.ndarray, voices: np.ndarray) -> np.ndarray:
    """Return the log-odds [n, m], float32, that items do not match, by ``model``."""
    model.eval()
    with torch.inference_mode():
        odds = model.match_odds(
            *(torch.from_numpy(outputs).to(model.device) for outputs in (images, voices))
        )
    return (-odds).float().cpu().numpy()
