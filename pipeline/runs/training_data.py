"""What a run trains on: the voices that are kept, and the pairs of training and validation."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivr.features.waveform_augmentation import changed_name, file_of
from ivr.hashing.pairs import Pairs
from ivr.pipeline.datasets.canonical_names import as_spelled, caption_key
from ivr.pipeline.datasets.manifest import Item
from ivr.pipeline.datasets.voice_sampling import one_voice_per_image
from ivr.pipeline.extraction.feature_dataset import FeatureDataset
from ivr.pipeline.runtime.memory import room
from ivr.pipeline.runtime.progress import warn

from .run_folder import RunError


def training_and_validation(
    data: FeatureDataset, splits: Mapping[str, str], chosen: Mapping[str, Any]
) -> tuple[Pairs, Pairs]:
    """Return the pairs to learn from, and those to choose the best epoch on.

    Args:
        data: the features.
        splits: split of every item by name.
        chosen: the content of ``config.json``.

    Raises:
        RunError: a split has no pairs, or voices cannot be left out as the config says.
    """
    voices = kept_voices(data, splits, chosen.get("left_out", {}))
    if chosen["voices"] == "one":
        rows = one_voice_per_image(
            [item.name for item in voices], [item.image for item in voices], chosen["seed"]
        )
        voices = [voices[row] for row in rows]
    names, streams = chosen["classes"], chosen["streams"]
    changes = chosen["features"]["changes"] if chosen.get("augmented") else ()
    changed = [
        replace(voice, name=name)
        for voice in voices
        for change in changes
        if (name := changed_name(voice.name, change)) in data.voice_rows
    ]
    everything = chosen["training"].get("pairing") == "class"
    make = make_everything if everything else make_pairs
    return (
        make(data, splits, "train", names, [*voices, *changed], streams),
        make_pairs(data, splits, "val", names, voices, streams),
    )


def left_out_classes(left_out: Mapping[str, Any]) -> set[str]:
    """Return the classes in the ``left_out`` entry of a config; older runs have none."""
    return set(left_out.get("classes", ()))


def kept_voices(
    data: FeatureDataset, splits: Mapping[str, str], left_out: Mapping[str, Any]
) -> list[Item]:
    """Return the voices that may be trained on.

    Args:
        data: the features.
        splits: split of every item by name.
        left_out: the entry of the config: classes, speakers, and whether the sentences of the test
            split are left out.

    Raises:
        RunError: a speaker is unknown, or there are no captions to recognise sentences by.
    """
    return voices_to_train_on(data.voice_items(), splits, left_out, data.folder)


def voices_to_train_on(
    voices: Sequence[Item], splits: Mapping[str, str], left_out: Mapping[str, Any], source: Path
) -> list[Item]:
    """Return those of ``voices`` that may be trained on, see :func:`kept_voices`.

    ``source`` names their origin in messages.
    """
    there = {voice.speaker for voice in voices}
    speakers = as_spelled(left_out.get("speakers", ()), there)
    unknown = speakers - there
    if unknown:
        known = ", ".join(sorted(filter(None, there)))
        hint = f"there are voices of {known}" if known else "the manifest names no speaker"
        raise RunError(f"{source}: no voice of {min(unknown)!r}; {hint}")
    classes = left_out_classes(left_out)
    kept = [v for v in voices if v.speaker not in speakers and v.label not in classes]
    if not left_out.get("captions_of_test"):
        return kept
    tested = {caption_key(voice.caption) for voice in voices if splits[voice.name] == "test"}
    if tested <= {""}:
        raise RunError(f"{source}: the manifest has no captions to recognise sentences by")
    return [voice for voice in kept if caption_key(voice.caption) not in tested]


def make_pairs(
    data: FeatureDataset,
    splits: Mapping[str, str],
    split: str,
    names: Sequence[str],
    voices: Sequence[Item],
    streams: Sequence[str],
) -> Pairs:
    """Return the labelled images of ``split`` that have a voice in ``voices``, with those voices.

    Both are in alphabetical order, so that a run does not depend on the order of the manifest.

    Args:
        data: the features.
        splits: split of every item by name.
        split: train, val or test.
        names: class names; the number of a class is its place.
        voices: the voices to use.
        streams: names of streams, out of MFCC, delta and delta-delta.

    Raises:
        RunError: there is no such pair.
    """
    images = _labelled_images(data, splits, split)
    row = {item.name: number for number, item in enumerate(images)}
    used = sorted(
        (item for item in voices if item.image in row),
        key=lambda item: (row[item.image], item.name),
    )
    spoken = sorted({row[item.image] for item in used})
    if not spoken:
        raise RunError(
            f"{data.folder}: no labelled image of split {split} has a voice; images with voices "
            "are needed to train on (train) and to choose the model on (val)"
        )
    return _pairs(data, [images[number] for number in spoken], used, names, streams)


def make_everything(
    data: FeatureDataset,
    splits: Mapping[str, str],
    split: str,
    names: Sequence[str],
    voices: Sequence[Item],
    streams: Sequence[str],
) -> Pairs:
    """Return all labelled images of ``split`` and all labelled ones of its ``voices``.

    Unlike those of :func:`make_pairs`, images may have no voice, and voices no image. The arguments
    are the same.

    Raises:
        RunError: no class has both.
    """
    # Voices of classes that are left out are not in ``voices``; images of them are left out here.
    images = [item for item in _labelled_images(data, splits, split) if item.label in names]
    row = {item.name: number for number, item in enumerate(images)}
    used = sorted(
        (item for item in voices if item.label and splits[file_of(item.name)] == split),
        key=lambda item: (row.get(item.image, -1), item.name),
    )
    if not {item.label for item in images} & {item.label for item in used}:
        raise RunError(f"{data.folder}: no class has both an image and a voice in split {split}")
    return _pairs(data, images, used, names, streams, voice_labels=True)


def _labelled_images(data: FeatureDataset, splits: Mapping[str, str], split: str) -> list[Item]:
    """Return the labelled images of ``split`` by name."""
    found = (item for item in data.image_items() if splits[item.name] == split and item.label)
    return sorted(found, key=lambda item: item.name)


def _pairs(
    data: FeatureDataset,
    images: Sequence[Item],
    voices: Sequence[Item],
    names: Sequence[str],
    streams: Sequence[str],
    *,
    voice_labels: bool = False,
) -> Pairs:
    """Return ``images`` and ``voices``, which are in their order, as tensors."""
    unknown = {item.label for item in (*images, *voices)} - set(names)
    if unknown:
        raise RunError(f"{data.folder}: {min(unknown)!r} is none of the classes of the run")
    number = {name: place for place, name in enumerate(names)}
    place = {item.name: row for row, item in enumerate(images)}
    vectors, image_rows = _image_vectors(data, list(place))
    stored, rows, frames = data.mapped_voices([item.name for item in voices], streams)
    return Pairs(
        vectors,
        torch.tensor([number[item.label] for item in images]),
        mapped_tensor(stored),
        torch.from_numpy(frames),
        torch.tensor([place.get(item.image, -1) for item in voices]),
        torch.from_numpy(rows),
        image_rows=image_rows,
        voice_labels=torch.tensor([number[v.label] for v in voices]) if voice_labels else None,
    )


def mapped_tensor(values: np.ndarray) -> Tensor:
    """Return ``values``, which may be mapped from a file, as a tensor on the same memory."""
    with warnings.catch_warnings():
        # torch has no read-only tensors; nothing here writes to this one.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)


def _image_vectors(data: FeatureDataset, names: Sequence[str]) -> tuple[Tensor, Tensor | None]:
    """Return the vectors of ``names`` in memory and None, or all of the file and their rows."""
    stored, rows = data.mapped_images(names)
    if 4 * len(rows) * stored.shape[1] <= room():
        return torch.from_numpy(data.image_vectors(names)), None
    warn("the image vectors do not fit into memory: they are read from the file in every epoch")
    return mapped_tensor(stored), torch.from_numpy(rows)
