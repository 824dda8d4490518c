"""Inputs that packed networks are checked with: items of the run's features, or made-up ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import read_image
from ivr.features.image_input import ImageInput
from ivr.features.image_resize import resized
from ivr.features.media import MediaError
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.extraction.media_roots import media_roots
from ivr.pipeline.runs.query_vectors import QueryVectors

OF_RUN, OF_IMAGES, MADE_UP = "features of the run", "images of the run", "made up"
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


def picture_blocks(
    config: Mapping[str, Any],
    queries: QueryVectors,
    image_root: str | Path | None,
    count: int,
    block: int,
) -> tuple[str, Iterator[np.ndarray]]:
    """Return where pictures come from, and blocks of them, uint8 [n, 3, side, side].

    Args:
        config: content of the ``config.json`` of a run.
        queries: the settings of its images.
        image_root: folder that image names are relative to; None for the one that the extraction
            recorded. Without images there, and if the features of the run, whose manifest names
            them, are gone, pictures are made up.
        count: largest number of pictures.
        block: largest number of pictures of a block.

    Raises:
        MediaError: while blocks are read: an image is not there or cannot be read.
    """
    shape, data = queries.image_input(), features_of_run(config)
    names = [] if data is None else [item.name for item in data.image_items()]
    root = None if data is None else image_folder(data, names, image_root)
    if root is None:
        return MADE_UP, in_blocks(made_up_pictures(count, shape), block)
    if image_root is None:  # not all of them need be there
        names = [name for name in names if (root / name).is_file()]
    pictures = pictures_of(_spread(names, count), root, shape, queries.pixel_config())
    return OF_IMAGES, in_blocks(pictures, block)


def image_folder(
    data: FeatureDataset, names: Sequence[str], given: str | Path | None
) -> Path | None:
    """Return the folder that the images of features lie below, None if they are not there.

    Args:
        data: the features.
        names: names of their images.
        given: the folder that the user names; None for the one that the extraction recorded, or the
            nearest around the features that has such images.
    """
    if given is not None:
        return Path(given)
    root = media_roots(data.folder, names, ()).images
    return root if any((root / name).is_file() for name in names) else None


def pictures_of(
    names: Sequence[str], root: Path, shape: ImageInput, pixels: PixelConfig
) -> Iterator[np.ndarray]:
    """Yield images by name, uint8 [3, side, side].

    Raises:
        MediaError: an image is not there or cannot be read.
    """
    for name in names:
        try:
            yield read_image(root / name, shape, pixels)
        except MediaError as error:
            raise MediaError(f"{root / name}: {error}") from error


def in_blocks(pictures: Iterator[np.ndarray], block: int) -> Iterator[np.ndarray]:
    """Yield arrays of at most ``block`` pictures each, uint8 [n, 3, side, side]."""
    while several := list(islice(pictures, block)):
        yield np.stack(several)


def made_up_pictures(count: int, shape: ImageInput) -> Iterator[np.ndarray]:
    """Yield ``count`` pictures, uint8 [3, side, side]: soft spots and noise, always the same."""
    rng = np.random.default_rng(SEED)
    for number in range(count):
        spots = rng.integers(0, 256, (shape.bands, 2 + number % 14, 2 + number % 14)).astype(
            np.uint8
        )
        picture = resized(spots, *shape.shape[1:]) + rng.normal(0, number % 7, shape.shape)
        yield np.clip(picture, 0, 255).astype(np.uint8)


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
