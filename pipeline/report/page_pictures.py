"""Pictures of results on a page: light and dark, with links that save them and their data."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ivr.features.atomic_files import replaced
from ivr.pipeline.pictures.picture_files import KINDS, Format, Picture, csv_text, rendered, svg_text
from ivr.pipeline.pictures.style import DARK, LIGHT, styled
from ivr.pipeline.runtime.progress import progress

from .render import data_link

TYPES = {"svg": "image/svg+xml", "pdf": "application/pdf", "csv": "text/csv"}
WIDE = 7.0
"""Inches from which on a picture takes the whole width of the page."""
PIXELS = 92
"""Pixels per inch of a picture on the page, so that text has one size in all pictures."""
MOST_DATA = 300_000
"""Bytes of a CSV file that a page holds; a larger one is only written beside it."""

SAVED: tuple[Format, ...] = ("svg", "pdf")

Link = Callable[[str, str, bytes], str]
"""Returns the address of a file, from its name, its ending and its content."""


@dataclass(frozen=True)
class SaveLink:
    """A link that saves a file: its address, the name of the file, and the text of the link."""

    address: str
    name: str
    text: str


@dataclass(frozen=True)
class PagePicture:
    """One picture on a page.

    Attributes:
        anchor: its permanent link.
        title: what it shows, in one line.
        caption: what it shows, in sentences.
        light: address of the picture for a light background.
        dark: address of the picture for a dark background.
        wide: it takes the whole width of the page.
        width: greatest width on the page, pixels.
        links: SVG, PDF and CSV.
    """

    anchor: str
    title: str
    caption: str
    light: str
    dark: str
    wide: bool
    width: int
    links: tuple[SaveLink, ...]


def embedded_pictures(pictures: Sequence[Picture]) -> list[PagePicture]:
    """Return ``pictures`` with their files inside the page."""
    return _pictures(pictures, lambda _, ending, data: data_link(data, TYPES[ending]), MOST_DATA)


def linked_pictures(pictures: Sequence[Picture], folder: Path) -> list[PagePicture]:
    """Write ``pictures`` into ``folder``, beside the page, and return them.

    Raises:
        InTheWayError: something else lies in the place of a file.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def link(name: str, ending: str, data: bytes) -> str:
        with replaced(folder / f"{name}.{ending}", KINDS[ending]) as file:
            file.write(data)
        return f"{quote(folder.name)}/{name}.{ending}"

    return _pictures(pictures, link, None)


def _pictures(pictures: Sequence[Picture], link: Link, most_data: int | None) -> list[PagePicture]:
    return [
        _picture(picture, link, most_data)
        for picture in progress(pictures, len(pictures), "pictures of results")
    ]


def _picture(picture: Picture, link: Link, most_data: int | None) -> PagePicture:
    with styled(LIGHT):
        figure = picture.draw(LIGHT)
        inches = float(figure.get_figwidth())
        light, pdf = (rendered(figure, kind, picture) for kind in SAVED)
    light = light[light.index(b"<svg") :]  # as svg_text
    dark = svg_text(picture, DARK).encode()
    data = csv_text(picture.rows).encode()
    saved = {"svg": light, "pdf": pdf}
    if most_data is None or len(data) <= most_data:
        saved["csv"] = data
    addresses = {ending: link(picture.name, ending, file) for ending, file in saved.items()}
    return PagePicture(
        f"picture-{picture.name}-{hashlib.sha256(picture.title.encode()).hexdigest()[:6]}",
        picture.title,
        picture.caption,
        addresses["svg"],
        link(f"{picture.name}-dark", "svg", dark),
        inches >= WIDE,
        round(PIXELS * inches),
        tuple(
            SaveLink(address, f"{picture.name}.{ending}", _text(ending))
            for ending, address in addresses.items()
        ),
    )


def _text(ending: str) -> str:
    return {"svg": "SVG", "pdf": "PDF", "csv": "data as CSV"}[ending]
