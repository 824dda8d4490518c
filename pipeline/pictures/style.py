"""One family of styles: colours, line styles and markers that stay apart without colour.

The colours are those of Okabe and Ito, which stay apart with red, green and blue colour blindness.
No line is known by its colour alone: no two of the first :data:`DISTINCT` lines have the same line
style and marker.

Reference:
    The palette of Okabe and Ito, "Color Universal Design (CUD)", 2008, as printed in Wong, "Points
    of view: Color blindness", Nature Methods 8, 2011.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ivr.pipeline.runtime.visible_text import visible

if TYPE_CHECKING:
    # The types for other rooms, which do not import matplotlib.
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure

ThemeName = Literal["light", "dark"]

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.6, 1.2, 1.6)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "*")
DISTINCT = 36
"""Lines that differ in line style or marker: the least common multiple of both cycles."""
LONGEST = 28
"""Characters of a name in a picture."""
FONT = "DejaVu Sans"
OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans",
)
"""Fonts for characters that the first one lacks, where they are installed."""


@dataclass(frozen=True)
class Theme:
    """Colours for one kind of background; the background itself is transparent.

    Attributes:
        name: ``light`` or ``dark``.
        lines: colours of lines, in their order.
        ink: colour of text and axes.
        guide: colour of the lines of chance and ceiling.
        grid: colour of grid lines.
        out_of_reach: fill of the region above a ceiling.
        paper: background that the colours were chosen for.
        shades: Matplotlib colour map for shares; lighter means fewer on a light background.
    """

    name: ThemeName
    lines: tuple[str, ...]
    ink: str
    guide: str
    grid: str
    out_of_reach: str
    paper: str
    shades: str


LIGHT = Theme(
    "light",
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000", "#56b4e9"),
    ink="#1a1a1a",
    guide="#595959",
    grid="#d9d9d9",
    out_of_reach="#ececec",
    paper="#ffffff",
    shades="Blues",
)
DARK = Theme(
    "dark",
    ("#56b4e9", "#e69f00", "#009e73", "#dd9cc0", "#f2f2f2", "#f0e442", "#f07f3c"),
    ink="#ececec",
    guide="#b3b3b3",
    grid="#4a4a4a",
    out_of_reach="#333333",
    paper="#1e1e1e",
    shades="Blues_r",
)
THEMES: dict[ThemeName, Theme] = {"light": LIGHT, "dark": DARK}


def line_style(number: int, theme: Theme = LIGHT) -> dict[str, Any]:
    """Return the keywords of ``Axes.plot`` for line ``number``, from 0.

    Lines may coincide: each further one is thinner, and every second marker is hollow.
    """
    colour = theme.lines[number % len(theme.lines)]
    return {
        "color": colour,
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
        "linewidth": 2.2 if number % 2 == 0 else 1.4,
        "markersize": 5.5 if number % 2 == 0 else 6.5,
        "markerfacecolor": colour if number % 2 == 0 else "none",
        "markeredgecolor": colour,
        "markeredgewidth": 1.2,
    }


def text_colour(red: float, green: float, blue: float) -> str:
    """Return the black or white that can be read on a ground of this colour, from 0 to 1 each.

    It is the one with the greater contrast.

    Reference:
        Relative luminance and contrast of the Web Content Accessibility Guidelines, W3C, 2.2, 2023.
    """
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (red, green, blue)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    on_black, on_white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return "#000000" if on_black >= on_white else "#ffffff"


def marker_places(number: int, points: int, lines: int = 2) -> list[int]:
    """Return the points of line ``number`` that get a marker: about eight, staggered by line."""
    step = max(1, points // 8)
    first = number * step // max(1, lines) if points > 1 else 0
    return list(range(first, points, step)) or [0]


def shown_text(text: str, longest: int = LONGEST) -> str:
    """Return ``text`` on one line, cut to ``longest``; characters that act or hide as escapes.

    Draw it with ``parse_math=False``: a name is no formula, even with dollar signs in it.
    """
    text = visible(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def settings(theme: Theme = LIGHT) -> dict[str, Any]:
    """Return the Matplotlib settings of every picture of ``theme``."""
    return {
        "font.family": _fonts(),
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "legend.fontsize": 8,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.facecolor": "none",
        "axes.unicode_minus": True,
        "axes.formatter.use_mathtext": False,
        "text.color": theme.ink,
        "text.usetex": False,
        "text.parse_math": False,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",  # text stays text: it can be searched, and needs no font to embed
        "svg.hashsalt": "ivr",
        "pdf.fonttype": 42,  # TrueType: text stays text, and journals accept it
        "ps.fonttype": 42,
    }


@contextmanager
def styled(theme: Theme = LIGHT) -> Iterator[None]:
    """Use :func:`settings` within the block; Matplotlib's own settings are as before after it."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for name, value in settings(theme).items():
            matplotlib.rcParams[name] = value  # type: ignore[index]
        yield


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty sheet of ``width`` x ``height`` inches that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_panels(count: int, size: tuple[float, float], theme: Theme = LIGHT) -> "list[Axes]":
    """Return ``count`` new axes side by side in a window or notebook, as pyplot shows them.

    Call it inside :func:`styled`.

    Args:
        count: number of axes.
        size: width and height in inches.
        theme: colours; the background is that of the theme.
    """
    from matplotlib import pyplot

    sheet, panels = pyplot.subplots(1, count, figsize=size, layout="constrained", squeeze=False)
    sheet.set_facecolor(theme.paper)
    return list(panels[0])


def new_sheet(size: tuple[float, float], theme: Theme = LIGHT) -> "Figure":
    """Return an empty sheet of ``size`` inches in a window or notebook, as pyplot shows it."""
    from matplotlib import pyplot

    return pyplot.figure(figsize=size, layout="constrained", facecolor=theme.paper)


def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = {entry.name for entry in fontManager.ttflist}
    return [FONT, *(name for name in OTHER_FONTS if name in installed)]
