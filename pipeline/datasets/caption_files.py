"""Caption files ``*_caps.txt``: five sentences per image, and the voice that speaks each."""

from collections.abc import Sequence
from pathlib import Path

from ivr.pipeline.runtime.words import counted

from .pairing import Files, Pair, PairingError, numbers_by_image, refuse, stem
from .text_lines import text_lines

SENTENCES = 5
"""Captions per image in UCM, Sydney and RSICD."""


def captions_of(paths: Sequence[Path], files: Files, pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the sentence of each voice that the caption files ``paths`` cover.

    Raises:
        ManifestError: a file that cannot be read, or that does not fit the images and voices.
    """
    spoken: dict[str, Sequence[str]] = {}
    for path in paths:
        spoken |= _captions_by_image(path, files.images)
    firsts = {image: numbers[0] for image, numbers in numbers_by_image(pairs).items()}
    captioned = [one for one in pairs if one.image in spoken]
    place = {one.voice: one.number - firsts[one.image] for one in captioned}
    extra = [one.voice for one in captioned if one.number < 0 or place[one.voice] >= SENTENCES]
    refuse(extra, "voices that are not one of the five captions of an image", "omit --captions")
    return {one.voice: spoken[one.image][place[one.voice]] for one in captioned}


def is_five(numbers: Sequence[int]) -> bool:
    """Return whether the numbers of the voices of an image are 0 to 4."""
    return list(numbers) == list(range(SENTENCES))


def _captions_by_image(path: Path, images: Sequence[str]) -> dict[str, Sequence[str]]:
    lines = text_lines(path)
    stems = _stems_of_captions(path, len(lines))
    if len(lines) != SENTENCES * len(stems):
        raise PairingError(
            f"{path}: {counted(len(lines), 'line')} for {counted(len(stems), 'image')}, "
            f"not {SENTENCES} per image"
        )
    by_stem = {stem(name): name for name in images}
    absent = [name for name in stems if name not in by_stem]
    refuse(absent, f"images with captions in {path} that are not in the folder", "omit --captions")
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
    stems = [stem(line) for line in text_lines(names)]
    # Some copies name the image on each of its five lines.
    return list(dict.fromkeys(stems)) if len(stems) == lines else stems
