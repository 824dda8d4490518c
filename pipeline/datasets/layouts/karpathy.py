"""A data set described by a JSON file with the splits of Karpathy."""

from collections.abc import Mapping, Sequence

from ivr.pipeline.datasets.class_labels import (
    by_list_or_prefix,
    by_number,
    is_number,
    labels_of,
    read_class_lists,
)
from ivr.pipeline.datasets.karpathy_json import Entry, match_entries, read_entries, sentences
from ivr.pipeline.datasets.layout import Layout, Sources
from ivr.pipeline.datasets.manifest import Manifest, ManifestError
from ivr.pipeline.datasets.pairing import find_files, merge, pair
from ivr.pipeline.datasets.public_datasets import DATASETS, spelling


def read(sources: Sources) -> Manifest:
    """Return the images that the JSON lists, with its sentences and splits (restval trains)."""
    if sources.json is None:
        raise ManifestError("the layout 'karpathy' needs its JSON file; give it with --json")
    dataset, entries = read_entries(sources.json)
    files = find_files(sources.images, sources.voices, sources.table)
    entry_of = match_entries(files, entries)
    lists = read_class_lists(sources.class_lists)

    def by_dataset(images: Sequence[str]) -> dict[str, str]:
        labels = _by_dataset(dataset, entries, lists)
        return {name: labels.get(entry_of[name].name, "") for name in images if name in entry_of}

    pairs = pair(files)
    return merge(
        files,
        labels_of(files, by_dataset),
        pairs,
        sentences(pairs, entry_of),
        {name: entry.split for name, entry in entry_of.items()},
    )


def _by_dataset(dataset: str, entries: Sequence[Entry], lists: Mapping[str, str]) -> dict[str, str]:
    """Return the class of the images of a JSON by the rule of its data set."""
    names = [entry.name for entry in entries]
    for key, known in DATASETS.items():
        if spelling(dataset).startswith(key):
            if known.images_per_class and all(map(is_number, names)) and not lists:
                return by_number(names, known.images_per_class, known.title)
            return by_list_or_prefix(names, lists, known.classes)
    return by_list_or_prefix(names, lists, (), {entry.name: entry.split for entry in entries})


LAYOUT = Layout(
    "dataset_*.json (--json) beside images and voices", read, uses=("class_lists", "json")
)
