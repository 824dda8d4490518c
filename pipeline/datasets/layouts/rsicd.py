"""RSICD: images named after their class or listed in class lists, voices numbered by sentence."""

from collections.abc import Sequence

from ivr.pipeline.datasets.caption_files import SENTENCES, captions_of
from ivr.pipeline.datasets.class_labels import by_list_or_prefix, labels_of, read_class_lists
from ivr.pipeline.datasets.layout import Layout, Sources
from ivr.pipeline.datasets.manifest import Manifest
from ivr.pipeline.datasets.pairing import (
    ASK,
    Files,
    Pair,
    find_files,
    merge,
    numbers_by_image,
    pair,
    refuse,
    require_numbers,
)
from ivr.pipeline.datasets.public_datasets import DATASETS


def read(sources: Sources) -> Manifest:
    """Return the manifest of ``<class>_N.jpg`` or, with class lists, of bare numbers."""
    files = find_files(sources.images, sources.voices, sources.table)
    lists, known = read_class_lists(sources.class_lists), DATASETS["rsicd"].classes
    labels = labels_of(files, lambda images: by_list_or_prefix(images, lists, known))
    pairs = pair(files)
    require_numbers(pairs, files, _is_block, "5j to 5j + 4 (sentence numbers) or 0 to 4")
    _refuse_shared_blocks(pairs, files)
    return merge(files, labels, pairs, captions_of(sources.captions, files, pairs), {})


def _is_block(numbers: Sequence[int]) -> bool:
    """Return whether the numbers are five sentences of one image, counted over the data set."""
    first = numbers[0]
    return first % SENTENCES == 0 and list(numbers) == list(range(first, first + SENTENCES))


def _refuse_shared_blocks(pairs: Sequence[Pair], files: Files) -> None:
    """Refuse images with the same sentence numbers, unless all of them have 0 to 4."""
    said = {row.image for row in files.table if row.voice}
    seen: dict[int, str] = {}
    shared = []
    firsts = {name: numbers[0] for name, numbers in numbers_by_image(pairs).items()}
    for name, first in firsts.items():
        if name not in said and seen.setdefault(first, name) != name:
            shared.append(f"{name} and {seen[first]}, both from {first}")
    if set(firsts.values()) != {0}:
        refuse(shared, "images that share sentence numbers", ASK)


LAYOUT = Layout(
    "<class>_N.jpg, bare numbers with --class-lists", read, uses=("captions", "class_lists")
)
