"""A picture with its words and its data, and the files that it becomes: PNG, SVG, PDF and CSV."""

import csv
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ivr.features.atomic_files import PDF, PNG, SVG, TEXT, replaced, replaced_text

from .style import LIGHT, Theme, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")
KINDS = {"png": PNG, "svg": SVG, "pdf": PDF, "csv": TEXT}
DOTS_PER_INCH = 150
EVALUATION = (
    "precision",
    "recall",
    "precision-recall",
    "precision-recall-by-query",
    "class-precision",
    "confusion",
    "distances",
    "bit-balance",
    "bit-correlation",
    "history",
)
"""Pictures of an evaluation, by the stem of their files."""
EVALUATION_FILES = tuple(f"{name}.{kind}" for name in EVALUATION for kind in KINDS)
"""Every file that the pictures of an evaluation may have, in every format."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that can be drawn, with its words and its data.

    Attributes:
        name: stem of its files, e.g. ``precision``.
        title: what it shows, in one line; it stands above the picture.
        caption: what it shows, in sentences: data set, split, n, method, seed, chance, units.
        rows: its data, one dictionary per row of the CSV file, each with the same keys.
        draw: returns it drawn, with its title, in the colours of a theme.
    """

    name: str
    title: str
    caption: str
    rows: Sequence[Mapping[str, Any]]
    draw: Callable[[Theme], "Figure"]


def write_picture(folder: Path, picture: Picture, formats: Iterable[Format] = ("png",)) -> None:
    """Write ``folder/NAME.FORMAT`` for each of ``formats``, and ``folder/NAME.csv``.

    The background is white in PNG files and transparent in the others; the colours are those of the
    light theme.
    """
    with replaced_text(folder / f"{picture.name}.csv") as file:
        file.write(csv_text(picture.rows))
    chosen = tuple(formats)
    if not chosen:
        return
    with styled(LIGHT):
        figure = picture.draw(LIGHT)
        for name in chosen:
            with replaced(folder / f"{picture.name}.{name}", KINDS[name]) as target:
                target.write(rendered(figure, name, picture))


def drawn_formats(folder: Path) -> tuple[Format, ...]:
    """Return the formats in which ``folder`` holds pictures of an evaluation."""
    return tuple(
        kind
        for kind in FORMATS
        if any((folder / f"{name}.{kind}").is_file() for name in EVALUATION)
    )


def svg_text(picture: Picture, theme: Theme = LIGHT) -> str:
    """Return ``picture`` as an SVG document with a transparent background, for a page.

    It begins with ``<svg``, so that it can stand inside HTML.
    """
    with styled(theme):
        text = rendered(picture.draw(theme), "svg", picture).decode()
    return text[text.index("<svg") :]


def rendered(figure: "Figure", kind: Format, picture: Picture | None = None) -> bytes:
    """Return what was drawn as the bytes of a file of ``kind``; equal drawings, equal bytes."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        # The fonts may lack a character of a name; it is drawn as an empty box.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(
            buffer,
            format=kind,
            dpi=DOTS_PER_INCH,
            facecolor="white" if kind == "png" else "none",
            metadata=_metadata(kind, picture),
        )
    return buffer.getvalue()


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return ``rows`` as CSV with a header; numbers have four decimals, None is empty."""
    from io import StringIO

    buffer = StringIO()
    if rows:
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is None or value != value:  # NaN
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value


def _metadata(kind: Format, picture: Picture | None) -> dict[str, Any]:
    """Return title and caption as the format stores them, without a date."""
    title, caption = (picture.title, picture.caption) if picture else ("", "")
    if kind == "png":
        return {"Title": title, "Description": caption, "Software": "ivr"}
    if kind == "svg":
        return {"Title": title, "Description": caption, "Creator": "ivr", "Date": None}
    found = {"Title": title, "Subject": caption, "Creator": "ivr", "Producer": "ivr"}
    return {**found, "CreationDate": None}
