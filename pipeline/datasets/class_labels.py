"""The class of every image, proved by numbers, folders, file names or class lists."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .manifest import ManifestError
from .pairing import ASK, Files, PairingError, folder, refuse, stem
from .published import spelling
from .text_lines import text_lines

PREFIX = re.compile(r"(\D+?)[_-]?\d+")


def labels_of(files: Files, by_rule: Callable[[Sequence[str]], dict[str, str]]) -> dict[str, str]:
    """Return the class of every image: from the table of ``files``, else from the rule.

    Args:
        files: images and the table.
        by_rule: takes image names and returns classes; called if the table lacks an image.

    Raises:
        PairingError: an image without a class.
    """
    said = {row.image: row.label for row in files.table if row.image and row.label}
    labels = said if set(files.images) <= set(said) else by_rule(files.images) | said
    unknown = [name for name in files.images if not labels.get(name)]
    refuse(unknown, "images without a class in names, lists and table", ASK)
    return labels


def by_number(images: Sequence[str], sizes: Mapping[str, int], dataset: str) -> dict[str, str]:
    """Return the class of images that are numbered from 1 in the order of the classes.

    Args:
        images: names.
        sizes: class -> number of images, in that order.
        dataset: title of the data set, for messages.

    Raises:
        PairingError: the numbers are not exactly those of the data set.
    """
    in_order = [label for label, size in sizes.items() for _ in range(size)]
    numbers = {name: int(stem(name)) for name in images if is_number(name)}
    wanted = set(range(1, len(in_order) + 1))
    proof = f"the class follows from the number only if {dataset} is whole, 1 to {len(wanted)}"
    remedy = f"{proof}; {ASK}"
    refuse([name for name in images if name not in numbers], "images without a number", remedy)
    missing = [str(number) for number in sorted(wanted - set(numbers.values()))]
    refuse(missing, "missing image numbers", remedy)
    strange = [name for name in images if numbers[name] not in wanted]
    refuse(strange, f"images with numbers outside {dataset}", remedy)
    if len(numbers) != len(wanted):
        raise PairingError(f"{len(numbers)} images, some with the same number; {remedy}")
    return {name: in_order[number - 1] for name, number in numbers.items()}


def is_number(name: str) -> bool:
    """Return whether the stem of ``name`` is a number of up to nine digits."""
    return re.fullmatch("[0-9]{1,9}", stem(name)) is not None


def by_folder(images: Sequence[str]) -> dict[str, str]:
    """Return the folder of each image as its class.

    Raises:
        PairingError: images that are not in exactly one folder below the root.
    """
    strange = [name for name in images if name.count("/") != 1]
    refuse(strange, "images that are not in <class>/<name>", "give the folder of the class folders")
    return {name: folder(name) for name in images}


def by_list_or_prefix(
    images: Sequence[str], lists: Mapping[str, str], known: Sequence[str]
) -> dict[str, str]:
    """Return the class of images that are in a class list or named after their class.

    Args:
        images: names.
        lists: stem of an image -> class.
        known: classes that a prefix may name; empty for any.

    Raises:
        PairingError: a list and a prefix disagree.
    """
    prefixes = {name: _prefix(name, known) for name in images}
    listed = {name: lists.get(stem(name), "") for name in images}
    clash = [
        f"{name} in the list {listed[name]}"
        for name in images
        if prefixes[name] and listed[name] and prefixes[name] != listed[name]
    ]
    refuse(clash, "images named after another class than that of their list", ASK)
    return {name: listed[name] or prefixes[name] for name in images}


def read_class_lists(root: Path | None) -> dict[str, str]:
    """Return the class of each image stem in the lists below ``root``, ``{}`` without a root.

    Raises:
        ManifestError: no list, or an image in two lists.
    """
    if root is None:
        return {}
    paths = sorted(root.glob("*.txt"))
    if not paths:
        raise ManifestError(f"{root}: holds no class list (airport.txt, beach.txt ...)")
    labels: dict[str, str] = {}
    for path in paths:
        label = spelling(path.stem)
        for line in filter(None, text_lines(path)):
            if labels.setdefault(stem(line), label) != label:
                raise PairingError(f"{path}: {line!r} is also in the list {labels[stem(line)]!r}")
    return labels


def _prefix(name: str, known: Sequence[str]) -> str:
    match = PREFIX.fullmatch(stem(name))
    label = spelling(match[1]) if match else ""
    return label if label in known or not known else ""
