"""The outcome of a search in a scene."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ivr.features.raster_place import Box
from ivr.pipeline.runtime.results import TableResult
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import aligned_bits

from .distances import NOTHING, Confidence


@dataclass(frozen=True)
class FoundPlace:
    """One of the best places of a query.

    Attributes:
        rank: from 1.
        distance: Hamming distance of its window to the query, bits.
        x: first column of the window, pixels of the scene.
        y: first row.
        width: pixels.
        height: pixels.
        bounds: least x and y, largest x and y in the system of the scene; None if unknown.
        degrees: west, south, east and north in degrees of WGS 84; None if unknown.
    """

    rank: int
    distance: int
    x: int
    y: int
    width: int
    height: int
    bounds: Box | None
    degrees: Box | None


@dataclass(frozen=True)
class LocatedQuery:
    """The places of one query.

    Attributes:
        query: the file that was searched with.
        places: nearest first.
        confidence: how clearly the first place stands out among all windows; None without any.
    """

    query: Path
    places: tuple[FoundPlace, ...]
    confidence: Confidence | None


@dataclass(frozen=True, repr=False)
class LocateResult(TableResult):
    """Where in a scene the content of queries is.

    Attributes:
        scene: the file.
        bits: length of the codes.
        tile: side of the windows, pixels.
        stride: pixels from one window to the next.
        windows: number of windows that were compared.
        empty: number of windows without data.
        encoded: number of windows whose codes this call made.
        stretch: offset and gain that made 0 to 255 of the values of the scene; None for a palette,
            or if no window was encoded.
        crs: system of the bounds; None if the scene names none.
        queries: one per query, in the order given.
    """

    scene: Path
    bits: int
    tile: int
    stride: int
    windows: int
    empty: int
    encoded: int
    stretch: tuple[float, float] | None
    crs: str | None
    queries: tuple[LocatedQuery, ...]

    def __repr__(self) -> str:
        """Return the lines that ``ivr locate`` prints: rank, distance, corner and centre."""
        lines = []
        for query in self.queries:
            clear = query.confidence
            stands_out = f", confidence {clear.value:.2f}" if clear else ""
            stands_out += f"; {NOTHING}" if clear and clear.unclear else ""
            lines.append(f"{query.query}: {self.windows} windows{stands_out}")
            lines += [
                f"{one.rank:4d}  {aligned_bits(one.distance)}  {_where(one)}"
                for one in query.places
            ]
        return "\n".join(visible(line) for line in lines)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per place and query."""
        return [
            {"query": str(query.query), **asdict(one)}
            for query in self.queries
            for one in query.places
        ]


def _where(place: FoundPlace) -> str:
    window = f"upper left pixel x {place.x}, y {place.y}"
    if place.degrees is None:
        return window
    west, south, east, north = place.degrees
    longitude = (west + (east if east >= west else east + 360)) / 2
    longitude = longitude - 360 if longitude > 180 else longitude
    return f"{window}  centre at longitude {longitude:.5f}, latitude {(south + north) / 2:.5f}"
