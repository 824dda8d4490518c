"""Which vocabulary of visual words an extraction with ``--encoder sift`` uses; imports no torch.

Without ``--weights`` it is the file ``vocabulary.safetensors`` in the folder of features, which the
first call learns (:mod:`ivr.pipeline.extraction.vocabulary_learning`) and later calls use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import file_digest
from ivr.features.encoder_table import describe_encoder
from ivr.features.image_config import SIFT
from ivr.features.store import canonical_json
from ivr.features.visual_words import VocabularyError, vocabulary_notes

from .extract_config import ExtractConfig
from .feature_schema import IMAGES, held_tables
from .target import ExtractError, Target, image_target, target_of_encoder

VOCABULARY = "vocabulary.safetensors"
IMAGE_FILE = "images.h5"


def needs_vocabulary(config: ExtractConfig) -> bool:
    """Return whether the encoder needs a vocabulary that ``config`` does not name."""
    return config.image.encoder == SIFT and config.image.weights == "imagenet"


def with_known_vocabulary(config: ExtractConfig, out: Path) -> ExtractConfig:
    """Return ``config`` with the vocabulary that belongs to the features in ``out``.

    Args:
        config: how features are made.
        out: folder of features, for a task of a job array that of all tasks.

    Returns:
        ``config`` as it is if none is needed, or if one is still to be learnt.

    Raises:
        ExtractError: the vocabulary was learnt with other settings; it is gone; or a task of a job
            array has none.
        VocabularyError: the vocabulary cannot be read.
        StoreError: the images of ``out`` are no feature file.
    """
    if not needs_vocabulary(config):
        return config
    path = _kept(out, config)
    if path is not None and _usable(path, config):
        return replace(config, image=replace(config.image, weights=str(path)))
    if config.shard:
        raise ExtractError(
            f"{out / VOCABULARY}: not there, or of other settings; the tasks of a job array need "
            "one vocabulary: learn it with ivr extract --encoder sift from some images, and give "
            f"it to each task with --weights {VOCABULARY}"
        )
    return config


def planned_images(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Target:
    """Return the file of the images ``names`` below ``root``, also before its words are learnt.

    Raises:
        EncoderError, WeightsError: see :func:`ivr.features.encoder_table.describe_encoder`.
    """
    if not needs_vocabulary(config):
        return image_target(names, out, root, config)
    # Random words stand for those to be learnt, whose digest is unknown.
    _, provenance = describe_encoder(replace(config.image, weights="random"))
    unknown = {**provenance, "weights": VOCABULARY, "sha256": ""}
    dim = config.vocabulary.visual_words
    return target_of_encoder(names, out, root, config, dim, unknown)


def learning_settings(config: ExtractConfig) -> dict[str, Any]:
    """Return everything that decides a vocabulary but the images; JSON values."""
    _, provenance = describe_encoder(replace(config.image, weights="random"))
    return {
        **asdict(config.vocabulary),
        "size": provenance["size"],
        "normalisation": provenance["normalisation"],
        "pixels": {**asdict(config.image.pixels), "bands": list(config.image.pixels.bands)},
    }


def _usable(path: Path, config: ExtractConfig) -> bool:
    """Return whether the vocabulary ``path`` was learnt with the settings asked for.

    Raises:
        ExtractError: it was not, and it is not to be replaced.
    """
    try:
        found = _differences(vocabulary_notes(path), learning_settings(config))
    except VocabularyError:
        if config.overwrite:
            return False
        raise
    if found and not config.overwrite:
        raise ExtractError(
            f"{path}: was learnt with other settings ({found}); give it with --weights all the "
            "same, give another --out, or learn words again with --overwrite"
        )
    return not found


def _differences(notes: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name}: {notes.get(name, 'not recorded')}, now {value}"
        for name, value in wanted.items()
        if canonical_json({name: value}) != canonical_json({name: notes.get(name)})
    )


def _kept(out: Path, config: ExtractConfig) -> Path | None:
    """Return the vocabulary in ``out``, or else the one that its image features were made with."""
    if (out / VOCABULARY).is_file():
        return out / VOCABULARY
    for table in held_tables(out / IMAGE_FILE, IMAGES):
        settings, made_with = table.config["settings"], table.config.get("made_with", {})
        if settings.get("encoder") != SIFT:
            continue
        path = Path(str(made_with.get("weights_file", "")))
        if path.is_file() and file_digest(path) == settings.get("sha256"):
            return path
        if not config.overwrite:
            raise ExtractError(
                f"{table.path}: was made with the vocabulary {made_with.get('weights')}, which is "
                "not here: give it with --weights, or learn another one with --overwrite"
            )
    return None
