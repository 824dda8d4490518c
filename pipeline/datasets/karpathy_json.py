"""The JSON file of Karpathy's splits: images, their splits and their sentences."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ivr.features.regular_files import UnreadableFileError
from ivr.pipeline.runtime.json_files import ContentError, load_json

from .manifest_row import SPLIT_NAMES, ManifestError, split_of
from .pairing import ASK, Files, Pair, refuse, same_folder, stem

Value = TypeVar("Value")


@dataclass(frozen=True)
class Sentence:
    """One caption.

    Attributes:
        number: ``sentid``, unique in the data set.
        text: ``raw``.
    """

    number: int
    text: str


@dataclass(frozen=True)
class Entry:
    """One image of the JSON.

    Attributes:
        name: file name, below its folder where the JSON gives one.
        split: ``train``, ``val`` or ``test``.
        sentences: in the order of the JSON.
    """

    name: str
    split: str
    sentences: tuple[Sentence, ...]


def read_entries(path: Path) -> tuple[str, tuple[Entry, ...]]:
    """Return the name of the data set and the images of the JSON file ``path``.

    Raises:
        ManifestError: not such a file; the message names the entry and the wrong field.
    """
    try:
        content = load_json(path, dict[str, Any])
    except (UnreadableFileError, ContentError) as error:
        raise ManifestError(f"{path}: not a readable JSON file ({error})") from error
    records = content.get("images")
    if not isinstance(records, list) or not records:
        raise ManifestError(f"{path}: has no list 'images'")
    entries = tuple(_entry(record, f"{path}: image {n}") for n, record in enumerate(records))
    _refuse_repeats(path, entries)
    return str(content.get("dataset", "")), entries


def match_entries(files: Files, entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return the entry of each image; only images of the table may lack one.

    The suffix does not count (``1.tif`` in the JSON, ``1.jpg`` in the folder).

    Raises:
        PairingError: an entry without a file or with two files, or a file without an entry.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in files.images:
        by_stem[stem(name)].append(name)
    fits = {
        entry: [name for name in by_stem[stem(entry.name)] if same_folder(name, entry.name)]
        for entry in entries
    }
    absent = [entry.name for entry, names in fits.items() if not names]
    refuse(absent, "images of the JSON that are not in the folder", "complete the folder")
    twice = [f"{names[0]} and {names[1]}" for names in fits.values() if len(names) > 1]
    refuse(twice, "images of the JSON that fit several files", "keep one of them")
    entry_of = {names[0]: entry for entry, names in fits.items()}
    said = {row.image for row in files.table}
    extra = [name for name in files.images if name not in entry_of and name not in said]
    refuse(extra, "images that are not in the JSON", "move them out of the folder, or " + ASK)
    return entry_of


def sentences(pairs: Sequence[Pair], entry_of: Mapping[str, Entry]) -> dict[str, str]:
    """Return the sentence of each voice, whose number is a ``sentid`` or a position from 0.

    Raises:
        PairingError: numbers that are neither, or could be either.
    """
    known = [one for one in pairs if one.image in entry_of]
    by_number = {one.voice: _by_number(one, entry_of[one.image]) for one in known}
    by_place = {one.voice: _by_place(one, entry_of[one.image]) for one in known}
    unnumbered = [voice for voice, text in by_number.items() if text is None]
    misplaced = [voice for voice, text in by_place.items() if text is None]
    if unnumbered and misplaced:
        refuse(unnumbered, "voices with numbers that are neither sentids nor positions from 0", ASK)
    chosen = by_place if unnumbered else by_number
    if not unnumbered and not misplaced:
        either = [voice for voice in by_number if by_number[voice] != by_place[voice]]
        refuse(either, "voices with numbers that may be sentids or positions", ASK)
    _refuse_repeated_numbers(known)
    return {voice: text for voice, text in chosen.items() if text is not None}


def _by_number(one: Pair, entry: Entry) -> str | None:
    return next((said.text for said in entry.sentences if said.number == one.number), None)


def _by_place(one: Pair, entry: Entry) -> str | None:
    inside = 0 <= one.number < len(entry.sentences)
    return entry.sentences[one.number].text if inside else None


def _refuse_repeated_numbers(pairs: Sequence[Pair]) -> None:
    seen: dict[tuple[str, int], str] = {}
    repeated = [
        f"{one.voice} and {seen[one.image, one.number]}"
        for one in pairs
        if seen.setdefault((one.image, one.number), one.voice) != one.voice
    ]
    refuse(repeated, "voices with the number of another of their image", ASK)


def _entry(record: object, place: str) -> Entry:
    name = _field(record, "filename", str, place)
    given = _field(record, "split", str, place)
    split = split_of(given)
    if not split:
        raise ManifestError(f"{place}: split must be {', '.join(SPLIT_NAMES)}, got {given!r}")
    assert isinstance(record, dict)
    path = str(PurePosixPath(str(record.get("filepath", "")), name))
    spoken = _field(record, "sentences", list, place)
    return Entry(path, split, tuple(_sentence(one, place) for one in spoken))


def _sentence(record: object, place: str) -> Sentence:
    text = _field(record, "raw", str, place)
    return Sentence(_field(record, "sentid", int, place), " ".join(text.split()))


def _field(record: object, key: str, kind: type[Value], place: str) -> Value:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        raise ManifestError(f"{place}: {key!r} is missing or not a {kind.__name__}")
    return value


def _refuse_repeats(path: Path, entries: Sequence[Entry]) -> None:
    (name, count), *_ = Counter(entry.name for entry in entries).most_common(1)
    if count > 1:
        raise ManifestError(f"{path}: image {name!r} stands {count} times")
