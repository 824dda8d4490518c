"""The class of every image, proved by numbers, folders, file names or class lists."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from .manifest_row import ManifestError, split_of
from .pairing import ASK, Files, PairingError, folder, refuse, stem
from .public_datasets import spelling
from .text_lines import text_lines

WORD = re.compile(r"[^\W\d_]+")
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


def refuse_unproved(
    labels: Mapping[str, str], splits: Mapping[str, str], what: str, remedy: str
) -> None:
    """Refuse classes that are names of something else: of a split, or of the whole set.

    Args:
        labels: image -> class that its name or folder gives, ``""`` for none.
        splits: image -> split, where known.
        what: ``"prefix"`` or ``"folder"``, for the message.
        remedy: how to give the classes.

    Raises:
        PairingError: a class that is called like a split, a single class, or one class per split.
    """
    found = sorted({label for label in labels.values() if label})
    named = [label for label in found if split_of(label)]
    marked = [label for label in found if any(map(split_of, WORD.findall(label)))]
    if named or (found and marked == found):
        raise PairingError(
            f"the {what} {(named or marked)[0]!r} of image names is the name of a split, no class; "
            f"{remedy}"
        )
    if len(found) == 1:
        raise PairingError(
            f"all images have the {what} {found[0]!r}, which tells no classes apart; {remedy}"
        )
    sides = {label: {splits.get(n, "") for n in labels if labels[n] == label} for label in found}
    if len(found) > 1 and sorted(map(sorted, sides.values())) == [
        [split] for split in sorted(set().union(*sides.values()) - {""})
    ]:
        raise PairingError(
            f"each {what} of image names ({', '.join(found)}) is in one split of its own, so that "
            f"it is no class; {remedy}"
        )


def by_list_or_prefix(
    images: Sequence[str],
    lists: Mapping[str, str],
    known: Sequence[str],
    splits: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return the class of images that are in a class list or named after their class.

    Args:
        images: names.
        lists: stem of an image -> class.
        known: classes that a prefix may name; empty for any.
        splits: image -> split, where known.

    Raises:
        PairingError: a list and a prefix disagree, or prefixes that are no classes.
    """
    prefixes = {name: _prefix(name, known) for name in images}
    listed = {name: lists.get(stem(name), "") for name in images}
    named = {*listed.values()}
    clash = [
        f"{name} in the list {listed[name]}"
        for name in images
        if prefixes[name]
        and listed[name]
        and prefixes[name] != listed[name]
        # Where any prefix may be a class, only one that is the name of a list is known to be one.
        and prefixes[name] in (known or named)
    ]
    refuse(clash, "images named after another class than that of their list", ASK)
    if not known:
        unlisted = {
            name: _raw_prefix(name)
            for name in images
            if not listed[name] and prefixes[name] not in named
        }
        refuse_unproved(
            unlisted, splits, "prefix", f"give the classes with --class-lists, or {ASK}"
        )
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
    label = spelling(_raw_prefix(name))
    return label if label in known or not known else ""


def _raw_prefix(name: str) -> str:
    match = PREFIX.fullmatch(stem(name))
    return match[1] if match else ""
