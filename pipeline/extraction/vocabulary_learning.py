"""Learning the vocabulary of visual words from a sample of the images that are extracted."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ivr.features.encoders import encoder_blueprint
from ivr.features.raster_process import raster_readers
from ivr.features.sift import opencv_version, sift_descriptors
from ivr.features.visual_words import (
    LENGTH,
    learnt_words,
    sampled_descriptors,
    sampled_names,
    write_vocabulary,
)
from ivr.pipeline.datasets.manifest import Manifest
from ivr.pipeline.runtime.digests import rewriting
from ivr.pipeline.runtime.progress import progress, say
from ivr.pipeline.runtime.words import counted

from .extract_config import ExtractConfig
from .other_settings import require_same_settings
from .parallel_readers import Readers
from .vocabulary import VOCABULARY, learning_settings, needs_vocabulary, planned_images
from .worker_tasks import FeatureRow, decode

AHEAD = 128  # images that are read ahead


def with_learnt_vocabulary(
    config: ExtractConfig, content: Manifest, out: Path, root: Path
) -> ExtractConfig:
    """Return ``config`` with the vocabulary in ``out``, which is learnt if one is needed.

    Args:
        config: how features are made.
        content: the manifest. Images of its test split teach no words, unless there are no others.
        out: folder of features.
        root: folder that image names are relative to.

    Raises:
        ExtractError: ``out`` holds features of other settings and ``overwrite`` is not set.
        VocabularyError: the images have too few descriptors.
        InTheWayError: something else than a vocabulary lies in its place.
    """
    if not (needs_vocabulary(config) and content.image_names()):
        return config
    require_same_settings(planned_images(content.image_names(), out, root, config), out, config)
    names = sampled_names(_teachers(content), config.vocabulary)
    found = list(_descriptors(names, root, config))
    descriptors = np.concatenate([np.empty((0, LENGTH), np.float32), *found])
    words = learnt_words(descriptors, config.vocabulary)
    notes = {
        **learning_settings(config),
        "learnt_from": {"images": len(found), "descriptors": len(descriptors)},
        "made_with": {"opencv": opencv_version(), "scikit-learn": version("scikit-learn")},
    }
    path = out / VOCABULARY
    with rewriting(out, [VOCABULARY]):
        write_vocabulary(path, words, notes)
    say(
        f"{path}: {len(words)} visual words of {counted(len(descriptors), 'descriptor')} of "
        f"{counted(len(found), 'image')}"
    )
    return replace(config, image=replace(config.image, weights=str(path)))


def _teachers(content: Manifest) -> list[str]:
    """Return the images that words may be learnt from."""
    rows = content.image_rows()
    names, splits = rows["image"].to_pylist(), rows["split"].to_pylist()
    others = [name for name, split in zip(names, splits, strict=True) if split != "test"]
    return others or names


def _descriptors(names: Sequence[str], root: Path, config: ExtractConfig) -> Iterator[np.ndarray]:
    """Yield the sampled descriptors of each image that can be read; extraction names the others."""
    blueprint = encoder_blueprint(config.image.encoder, config.image.size)
    arguments = (root, blueprint.input, config.image.pixels)
    readers = Readers(config.jobs, AHEAD, config.scheduler_address)
    with (
        raster_readers(),
        closing(readers.read(decode, names, arguments, "threads")) as rows,
    ):
        for row in progress(rows, len(names), "images for the visual words"):
            if isinstance(row, FeatureRow):
                yield sampled_descriptors(sift_descriptors(row.vector), row.name, config.vocabulary)
