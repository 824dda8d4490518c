"""Pairs of voice and image, proved by their names or given by a table."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.visible_text import visible

from .manifest import Manifest, ManifestError, ManifestRow, resolve
from .manifest_columns import read_columns
from .manifest_row import name_fault
from .passed_over import files_below

IMAGE_SUFFIXES = (".tif", ".tiff", ".jp2", ".j2k", ".jpg", ".jpeg", ".png")
VOICE_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".caf"),
    *(".mp3", ".m4a", ".aac", ".amr", ".3gp", ".webm", ".mp4", ".mov", ".mkv", ".mka", ".avi"),
)
NUMBERED = re.compile(r"(.+)(?:_|-|S)(\d+)")
UNNUMBERED = -1
ASK = "give a CSV with the columns image, voice and label with --table"


class PairingError(ManifestError):
    """Files whose class or pairing cannot be proved; a table can give it."""


@dataclass(frozen=True)
class Files:
    """The files of a data set.

    Attributes:
        images: names below the image folder, ``2.tif`` before ``10.tif``.
        voices: names below the voice folder, in the same order.
        table: rows of the user; they override what the names say.
    """

    images: tuple[str, ...]
    voices: tuple[str, ...]
    table: tuple[ManifestRow, ...]


@dataclass(frozen=True)
class Pair:
    """A voice and the image that its name points to.

    Attributes:
        voice: name of the voice.
        image: name of the image.
        number: number at the end of the voice's name, ``UNNUMBERED`` if there is none.
    """

    voice: str
    image: str
    number: int


def find_files(images: Path, voices: Path | None, table: Path | None) -> Files:
    """Return the images below ``images``, the voices below ``voices`` and the rows of ``table``.

    Raises:
        ManifestError: a folder without such files, a link out of it, or a table that names others.
    """
    found = Files(
        images=_names(images, IMAGE_SUFFIXES, "image"),
        voices=_names(voices, VOICE_SUFFIXES, "voice") if voices else (),
        table=_table(table) if table else (),
    )
    for column, there in (("image", set(found.images)), ("voice", set(found.voices))):
        named = [getattr(row, column) for row in found.table]
        absent = [name for name in named if name and name not in there]
        refuse(absent, f"{column}s of the table that are not in the folder", "correct their paths")
    return found


def _table(path: Path) -> tuple[ManifestRow, ...]:
    """Return the rows of a table; the manifest that they go into settles their spellings."""
    try:
        return Manifest.of_columns(read_columns(path, required=("image", "voice"))).rows
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def pair(files: Files) -> tuple[Pair, ...]:
    """Return the pairs that the names prove, of the voices that the table does not mention.

    A voice ``<stem>S<k>``, ``<stem>_<k>``, ``<stem>-<k>`` or ``<stem>`` describes the image
    ``<stem>`` of the same folder; a voice or an image at the top of its tree fits any folder.

    Raises:
        PairingError: voices that fit no image, or several.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in files.images:
        by_stem[stem(name)].append(name)
    said = {row.voice for row in files.table}
    candidates = {voice: _candidates(voice, by_stem) for voice in files.voices if voice not in said}
    refuse([voice for voice, fit in candidates.items() if not fit], "voices that fit no image", ASK)
    refuse(
        [
            f"{voice} fits {fit[0].image} and {fit[1].image}"
            for voice, fit in candidates.items()
            if len(fit) > 1
        ],
        "voices that fit several images",
        ASK,
    )
    return tuple(fit[0] for fit in candidates.values())


def require_numbers(
    pairs: Sequence[Pair], files: Files, allowed: Callable[[list[int]], bool], words: str
) -> None:
    """Refuse images whose voices are not numbered as ``allowed`` requires.

    Args:
        pairs: pairs that the names prove.
        files: images of its table are skipped, since the table explains them.
        allowed: takes the numbers of one image's voices in rising order.
        words: the allowed numbers in words, for the message.

    Raises:
        PairingError: at least one such image.
    """
    said = {row.image for row in files.table if row.voice}
    strange = [
        f"{image} has {_numbers_in_words(numbers)}"
        for image, numbers in numbers_by_image(pairs).items()
        if image not in said and not allowed(numbers)
    ]
    refuse(strange, f"images whose voices are not numbered {words}", ASK)


def is_run(numbers: Sequence[int]) -> bool:
    """Return whether rising numbers are 0, 1, 2 ... or 1, 2, 3 ..., or one voice has no number."""
    first = numbers[0]
    return list(numbers) == list(range(first, first + len(numbers))) and (
        first in (0, 1) or (len(numbers) == 1 and first == UNNUMBERED)
    )


def numbers_by_image(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    """Return the numbers of the voices of each image, in rising order."""
    found: dict[str, list[int]] = defaultdict(list)
    for one in pairs:
        found[one.image].append(one.number)
    return {image: sorted(numbers) for image, numbers in found.items()}


def merge(
    files: Files,
    labels: Mapping[str, str],
    pairs: Sequence[Pair],
    captions: Mapping[str, str],
    splits: Mapping[str, str],
) -> Manifest:
    """Return the manifest of ``files``; the table overrides everything else.

    Args:
        files: every image gets a row, with or without a voice.
        labels: image -> class.
        pairs: pairs of the voices that the table does not mention.
        captions: voice -> sentence, where known.
        splits: image -> split, where known.
    """
    by_voice = {row.voice: row for row in files.table if row.voice}
    by_image = {row.image: row for row in files.table if row.image}
    image_of = {one.voice: one.image for one in pairs}
    image_of |= {voice: row.image for voice, row in by_voice.items()}
    voices_of: dict[str, list[str]] = defaultdict(list)
    for voice in files.voices:
        voices_of[image_of[voice]].append(voice)
    rows = []
    for image in files.images:
        said = by_image.get(image, ManifestRow(image, "", ""))
        for voice in voices_of[image] or [""]:
            spoken = by_voice.get(voice, ManifestRow("", voice, ""))
            rows.append(
                ManifestRow(
                    image=image,
                    voice=voice,
                    label=labels[image],
                    split=said.split or splits.get(image, ""),
                    speaker=spoken.speaker,
                    caption=spoken.caption or captions.get(voice, ""),
                    group=said.group,
                    more=spoken.more or (() if said.voice else said.more),
                )
            )
    return Manifest((*rows, *(by_voice[voice] for voice in voices_of[""])))


def refuse(examples: Collection[str], what: str, remedy: str) -> None:
    """Raise ``PairingError`` with ``what``, the count and the first of ``examples``, if any."""
    if examples:
        first = next(iter(examples))
        shown = first if first.isprintable() else ascii(first)
        raise PairingError(f"{what}: {len(examples)}, e.g. {shown}; {remedy}")


def stem(name: str) -> str:
    """Return the file name without its folder and suffix."""
    return PurePosixPath(name).stem


def folder(name: str) -> str:
    """Return the folder of ``name`` below the root, ``"."`` at the top."""
    return str(PurePosixPath(name).parent)


def same_folder(one: str, other: str) -> bool:
    """Return whether two names are in one folder; the top of a tree fits any."""
    return folder(one) == folder(other) or "." in (folder(one), folder(other))


def _candidates(voice: str, by_stem: Mapping[str, Sequence[str]]) -> list[Pair]:
    readings = [(stem(voice), UNNUMBERED)]
    if match := NUMBERED.fullmatch(stem(voice)):
        readings.append((match[1], int(match[2])))
    return [
        Pair(voice, image, number)
        for image_stem, number in readings
        for image in by_stem.get(image_stem, ())
        if same_folder(voice, image)
    ]


def _names(root: Path, suffixes: Sequence[str], what: str) -> tuple[str, ...]:
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder of {what}s")
    seen = [name for name in files_below(root) if PurePosixPath(name).suffix.lower() in suffixes]
    faults = {name: name_fault(name) for name in seen}
    for name, fault in faults.items():
        if fault:
            warn(f"passed over {visible(name)}: its name {fault}")
    named = [name for name in seen if not faults[name]]
    if not named:
        raise ManifestError(f"{root}: holds no {what} ({', '.join(suffixes)}) that can be named")
    # Linked folders are not searched, so only a file itself can lead out of the root.
    for name in named:
        if (root / name).is_symlink():
            resolve(root, name)
    return tuple(sorted(named, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that puts ``2.tif`` before ``10.tif``."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), part) if part.isdecimal() else (0, part) for part in parts]


def _numbers_in_words(numbers: Sequence[int]) -> str:
    return ", ".join("no number" if number == UNNUMBERED else str(number) for number in numbers)
