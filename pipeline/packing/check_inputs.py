"""Inputs that packed networks are checked with: items of the run's features, or made-up ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.features.image_resize import resized
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features

OF_RUN, MADE_UP = "features of the run", "made up"
SEED = 0


@dataclass(frozen=True, eq=False)
class CheckInputs:
    """Inputs of the ends of a model.

    Attributes:
        source: where they come from.
        vectors: float32 [n, image_dim].
        streams: float32 [m, streams, coefficients, frames].
        frames: int64 [m].
    """

    source: str
    vectors: np.ndarray
    streams: np.ndarray
    frames: np.ndarray


def check_inputs(config: Mapping[str, Any], count: int) -> CheckInputs:
    """Return ``count`` inputs of the run with ``config``: its features if they are still there."""
    data = features_of_run(config)
    if data is None:
        return _made_up(config["sizes"], count)
    images = _spread([item.name for item in data.image_items()], count)
    voices = _spread([item.name for item in data.voice_items()], count)
    streams, frames = data.voice_vectors(voices, config["streams"])
    return CheckInputs(
        OF_RUN, data.image_vectors(images), streams.astype(np.float32), frames.astype(np.int64)
    )


def features_of_run(config: Mapping[str, Any]) -> FeatureDataset | None:
    """Return the features that the run was trained on, None if they are gone or others now."""
    folder = config["features"]["folder"]
    if not folder or not Path(folder).is_dir():
        return None
    try:
        data = open_features(folder)
        same = data.digests(config["features"].get("changes", ())) == config["features"]["sha256"]
    except IvrError:  # moved, replaced or damaged: not the features of the run
        return None
    return data if same else None


def made_up_pixels(count: int, size: int) -> np.ndarray:
    """Return uint8 [count, 3, size, size]: soft spots and noise, always the same."""
    rng = np.random.default_rng(SEED)
    pictures = []
    for number in range(count):
        spots = rng.integers(0, 256, (3, 2 + number % 14, 2 + number % 14)).astype(np.uint8)
        picture = resized(spots, size, size) + rng.normal(0, number % 7, (3, size, size))
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(pictures)


def _made_up(sizes: Mapping[str, Any], count: int) -> CheckInputs:
    rng = np.random.default_rng(SEED)
    streams, coefficients, length = sizes["voice_shape"]
    frames = rng.integers(1, 1 + length, count)
    voices = rng.normal(0, 10, (count, streams, coefficients, length)).astype(np.float32)
    voices *= np.arange(length) < frames[:, None, None, None]
    vectors = rng.normal(0, 1, (count, sizes["image_dim"])).astype(np.float32)
    return CheckInputs(MADE_UP, vectors, voices, frames)


def _spread(names: Sequence[str], count: int) -> list[str]:
    """Return at most ``count`` of ``names``, evenly spread over all."""
    places = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
    return [names[place] for place in places]
