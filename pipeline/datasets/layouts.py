"""Readers of the layouts in which image-voice data circulate: a manifest, or why there is none.

A reader proves what it writes: the class of every image and the image of every voice follow from
names, numbers and lists that agree with each other. Where they do not, it stops with one line and
asks for a table that says what goes with what. A new data set is one new function and one line in
``LAYOUTS``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .karpathy import Entry, match_entries, read_entries, sentences
from .manifest import Manifest, ManifestError
from .pairing import (
    ASK,
    Files,
    Pair,
    PairingError,
    find_files,
    folder,
    merge,
    numbers_by_image,
    pair,
    refuse,
    require_numbers,
    stem,
)
from .published import RSICD_CLASSES, SYDNEY_IMAGES, UCM_CLASSES, spelling

SENTENCES = 5  # captions of an image, in all three sets
UCM_IMAGES = dict.fromkeys(UCM_CLASSES, 100)
PREFIX = re.compile(r"(\D+?)[_-]?\d+")


@dataclass(frozen=True)
class Sources:
    """Where the files of a layout are.

    Attributes:
        images: folder of images, searched with its subfolders.
        voices: folder of voices, ``None`` for images alone.
        captions: ``*_caps.txt`` files, five lines an image; the images are those of the
            ``*_filename.txt`` beside, else 1, 2, 3 and so on.
        class_lists: folder of text files, one a class, with an image name a line.
        karpathy: ``dataset_*.json`` with splits and sentences.
        table: CSV with columns image and voice and any other of a manifest: what it says of an
            image or a voice overrides what the names say.
    """

    images: Path
    voices: Path | None = None
    captions: tuple[Path, ...] = ()
    class_lists: Path | None = None
    karpathy: Path | None = None
    table: Path | None = None


def read_ucm(sources: Sources) -> Manifest:
    """Return UC Merced: ``N.tif`` with N from 1 to 2100, or ``<class>/<class>NN.tif``."""
    _refuse_unused(sources, "ucm", ("class_lists", "karpathy"))
    files = find_files(sources.images, sources.voices, sources.table)
    pairs = pair(files)
    if all(map(_is_number, files.images)):
        labels = _labels(files, _by_ucm_number)
        require_numbers(pairs, files, _is_five, "0 to 4")
    else:
        labels = _labels(files, _by_ucm_folder)
        require_numbers(pairs, files, _is_five_from_0_or_1, "0 to 4 or 1 to 5")
    return merge(files, labels, pairs, _captions(sources, files, pairs), {})


def read_sydney(sources: Sources) -> Manifest:
    """Return Sydney: ``N.tif`` with N from 1 to 613, in order of class."""
    _refuse_unused(sources, "sydney", ("class_lists", "karpathy"))
    files = find_files(sources.images, sources.voices, sources.table)
    labels = _labels(files, _by_sydney_number)
    pairs = pair(files)
    require_numbers(pairs, files, _is_five, "0 to 4")
    return merge(files, labels, pairs, _captions(sources, files, pairs), {})


def read_rsicd(sources: Sources) -> Manifest:
    """Return RSICD: ``<class>_N.jpg`` or, with class lists, bare numbers; voices by sentence."""
    _refuse_unused(sources, "rsicd", ("karpathy",))
    files = find_files(sources.images, sources.voices, sources.table)
    lists = _read_class_lists(sources.class_lists)
    labels = _labels(files, lambda images: _by_list_or_prefix(images, lists, RSICD_CLASSES))
    pairs = pair(files)
    require_numbers(pairs, files, _is_block, "5j to 5j + 4 (sentence numbers) or 0 to 4")
    _refuse_shared_blocks(pairs, files)
    return merge(files, labels, pairs, _captions(sources, files, pairs), {})


def read_folders(sources: Sources) -> Manifest:
    """Return ``<class>/<name>.<ext>`` with its voices in a mirrored tree."""
    _refuse_unused(sources, "folders", ("class_lists", "karpathy"))
    files = find_files(sources.images, sources.voices, sources.table)
    labels = _labels(files, _by_folder)
    pairs = pair(files)
    require_numbers(pairs, files, _is_run, "from 0 or 1 without a gap")
    return merge(files, labels, pairs, _captions(sources, files, pairs), {})


def read_karpathy(sources: Sources) -> Manifest:
    """Return what a Karpathy JSON lists, with its splits (restval trains) and sentences."""
    _refuse_unused(sources, "karpathy", ("captions",))
    if sources.karpathy is None:
        raise ManifestError("the layout 'karpathy' needs its JSON file; give it with --json")
    dataset, entries = read_entries(sources.karpathy)
    files = find_files(sources.images, sources.voices, sources.table)
    entry_of = match_entries(files, entries)
    lists = _read_class_lists(sources.class_lists)

    def by_dataset(images: Sequence[str]) -> dict[str, str]:
        labels = _by_dataset(dataset, entries, lists)
        return {name: labels.get(entry_of[name].name, "") for name in images if name in entry_of}

    pairs = pair(files)
    return merge(
        files,
        _labels(files, by_dataset),
        pairs,
        sentences(pairs, entry_of),
        {name: entry.split for name, entry in entry_of.items()},
    )


def _refuse_unused(sources: Sources, layout: str, unused: Sequence[str]) -> None:
    options = {"captions": "--captions", "class_lists": "--class-lists", "karpathy": "--json"}
    for name in unused:
        if getattr(sources, name):
            raise ManifestError(f"the layout {layout!r} has no use for {options[name]}")


def _labels(files: Files, by_rule: Callable[[Sequence[str]], dict[str, str]]) -> dict[str, str]:
    """Return the class of every image: the table's, else the rule's."""
    said = {row.image: row.label for row in files.table if row.image and row.label}
    labels = said if set(files.images) <= set(said) else by_rule(files.images) | said
    untold = [name for name in files.images if not labels.get(name)]
    refuse(untold, "images whose class neither their names nor lists tell", ASK)
    return labels


def _by_ucm_number(images: Sequence[str]) -> dict[str, str]:
    return _by_number(images, UCM_IMAGES, "UC Merced")


def _by_sydney_number(images: Sequence[str]) -> dict[str, str]:
    return _by_number(images, SYDNEY_IMAGES, "Sydney")


def _by_number(images: Sequence[str], sizes: Mapping[str, int], dataset: str) -> dict[str, str]:
    """Return the class of images that are numbered from 1 in order of class.

    Raises:
        PairingError: the numbers are not exactly those of the data set.
    """
    in_order = [label for label, size in sizes.items() for _ in range(size)]
    numbers = {name: int(stem(name)) for name in images if _is_number(name)}
    wanted = set(range(1, len(in_order) + 1))
    proof = f"the class follows from the number only where {dataset} is whole, 1 to {len(wanted)}"
    remedy = f"{proof}; {ASK}"
    refuse([name for name in images if name not in numbers], "images without a number", remedy)
    missing = [str(number) for number in sorted(wanted - set(numbers.values()))]
    refuse(missing, "missing image numbers", remedy)
    strange = [name for name in images if numbers[name] not in wanted]
    refuse(strange, f"images that are none of {dataset}", remedy)
    if len(numbers) != len(wanted):
        raise PairingError(f"{len(numbers)} images, some of one number; {remedy}")
    return {name: in_order[number - 1] for name, number in numbers.items()}


def _is_number(name: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", stem(name)) is not None


def _by_folder(images: Sequence[str]) -> dict[str, str]:
    strange = [name for name in images if name.count("/") != 1]
    refuse(strange, "images that are not in <class>/<name>", "give the folder of the class folders")
    return {name: folder(name) for name in images}


def _by_ucm_folder(images: Sequence[str]) -> dict[str, str]:
    labels = _by_folder(images)
    strange = [name for name in images if spelling(labels[name]) not in UCM_CLASSES]
    refuse(strange, "images in no class of UC Merced", "the layout 'folders' takes any")
    return labels


def _by_list_or_prefix(
    images: Sequence[str], lists: Mapping[str, str], known: Sequence[str]
) -> dict[str, str]:
    """Return the class of images that are in a list or named for their class.

    Args:
        images: names.
        lists: stem of an image -> class.
        known: classes that a prefix may name, none for any.

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
    refuse(clash, "images named for another class than their list's", ASK)
    return {name: listed[name] or prefixes[name] for name in images}


def _prefix(name: str, known: Sequence[str]) -> str:
    match = PREFIX.fullmatch(stem(name))
    label = spelling(match[1]) if match else ""
    return label if label in known or not known else ""


def _by_dataset(dataset: str, entries: Sequence[Entry], lists: Mapping[str, str]) -> dict[str, str]:
    """Return the class of the images of a JSON by the rule of its data set."""
    names = [entry.name for entry in entries]
    numbered = all(map(_is_number, names))
    if spelling(dataset).startswith("ucm"):
        if numbered and not lists:
            return _by_ucm_number(names)
        return _by_list_or_prefix(names, lists, UCM_CLASSES)
    if spelling(dataset).startswith("sydney") and numbered and not lists:
        return _by_sydney_number(names)
    if spelling(dataset).startswith("rsicd"):
        return _by_list_or_prefix(names, lists, RSICD_CLASSES)
    return _by_list_or_prefix(names, lists, ())


def _read_class_lists(root: Path | None) -> dict[str, str]:
    """Return the class of each image stem in the lists below ``root``, ``{}`` without one."""
    if root is None:
        return {}
    paths = sorted(root.glob("*.txt"))
    if not paths:
        raise ManifestError(f"{root}: holds no class list (airport.txt, beach.txt ...)")
    labels: dict[str, str] = {}
    for path in paths:
        label = spelling(path.stem)
        for line in filter(None, _lines(path)):
            if labels.setdefault(stem(line), label) != label:
                raise PairingError(f"{path}: {line!r} is also in the list {labels[stem(line)]!r}")
    return labels


def _is_five(numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(SENTENCES))


def _is_five_from_0_or_1(numbers: Sequence[int]) -> bool:
    return len(numbers) == SENTENCES and _is_run(numbers)


def _is_run(numbers: Sequence[int]) -> bool:
    """Return whether the numbers are 0, 1, 2 ... or 1, 2, 3 ..., or one voice has none."""
    first = numbers[0]
    return list(numbers) == list(range(first, first + len(numbers))) and (
        first in (0, 1) or (len(numbers) == 1 and first < 0)
    )


def _is_block(numbers: Sequence[int]) -> bool:
    """Return whether the numbers are those of an image's five sentences, counted over the set."""
    first = numbers[0]
    return first % SENTENCES == 0 and list(numbers) == list(range(first, first + SENTENCES))


def _refuse_shared_blocks(pairs: Sequence[Pair], files: Files) -> None:
    """Refuse images with the same sentence numbers, unless all have 0 to 4."""
    said = {row.image for row in files.table if row.voice}
    seen: dict[int, str] = {}
    shared = []
    firsts = {name: numbers[0] for name, numbers in numbers_by_image(pairs).items()}
    for name, first in firsts.items():
        if name not in said and seen.setdefault(first, name) != name:
            shared.append(f"{name} and {seen[first]}, both from {first}")
    if set(firsts.values()) != {0}:
        refuse(shared, "images that share sentence numbers", ASK)


def _captions(sources: Sources, files: Files, pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the sentence of each voice, where ``sources.captions`` has it."""
    spoken: dict[str, Sequence[str]] = {}
    for path in sources.captions:
        spoken |= _captions_by_image(path, files.images)
    firsts = {image: numbers[0] for image, numbers in numbers_by_image(pairs).items()}
    captioned = [one for one in pairs if one.image in spoken]
    place = {one.voice: one.number - firsts[one.image] for one in captioned}
    extra = [one.voice for one in captioned if one.number < 0 or place[one.voice] >= SENTENCES]
    refuse(extra, "voices that are not one of an image's five captions", "leave --captions out")
    return {one.voice: spoken[one.image][place[one.voice]] for one in captioned}


def _captions_by_image(path: Path, images: Sequence[str]) -> dict[str, Sequence[str]]:
    lines = _lines(path)
    stems = _stems_of_captions(path, len(lines))
    if len(lines) != SENTENCES * len(stems):
        raise PairingError(
            f"{path}: {len(lines)} lines for {len(stems)} images, not {SENTENCES} an image"
        )
    by_stem = {stem(name): name for name in images}
    absent = [name for name in stems if name not in by_stem]
    refuse(
        absent, f"images with captions in {path} that are not in the folder", "leave --captions out"
    )
    if len(by_stem) != len(images):
        raise PairingError(f"{path}: captions go by file name, and images of two folders share one")
    return {
        by_stem[name]: lines[SENTENCES * place : SENTENCES * (place + 1)]
        for place, name in enumerate(stems)
    }


def _stems_of_captions(path: Path, lines: int) -> list[str]:
    """Return the image stems in the order of a caption file."""
    names = path.with_name(path.name.replace("_caps", "_filename"))
    if names == path or not names.is_file():
        return [str(number) for number in range(1, lines // SENTENCES + 1)]
    stems = [stem(line) for line in _lines(names)]
    # Some copies name the image on each of its five lines.
    return list(dict.fromkeys(stems)) if len(stems) == lines else stems


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file, without the spaces around them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not a readable text file ({error})") from error
    return [line.strip() for line in text.splitlines()]


LAYOUTS: dict[str, Callable[[Sources], Manifest]] = {
    "ucm": read_ucm,
    "sydney": read_sydney,
    "rsicd": read_rsicd,
    "folders": read_folders,
    "karpathy": read_karpathy,
}
