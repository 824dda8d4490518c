"""Queries with what they find: a voice and its first images, or an image and its first voices.

As in Figs. 7 and 8 of the DIVH paper. A wrong hit has a cross and a dashed frame, a right one a
check mark and a whole frame: colour is not needed to tell them apart. Arrays only; the caller reads
the files.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .style import LIGHT, Theme, shown_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    Canvas = Figure | SubFigure

RIGHT, WRONG = "\N{CHECK MARK}", "\N{MULTIPLICATION X}"
LINE = 30
"""Characters of one line of a caption."""
COLUMNS = 5
"""Hits in one row of the picture."""


@dataclass(frozen=True, eq=False)
class VoiceItem:
    """A spoken caption.

    Attributes:
        name: name of the file.
        label: its class, ``""`` if it is unknown.
        caption: the words, ``""`` if they are unknown.
        samples: [n], float, -1 to 1.
        sample_rate: Hz.
    """

    name: str
    label: str
    caption: str
    samples: np.ndarray
    sample_rate: int


@dataclass(frozen=True, eq=False)
class ImageItem:
    """An image.

    Attributes:
        name: name of the file.
        label: its class, ``""`` if it is unknown.
        pixels: [height, width, 3], uint8.
    """

    name: str
    label: str
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Hit:
    """An item that was found.

    Attributes:
        item: image or voice.
        distance: distance from the query.
        relevant: whether it is relevant to the query.
    """

    item: VoiceItem | ImageItem
    distance: float
    relevant: bool


def draw_hits(
    sheet: "Canvas",
    query: VoiceItem | ImageItem,
    hits: Sequence[Hit],
    unit: str = "bits",
    theme: Theme = LIGHT,
) -> "np.ndarray":
    """Draw ``query`` on the left and its ``hits``, nearest first; return the axes.

    Args:
        sheet: what to draw into; see :func:`hits_size`.
        query: image or voice.
        hits: what it finds, nearest first.
        unit: unit of the distances, e.g. ``of 64 bits differ``.
        theme: colours.

    Returns:
        Axes [1 or 2 of the query, then one per hit].
    """
    rows = -(-len(hits) // COLUMNS)
    left, right = sheet.subfigures(1, 2, width_ratios=(1.5, COLUMNS), squeeze=False)[0]
    own = _draw_query(left, query, theme)
    panels = right.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, (place, hit) in zip(panels, enumerate(hits, 1), strict=False):
        draw_hit(axes, hit, place, unit, theme)
    for axes in panels[len(hits) :]:
        axes.set_axis_off()
    return np.array([*own, *panels[: len(hits)]])


def hits_size(hits: int) -> tuple[float, float]:
    """Return width and height in inches of a picture of one query with so many hits."""
    return 11.0, 0.5 + 1.95 * max(1, -(-hits // COLUMNS))


def draw_hit(axes: "Axes", hit: Hit, place: int, unit: str, theme: Theme = LIGHT) -> "Axes":
    """Draw one hit with its place, class and distance, framed by whether it is right."""
    if isinstance(hit.item, ImageItem):
        axes.imshow(hit.item.pixels)
    else:
        _draw_waveform(axes, hit.item, theme)
        axes.set_xlabel("")
    axes.set(xticks=[], yticks=[])
    colour = theme.lines[0] if hit.relevant else theme.lines[1]
    mark = RIGHT if hit.relevant else WRONG
    name = shown_text(hit.item.label or "no class", 20)
    axes.set_title(f"{place}  {mark} {name}", color=colour, fontsize=8.5, parse_math=False)
    words = [f"{hit.distance:g} {unit}"]
    if isinstance(hit.item, VoiceItem):
        words.append(_wrapped(hit.item.caption, 2))
    axes.set_xlabel("\n".join(filter(None, words)), fontsize=7.5, parse_math=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set(color=colour, linewidth=2.4, linestyle="-" if hit.relevant else (0, (2.5, 1.5)))
    return axes


def _draw_query(figure: "SubFigure", query: VoiceItem | ImageItem, theme: Theme) -> "list[Axes]":
    heading = f"query: {shown_text(query.label or 'no class', 20)}"
    if isinstance(query, ImageItem):
        axes = figure.subplots()
        axes.imshow(query.pixels)
        axes.set(xticks=[], yticks=[])
        axes.set_title(heading, parse_math=False)
        axes.set_xlabel(shown_text(query.name, LINE), fontsize=7.5, parse_math=False)
        return [axes]
    wave, bands = figure.subplots(2, 1, sharex=True)
    _draw_waveform(wave, query, theme)
    wave.set_title(f"{heading}\n{_wrapped(query.caption, 3)}", parse_math=False)
    _draw_spectrogram(bands, query)
    bands.set(xlabel="seconds", ylabel="kHz")
    return [wave, bands]


def _draw_waveform(axes: "Axes", voice: VoiceItem, theme: Theme) -> None:
    """Draw the outline of the samples: their range in about 400 steps of time."""
    steps = min(400, max(1, len(voice.samples)))
    parts = np.array_split(np.asarray(voice.samples, float), steps)
    low, high = (
        np.array([f(part) if len(part) else 0.0 for part in parts]) for f in (np.min, np.max)
    )
    times = np.linspace(0, len(voice.samples) / voice.sample_rate, steps)
    axes.fill_between(times, low, high, color=theme.lines[0], linewidth=0.3)
    loudest = max(float(np.abs([low, high]).max()), 1e-6)
    axes.set(yticks=[], ylim=(-1.1 * loudest, 1.1 * loudest), xlim=(0, max(times[-1], 1e-3)))


def _draw_spectrogram(axes: "Axes", voice: VoiceItem) -> None:
    """Draw the power of 25 ms windows every 10 ms in decibels, down to 60 below the loudest."""
    window = max(16, round(0.025 * voice.sample_rate))
    hop = max(1, round(0.010 * voice.sample_rate))
    samples = np.asarray(voice.samples, float)
    samples = np.pad(samples, (0, max(0, window - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)) ** 2
    loudness = 10 * np.log10(np.maximum(power / max(float(power.max()), 1e-20), 1e-6))
    seconds = len(samples) / voice.sample_rate
    axes.imshow(
        loudness.T, origin="lower", aspect="auto", cmap="cividis", interpolation="nearest",
        extent=(0, seconds, 0, voice.sample_rate / 2000),
    )  # fmt: skip


def _wrapped(caption: str, lines: int) -> str:
    if not caption:
        return ""
    text = shown_text(caption, lines * LINE)
    return "\n".join(textwrap.wrap(f"“{text}”", LINE, max_lines=lines, placeholder="…”"))
