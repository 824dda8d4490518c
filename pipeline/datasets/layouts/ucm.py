"""UC Merced: images numbered from 1 to 2100 in the order of the classes, or in class folders."""

from collections.abc import Sequence

from ivr.pipeline.datasets.caption_files import SENTENCES, captions_of, is_five
from ivr.pipeline.datasets.class_labels import by_folder, by_number, is_number, labels_of
from ivr.pipeline.datasets.layout import Layout, Sources
from ivr.pipeline.datasets.manifest import Manifest
from ivr.pipeline.datasets.pairing import (
    find_files,
    is_run,
    merge,
    pair,
    refuse,
    require_numbers,
)
from ivr.pipeline.datasets.public_datasets import DATASETS, spelling

UCM = DATASETS["ucm"]


def read(sources: Sources) -> Manifest:
    """Return the manifest of ``N.tif`` with N from 1 to 2100, or ``<class>/<class>NN.tif``."""
    files = find_files(sources.images, sources.voices, sources.table)
    pairs = pair(files)
    if all(map(is_number, files.images)):
        labels = labels_of(files, _by_number)
        require_numbers(pairs, files, is_five, "0 to 4")
    else:
        labels = labels_of(files, _by_class_folder)
        require_numbers(pairs, files, _is_five_from_0_or_1, "0 to 4 or 1 to 5")
    return merge(files, labels, pairs, captions_of(sources.captions, files, pairs), {})


def _by_number(images: Sequence[str]) -> dict[str, str]:
    return by_number(images, UCM.images_per_class, UCM.title)


def _by_class_folder(images: Sequence[str]) -> dict[str, str]:
    labels = by_folder(images)
    strange = [name for name in images if spelling(labels[name]) not in UCM.classes]
    refuse(strange, "images in no class of UC Merced", "the layout 'folders' takes any class")
    return labels


def _is_five_from_0_or_1(numbers: Sequence[int]) -> bool:
    return len(numbers) == SENTENCES and is_run(numbers)


LAYOUT = Layout("1.tif to 2100.tif, or <class>/<class>NN.tif", read, uses=("captions",))
