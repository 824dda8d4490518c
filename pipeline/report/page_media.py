"""The pictures and sounds of a page: inside it, or as files in a folder beside it."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ivr.features.atomic_files import JPEG, WAV, WEBM, replaced
from ivr.pipeline.extraction.media_roots import media_roots
from ivr.pipeline.runtime.words import counted

from .media_budget import EncodedMedia, encode_media
from .media_files import ReadMedia, read_media
from .query_cards import Medium
from .render import data_link

KINDS = {".jpg": JPEG, ".webm": WEBM, ".wav": WAV}
TYPES = {".jpg": "image/jpeg", ".webm": "audio/webm", ".wav": "audio/wav"}
_OWN = re.compile(r"[0-9a-f]{16}\.(jpg|webm|wav)")


@dataclass(frozen=True)
class ShownSound:
    """A voice on the page.

    Attributes:
        key: its name in the page.
        seconds: its length.
        bars: path of its picture, one line per part of the recording, in a box of 128 x 32.
    """

    key: str
    seconds: float
    bars: str


@dataclass(frozen=True, eq=False)
class PageMedia:
    """What the templates read of pictures and sounds.

    Attributes:
        pictures: key by name of an image.
        sounds: by name of a voice.
        picture_links: address by key.
        sound_links: address by key.
        skipped: what is missing, one line per file.
        left_out: number of files that were left out because of the size of the page.
    """

    pictures: Mapping[str, str] = field(default_factory=dict)
    sounds: Mapping[str, ShownSound] = field(default_factory=dict)
    picture_links: Mapping[str, str] = field(default_factory=dict)
    sound_links: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def words(self) -> str:
        """What is not shown, as one sentence; empty if all is."""
        parts = []
        if self.skipped:
            parts.append(f"{counted(len(self.skipped), 'file')} could not be read")
        if self.left_out:
            parts.append(f"{counted(self.left_out, 'file')} left out to keep the page small")
        return "; ".join(parts)


def read_page_media(
    media: Sequence[Medium], config: Mapping[str, Any], media_root: Path | None
) -> ReadMedia:
    """Return the files of ``media``, as far as they are there.

    Args:
        media: what is shown, each once.
        config: content of the ``config.json`` of the run.
        media_root: folder that names are relative to; None for the one of the extraction.
    """
    images = [one.name for one in media if not one.is_voice]
    voices = [one.name for one in media if one.is_voice]
    features = Path(config["features"]["folder"] or ".")
    roots = media_roots(features, images, voices, media_root)
    return read_media(images, voices, roots, config)


def embedded_media(files: ReadMedia, most: int) -> PageMedia:
    """Return ``files`` inside the page, where they take at most ``most`` bytes."""
    encoded = encode_media(files.pictures, files.voices, most)
    return _page_media(files, encoded, data_link)


def linked_media(files: ReadMedia, folder: Path) -> PageMedia:
    """Write ``files`` into ``folder``, beside the page, and return them as links.

    Files that an earlier report left there and this one does not need are removed.

    Raises:
        InTheWayError: something else lies in the place of a file.
    """
    encoded = encode_media(files.pictures, files.voices, None)
    folder.mkdir(parents=True, exist_ok=True)
    written = set()

    def link(data: bytes, media_type: str) -> str:
        ending = next(end for end, known in TYPES.items() if known == media_type)
        name = f"{hashlib.sha256(data).hexdigest()[:16]}{ending}"
        written.add(name)
        with replaced(folder / name, KINDS[ending]) as file:
            file.write(data)
        return f"{quote(folder.name)}/{name}"

    found = _page_media(files, encoded, link)
    for path in folder.iterdir():
        if _OWN.fullmatch(path.name) and path.name not in written:
            path.unlink()
    return found


def _page_media(
    files: ReadMedia, encoded: EncodedMedia, link: Callable[[bytes, str], str]
) -> PageMedia:
    pictures = {name: f"p{number}" for number, name in enumerate(encoded.pictures)}
    sounds = {
        name: ShownSound(f"s{number}", files.voices[name].seconds, _path(files.voices[name].bars))
        for number, name in enumerate(encoded.sounds)
    }
    return PageMedia(
        pictures,
        sounds,
        {pictures[name]: link(data, "image/jpeg") for name, data in encoded.pictures.items()},
        {sounds[name].key: link(data, encoded.sound_type) for name, data in encoded.sounds.items()},
        tuple(f"{one.name}: {one.reason}" for one in files.skipped),
        encoded.left_out,
    )


def _path(bars: Sequence[int]) -> str:
    """Return the bars as vertical lines of a path in a box of 128 x 32."""
    heights = [max(1, round(bar * 15 / 100)) for bar in bars]
    return "".join(f"M{2 * n + 1} {16 - high}v{2 * high}" for n, high in enumerate(heights))
