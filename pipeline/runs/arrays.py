"""The arrays that a model is fitted on or encodes, checked."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivr.errors import IvrError
from ivr.hashing.pairs import Pairs
from ivr.pipeline.datasets.canonical_names import find_spellings
from ivr.pipeline.runtime.words import counted

from .training_data import mapped_tensor


class FitError(IvrError):
    """Arrays that cannot be learnt from, in one line."""


@dataclass(frozen=True)
class Arrays:
    """The arrays that a model is fitted on, as tensors.

    Attributes:
        images: [n, image_dim].
        voices: [m, streams, coefficients, frames].
        frames: [m].
        numbers: [n] class numbers.
        voice_image: [m] row of the image of each voice.
    """

    images: Tensor
    voices: Tensor
    frames: Tensor
    numbers: np.ndarray
    voice_image: np.ndarray

    def of(self, chosen: np.ndarray, *, everything: bool = False) -> Pairs:
        """Return the pairs of the images that ``chosen`` [n] marks, in their order.

        Args:
            chosen: booleans [n].
            everything: keep images without a voice.
        """
        spoken = np.zeros(len(self.images), bool)
        spoken[self.voice_image] = True
        images = np.flatnonzero(chosen if everything else chosen & spoken)
        if not len(images):
            raise FitError(
                "no image with a voice is left to train on or to validate on; "
                "change the share for validation"
            )
        place = np.full(len(self.images), -1)
        place[images] = np.arange(len(images))
        voices = np.flatnonzero(place[self.voice_image] >= 0)
        voices = voices[np.argsort(place[self.voice_image[voices]], kind="stable")]
        return Pairs(
            self.images[torch.from_numpy(images)].float(),
            torch.from_numpy(self.numbers[images]),
            self.voices,
            self.frames[torch.from_numpy(voices)],
            torch.from_numpy(place[self.voice_image[voices]]),
            torch.from_numpy(voices),
            voice_labels=(
                torch.from_numpy(self.numbers[self.voice_image[voices]]) if everything else None
            ),
        )


def class_numbers(
    labels: Sequence[Any] | np.ndarray, count: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes, sorted, and the number [n] of the class of each image.

    As in a manifest, blanks around a name do not belong to it, and an empty name is no class.

    Args:
        labels: [n] class of each image.
        count: number of images, n.

    Raises:
        FitError: another number of labels, an image without a class, or one class under two
            spellings.
    """
    values = np.asarray(labels)
    if values.shape != (count,):
        raise FitError(f"one label per image is needed, got {values.size} for {count}")
    given = values.tolist()
    found = [value.strip() if isinstance(value, str) else value for value in given]
    empty = [row for row, value in enumerate(found) if value in ("", None) or value != value]
    if empty:
        raise FitError(
            f"{len(empty)} of {count} images have no label, e.g. that of row {empty[0]}; "
            "leave out images without a class, and their voices"
        )
    for spellings in find_spellings("labels", Counter(map(str, found))):
        raise FitError(f"several spellings of one name: {spellings}; write each in one way")
    names, numbers = np.unique(np.asarray(found), return_inverse=True)
    return tuple(map(str, names)), numbers


def validation_rows(
    validation: float | np.ndarray | Sequence[bool], numbers: np.ndarray, seed: int
) -> np.ndarray:
    """Return booleans [n], the images to choose the best epoch on; a share is drawn by class."""
    if not isinstance(validation, int | float):
        marked = np.asarray(validation)
        if marked.dtype != bool or marked.shape != numbers.shape:
            raise FitError(f"validation must be a share or booleans [{len(numbers)}]")
        return marked
    if not 0 < validation < 1:
        raise FitError(f"validation must be a share in (0, 1), got {validation}")
    rng, kept = np.random.default_rng(seed), np.zeros(len(numbers), bool)
    for number in range(int(numbers.max(initial=-1)) + 1):
        rows = rng.permutation(np.flatnonzero(numbers == number))
        count = max(1, math.floor(validation * len(rows) + 0.5)) if len(rows) > 2 else 0
        kept[rows[: min(count, len(rows) - 2)]] = True
    return kept


def voice_rows(
    rows: np.ndarray | Sequence[int] | None, images: Tensor, voices: Tensor
) -> np.ndarray:
    """Return ``rows`` [m], the image of each voice; voice i describes image i without them."""
    if rows is None:
        if len(images) != len(voices):
            raise FitError(
                f"{counted(len(voices), 'voice')} for {counted(len(images), 'image')}: "
                "say with voice_image which image each voice describes"
            )
        return np.arange(len(voices))
    found = np.asarray(rows)
    if found.shape != (len(voices),) or not np.issubdtype(found.dtype, np.integer):
        raise FitError(f"voice_image must be one row number per voice, integers [{len(voices)}]")
    if len(found) and not (found.min() >= 0 and found.max() < len(images)):
        raise FitError(f"voice_image must be rows from 0 to {len(images) - 1}")
    return found.astype(np.int64)


def frame_counts(frames: np.ndarray | Sequence[int] | None, voices: Tensor) -> Tensor:
    """Return ``frames`` [m], the true number of frames of each voice; all of them without it."""
    if frames is None:
        return torch.full((len(voices),), voices.shape[-1])
    found = np.asarray(frames)
    if found.shape != (len(voices),) or not np.issubdtype(found.dtype, np.integer):
        raise FitError(f"frames must be one number per voice, integers [{len(voices)}]")
    return torch.from_numpy(found.astype(np.int64))


def real_tensor(values: Any, what: str, shape: Sequence[int | None]) -> Tensor:
    """Return an array of real numbers [n, *shape] as a tensor; None stands for any length."""
    array = np.asarray(values)
    wanted = ", ".join("any" if length is None else str(length) for length in shape)
    same = array.ndim == 1 + len(shape) and all(
        length in (None, found) for length, found in zip(shape, array.shape[1:], strict=True)
    )
    if not same or array.dtype.kind not in "fiu":
        raise FitError(
            f"{what} must be numbers [n, {wanted}], got {array.dtype} {list(array.shape)}"
        )
    plain = array if array.dtype in (np.float16, np.float32) else array.astype(np.float32)
    return mapped_tensor(np.ascontiguousarray(plain))


def as_paths(values: Any) -> list[Path] | None:
    """Return ``values`` as paths, None if they are an array."""
    if isinstance(values, str | Path):
        return [Path(values)]
    if isinstance(values, Sequence) and values and all(isinstance(v, str | Path) for v in values):
        return [Path(value) for value in values]
    return None
