"""Sydney: images numbered from 1 to 613 in the order of the classes."""

from collections.abc import Sequence

from ivr.pipeline.datasets.caption_files import captions_of, is_five
from ivr.pipeline.datasets.class_labels import by_number, labels_of
from ivr.pipeline.datasets.layout import Layout, Sources
from ivr.pipeline.datasets.manifest import Manifest
from ivr.pipeline.datasets.pairing import find_files, merge, pair, require_numbers
from ivr.pipeline.datasets.public_datasets import DATASETS

SYDNEY = DATASETS["sydney"]


def read(sources: Sources) -> Manifest:
    """Return the manifest of ``N.tif`` with N from 1 to 613, in the order of the classes."""
    files = find_files(sources.images, sources.voices, sources.table)
    labels = labels_of(files, _by_number)
    pairs = pair(files)
    require_numbers(pairs, files, is_five, "0 to 4")
    return merge(files, labels, pairs, captions_of(sources.captions, files, pairs), {})


def _by_number(images: Sequence[str]) -> dict[str, str]:
    return by_number(images, SYDNEY.images_per_class, SYDNEY.title)


LAYOUT = Layout("1.tif to 613.tif", read, uses=("captions",))
