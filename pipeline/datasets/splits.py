"""Splits into training, validation and test: class by class, whole groups, drawn from a seed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .manifest import Item, Manifest, ManifestError, classes
from .split_config import SplitConfig


def draw_splits(items: Sequence[Item], config: SplitConfig) -> dict[str, str]:
    """Return the split of every group: ``train``, ``val``, ``test``, or ``""`` without a label.

    Each class is split by itself, and its shares are rounded to whole groups. A class of two or
    more groups has at least one for training and one for test; if three or more are left for
    training, at least one of them validates (unless ``val`` is 0). A single group trains. The draw
    depends on the groups, their labels and the seed, not on the order of ``items``.

    Args:
        items: images, voices or both; items of one group stay together. A group with several
            labels counts as its most frequent one.
        config: the shares and the seed.

    Raises:
        ManifestError: fewer than two classes, or no class that can be tested on.
    """
    _require_two_classes(items)
    drawn = _draw(items, config)
    if "test" not in drawn.values():
        raise ManifestError("every class has a single image or group: none is left to test on")
    return drawn


def complete_splits(manifest: Manifest, config: SplitConfig) -> dict[str, str]:
    """Return the split of every image and voice by name; draws those that the manifest lacks.

    A split in the manifest is kept. Labelled items without one follow their group, or are drawn
    with ``config``; if the manifest gives splits without ``val``, ``val`` is drawn from its
    ``train``. Items without a label and without a split keep ``""``.

    Raises:
        ManifestError: fewer than two classes, a group on two sides, or nothing to train or test on.
    """
    items = manifest.images() + manifest.voices()
    _require_two_classes(items)
    given = _given_splits(items)
    opened = [item for item in items if item.label and item.group not in given]
    drawn = _draw(opened, config) if given else draw_splits(items, config)
    if given and "val" not in given.values():
        given |= _cut_validation([item for item in items if item.group in given], given, config)
    splits = drawn | given
    _require_sides(splits.values())
    return _by_name(items, splits)


def _draw(items: Sequence[Item], config: SplitConfig) -> dict[str, str]:
    rng = _generator(config)
    drawn = dict.fromkeys((item.group for item in items), "")
    for groups in _groups_by_class(items).values():
        drawn |= _cut_class(groups, config, rng)
    return drawn


def _generator(config: SplitConfig) -> np.random.Generator:
    # NumPy takes None for a seed that is different every time.
    return np.random.default_rng(config.seed or 0)


def _groups_by_class(items: Iterable[Item]) -> dict[str, list[str]]:
    """Return the groups of each class; classes and groups in alphabetical order."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        if item.label:
            counts[item.group][item.label] += 1
    by_class: dict[str, list[str]] = defaultdict(list)
    for group in sorted(counts):
        label = min(counts[group], key=lambda name: (-counts[group][name], name))
        by_class[label].append(group)
    return dict(sorted(by_class.items()))


def _cut_class(
    groups: Sequence[str], config: SplitConfig, rng: np.random.Generator
) -> dict[str, str]:
    order = [groups[position] for position in rng.permutation(len(groups))]
    test = _share(len(order), config.test, at_least=1)
    kept = order[test:]
    val = _validation_share(len(kept), config.val)
    return (
        dict.fromkeys(order[:test], "test")
        | dict.fromkeys(kept[:val], "val")
        | dict.fromkeys(kept[val:], "train")
    )


def _cut_validation(
    items: Iterable[Item], given: Mapping[str, str], config: SplitConfig
) -> dict[str, str]:
    """Return the groups that go from ``train`` to ``val``."""
    rng = _generator(config)
    cut: dict[str, str] = {}
    training = [item for item in items if given[item.group] == "train"]
    for groups in _groups_by_class(training).values():
        order = [groups[position] for position in rng.permutation(len(groups))]
        cut |= dict.fromkeys(order[: _validation_share(len(order), config.val)], "val")
    return cut


def _validation_share(total: int, share: float) -> int:
    """Return the number of groups kept for validation; two must be left to train on."""
    return _share(total, share, at_least=1 if share and total > 2 else 0)


def _share(total: int, share: float, at_least: int) -> int:
    """Return ``share`` of ``total``, half rounded up, leaving one at least."""
    rounded = int(total * share + 0.5)
    return min(max(rounded, at_least), max(total - 1, 0))


def _given_splits(items: Iterable[Item]) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in items:
        if item.split and given.setdefault(item.group, item.split) != item.split:
            raise ManifestError(
                f"group {item.group} is in {given[item.group]} and in {item.split}; "
                "a group must be on one side of the split (ivr check names all such groups)"
            )
    return given


def _require_two_classes(items: Iterable[Item]) -> None:
    labels = classes(items)
    if not labels:
        raise ManifestError("no item has a label; training and testing need two classes or more")
    if len(labels) == 1:
        raise ManifestError(
            f"{labels[0]!r} is the only class; training and testing need two or more"
        )


def _require_sides(splits: Iterable[str]) -> None:
    missing = {"train", "test"} - set(splits)
    if missing:
        raise ManifestError(
            f"no item is in split {' or '.join(sorted(missing))}; fill the split column, "
            "or remove it to have the split drawn"
        )


def _by_name(items: Iterable[Item], splits: Mapping[str, str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for item in items:
        known = item.label or item.split
        split = splits.get(item.group, "") if known else ""
        if named.setdefault(item.name, split) != split:
            raise ManifestError(f"{item.name} names an image and a voice on two sides of the split")
    return named
