"""Findings of an audit that need no file: labels, pairs, copies, and leaks between the splits."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .canonical_names import Spellings, caption_key
from .manifest import Item
from .public_datasets import spelling
from .severity import Severity

NAMED = 4
"""Copies of one file that a line names; ``items`` has all of them."""

COPIES_REMEDY = "remove the copies, or give them one group in the manifest"

COPY = re.compile(
    r"(?i)((?:[-_ ]+|(?<=\d))(aug|rot|flip|hflip|vflip|mirror|crop|copy)[-_ ]*\d*|\s*\(\d+\))+$"
)
"""What tools append to the name of a copy of an image; a separator or a digit stands before it."""


@dataclass(frozen=True)
class Finding:
    """One fault of a manifest or its files, or something that may be a fault.

    Attributes:
        kind: name of this kind of finding, e.g. ``"unreadable"``.
        items: names of all images, voices or labels that it concerns.
        text: one line that names the first of them and describes the fault.
        severity: ``"problem"`` for a certain fault, ``"warning"`` for one that may be
            intended, ``"note"`` for something that was asked for or decided.
    """

    kind: str
    items: tuple[str, ...]
    text: str
    severity: Severity


def problem(kind: str, items: Sequence[str], text: str) -> Finding:
    """Return a finding that is certainly wrong."""
    return Finding(kind, tuple(items), text, "problem")


def warning(kind: str, items: Sequence[str], text: str) -> Finding:
    """Return a finding that may be intended."""
    return Finding(kind, tuple(items), text, "warning")


def note(kind: str, items: Sequence[str], text: str) -> Finding:
    """Return a finding that was asked for or decided."""
    return Finding(kind, tuple(items), text, "note")


def find_spellings(merged: Iterable[Spellings], *, accepted: bool) -> list[Finding]:
    """Return the names that stand in several spellings, which were merged for the audit."""
    make = note if accepted else problem
    return [
        make("several spellings of one name", [name for name, _ in one.counts], str(one))
        for one in merged
    ]


def find_labels(items: Sequence[Item]) -> list[Finding]:
    """Return missing labels, labels that differ in spaces only, and classes too small to test."""
    spellings: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.label:
            spellings[spelling(item.label)].add(item.label)
            groups[item.label].add(item.group)
    near = [sorted(labels) for labels in spellings.values() if len(labels) > 1]
    small = sorted(label for label, members in groups.items() if len(members) == 1)
    return [
        *(
            warning("labels that differ in spaces", labels, " and ".join(map(repr, labels)))
            for labels in near
        ),
        *(warning("no label", [item.name], item.name) for item in items if not item.label),
        *(
            warning("class of one group", [label], f"{label} cannot be both trained and tested on")
            for label in small
        ),
    ]


def find_unpaired(images: Sequence[Item], voices: Sequence[Item]) -> list[Finding]:
    """Return images without a voice and voices without an image."""
    spoken = {voice.image for voice in voices}
    return [
        *(
            warning("image without a voice", [image.name], image.name)
            for image in images
            if image.name not in spoken
        ),
        *(
            warning("voice without an image", [voice.name], voice.name)
            for voice in voices
            if not voice.image
        ),
    ]


def find_copies(items_by_digest: Iterable[Sequence[Item]], what: str) -> list[Finding]:
    """Return files with the same bytes; on two sides of the split they leak.

    Args:
        items_by_digest: items whose files have the same bytes, one sequence per content.
        what: ``"image"`` or ``"voice"``. Copies of an image must have one label; one recording of a
            sentence may describe two classes.
    """
    copies = [items for items in items_by_digest if len(items) > 1]
    return [finding for items in copies for finding in _find_copy(items, what)]


def find_groups_on_two_sides(items: Iterable[Item]) -> list[Finding]:
    """Return the groups whose items are on several sides of the split."""
    by_group: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_group[item.group].append(item)
    return [
        problem("group on two sides", _names(members), f"{group}: {_with_sides(members)}")
        for group, members in by_group.items()
        if len(_sides(members)) > 1
    ]


def find_names_on_two_sides(images: Iterable[Item]) -> list[Finding]:
    """Return images on two sides of the split whose names say that one is a copy of the other."""
    by_name: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for image in images:
        by_name[image.label, original_stem(image.name)].append(image)
    return [
        warning("name on two sides", _names(members), _with_sides(members))
        for members in by_name.values()
        if len(_sides(members)) > 1
    ]


def original_stem(name: str) -> str:
    """Return the stem of ``name`` without the suffixes that tools give to copies.

    ``harbor_rot90.png`` gives ``harbor``. ``carrot.png`` stays ``carrot``, and a stem that consists
    of such suffixes alone (``crop.png``, ``_copy (1).png``) stays as it is.
    """
    stem = Path(name).stem
    return COPY.sub("", stem) or stem


def find_captions_on_two_sides(voices: Sequence[Item]) -> list[Finding]:
    """Return the share of test sentences that are also trained on, as one warning."""
    spoken: dict[str, list[str]] = defaultdict(list)
    for voice in voices:
        if caption_key(voice.caption):
            spoken[voice.split].append(caption_key(voice.caption))
    trained = set(spoken["train"])
    shared = sum(caption in trained for caption in spoken["test"])
    if not shared:
        return []
    total = len(spoken["test"])
    text = f"{shared} of {total} test sentences ({shared / total:.1%}) are also spoken in training"
    return [warning("captions on two sides", (), text)]


def find_captions_of_several_classes(voices: Sequence[Item]) -> list[Finding]:
    """Return the sentences that are spoken for several classes, as one warning.

    No search can tell from such a voice which of the classes is meant.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    for voice in voices:
        if voice.label and caption_key(voice.caption):
            labels[caption_key(voice.caption)].add(voice.label)
    shared = sorted(caption for caption, found in labels.items() if len(found) > 1)
    if not shared:
        return []
    text = (
        f"{len(shared)} of {len(labels)} captions, e.g. {shared[0]!r}: "
        f"{' and '.join(sorted(labels[shared[0]]))}"
    )
    return [warning("caption of several classes", shared, text)]


def find_untrained_classes(items: Sequence[Item]) -> list[Finding]:
    """Return the classes of the test split of which the training split has no item."""
    by_side: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        by_side[item.split][item.label] += 1
    if not by_side["train"]:
        return []
    return [
        warning("class never trained", [label], f"{label}: {count} tested, none to train on")
        for label, count in sorted(by_side["test"].items())
        if label and label not in by_side["train"]
    ]


def _find_copy(items: Sequence[Item], what: str) -> list[Finding]:
    """Return the faults of several files with the same bytes."""
    names = _names(items)
    if len(_sides(items)) > 1:
        text = f"{_with_sides(items)} (same bytes); {COPIES_REMEDY}"
        return [problem(f"{what} on two sides", names, text)]
    labels = sorted({item.label for item in items})
    if what == "image" and len(labels) > 1:
        text = f"{_some(names)}: {' and '.join(map(repr, labels))}; keep one of them"
        return [problem("copies with two labels", names, text)]
    if len({item.group for item in items}) > 1:
        text = f"{_some(names)}; {COPIES_REMEDY}"
        return [warning(f"{what} copied, not in one group", names, text)]
    return []


def _names(items: Iterable[Item]) -> list[str]:
    return [item.name for item in items]


def _sides(items: Iterable[Item]) -> set[str]:
    return {item.split for item in items} - {""}


def _with_sides(items: Iterable[Item]) -> str:
    return _some([f"{item.name} ({item.split or 'no split'})" for item in items])


def _some(names: Sequence[str]) -> str:
    shown = " = ".join(names[:NAMED])
    return f"{shown} = {len(names) - NAMED} more" if len(names) > NAMED else shown
