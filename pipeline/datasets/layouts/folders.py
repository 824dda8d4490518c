"""Any data set in class folders, with its voices in folders of the same names."""

from collections.abc import Sequence

from ivr.pipeline.datasets.caption_files import captions_of
from ivr.pipeline.datasets.class_labels import by_folder, labels_of, refuse_unproved
from ivr.pipeline.datasets.layout import Layout, Sources
from ivr.pipeline.datasets.manifest import Manifest
from ivr.pipeline.datasets.pairing import ASK, find_files, is_run, merge, pair, require_numbers


def read(sources: Sources) -> Manifest:
    """Return the manifest of ``<class>/<name>.<ext>`` with its voices in a mirrored tree."""
    files = find_files(sources.images, sources.voices, sources.table)
    pairs = pair(files)
    require_numbers(pairs, files, is_run, "from 0 or 1 without a gap")
    labels = labels_of(files, _by_folder)
    return merge(files, labels, pairs, captions_of(sources.captions, files, pairs), {})


def _by_folder(images: Sequence[str]) -> dict[str, str]:
    labels = by_folder(images)
    refuse_unproved(labels, {}, "folder", ASK)
    return labels


LAYOUT = Layout("<class>/<name>.<ext>, voices in a mirrored tree", read, uses=("captions",))
