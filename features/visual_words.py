"""Vocabularies of visual words: learnt from descriptors, and kept as a file; imports no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.errors import IvrError, first_line

from .atomic_files import SAFETENSORS, replaced

LENGTH = 128
"""Numbers of a SIFT descriptor."""
MOST_WORDS = 1 << 16
WORDS, NOTES = "words", "vocabulary"
"""Names of the array and of the notes in the file."""
ITERATIONS, BATCH = 100, 4096


class VocabularyError(IvrError):
    """A vocabulary that cannot be learnt or read, in one line."""


@config
class VocabularyConfig:
    """How a vocabulary of visual words is learnt.

    Attributes:
        visual_words: Number of visual words that ``--encoder sift`` learns, the length of its
            vectors; a vocabulary that is given with ``--weights`` has its own number.
        vocabulary_images: Largest number of images that the visual words are learnt from; a sample
            of more is drawn.
        vocabulary_descriptors: Largest number of descriptors per image that the visual words are
            learnt from.
        vocabulary_seed: Seed of these samples and of k-means.
    """

    visual_words: Annotated[int, Field(ge=2, le=MOST_WORDS)] = 1000
    vocabulary_images: PositiveInt = 1000
    vocabulary_descriptors: PositiveInt = 100
    vocabulary_seed: NonNegativeInt = 0


def sampled_names(names: list[str], config: VocabularyConfig) -> list[str]:
    """Return the images that the words are learnt from, sorted; the order of ``names`` is free."""
    ordered = sorted(names)
    if len(ordered) <= config.vocabulary_images:
        return ordered
    rng = np.random.default_rng(config.vocabulary_seed)
    chosen = rng.choice(len(ordered), config.vocabulary_images, replace=False)
    return [ordered[place] for place in sorted(chosen)]


def sampled_descriptors(descriptors: np.ndarray, name: str, config: VocabularyConfig) -> np.ndarray:
    """Return the descriptors of one image that the words are learnt from.

    They depend on the image and its name alone, not on the other images.

    Args:
        descriptors: [n, 128].
        name: name of the image.
        config: how the vocabulary is learnt.

    Returns:
        [m, 128], m at most ``vocabulary_descriptors``.
    """
    if len(descriptors) <= config.vocabulary_descriptors:
        return descriptors
    rng = np.random.default_rng((config.vocabulary_seed, *name.encode()))
    chosen = rng.choice(len(descriptors), config.vocabulary_descriptors, replace=False)
    return descriptors[np.sort(chosen)]


def learnt_words(descriptors: np.ndarray, config: VocabularyConfig) -> np.ndarray:
    """Return the centres that mini-batch k-means finds, on one thread.

    Reference:
        Sculley, "Web-Scale K-Means Clustering", WWW 2010; scikit-learn's ``MiniBatchKMeans``.

    Args:
        descriptors: float32 [n, 128].
        config: how the vocabulary is learnt.

    Returns:
        float32 [words, 128].

    Raises:
        VocabularyError: there are fewer different descriptors than words.
    """
    different = len(np.unique(descriptors, axis=0))
    if different < config.visual_words:
        raise VocabularyError(
            f"{config.visual_words} visual words need as many different SIFT descriptors, and the "
            f"images have {different}: give fewer with --visual-words, or more images"
        )
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    model = MiniBatchKMeans(
        config.visual_words,
        random_state=config.vocabulary_seed,
        n_init=1,
        batch_size=BATCH,
        max_iter=ITERATIONS,
    )
    with threadpool_limits(1):
        model.fit(descriptors)
    return np.asarray(model.cluster_centers_, np.float32)


def write_vocabulary(path: Path, words: np.ndarray, notes: Mapping[str, Any]) -> None:
    """Write a vocabulary as a safetensors file; an interrupted write leaves ``path`` as it was.

    Args:
        path: the file.
        words: [k, 128].
        notes: how it was learnt, JSON values.
    """
    from safetensors.numpy import save

    arrays = {WORDS: np.ascontiguousarray(words, np.float32)}
    with replaced(path, SAFETENSORS) as file:
        file.write(save(arrays, {NOTES: json.dumps(dict(notes), sort_keys=True)}))


def vocabulary_size(path: Path) -> int:
    """Return the number of words of a vocabulary, from its header.

    Raises:
        ValueError: not a vocabulary.
        OSError: it cannot be read.
    """
    shape, _ = _header(path)
    return shape[0]


def vocabulary_notes(path: Path) -> dict[str, Any]:
    """Return how the vocabulary in ``path`` was learnt, ``{}`` if that is not recorded.

    Raises:
        VocabularyError: not a vocabulary, or it cannot be read.
    """
    try:
        _, text = _header(path)
        notes = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise VocabularyError(
            f"{path}: cannot be read as a vocabulary ({first_line(error)}); remove it, or replace "
            "it with --overwrite"
        ) from error
    return notes if isinstance(notes, dict) else {}


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """Return the shape of the words, and the notes as text."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            names, notes = list(file.keys()), (file.metadata() or {}).get(NOTES, "{}")
            shape = tuple(file.get_slice(WORDS).get_shape()) if names == [WORDS] else ()
    except SafetensorError as error:
        raise ValueError(f"not a vocabulary of visual words: {first_line(error)}") from error
    if len(shape) != 2 or shape[1] != LENGTH or not 2 <= shape[0] <= MOST_WORDS:
        raise ValueError(f"not a vocabulary of visual words: no array {WORDS} of [k, {LENGTH}]")
    return (int(shape[0]), LENGTH), notes
