"""Which bands of an image become red, green and blue, and how deep values become 0 to 255."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator

from ivr.config import config

from .media import MediaError

STRETCHES = "percentile, minmax, none or scale:OFFSET,GAIN"


def _texts(value: object) -> object:
    """Return bands such as ``"4,3,2"`` or ``[4, 3, 2]`` as texts; any other value as it is."""
    if isinstance(value, str):
        value = value.split(",")
    return tuple(str(one).strip() for one in value) if isinstance(value, list | tuple) else value


@config
class PixelConfig:
    """How the bands of an image file become the RGB picture that the encoder sees.

    Attributes:
        bands: Bands that become red, green and blue, by number from 1 or by description, e.g.
            ``4,3,2``; one band gives grey. By default the bands that the file calls red, green and
            blue, else its first three; a single band is taken three times. Another number of
            bands is for networks whose weights take as many (``timm:NAME``).
        stretch: How values deeper than 8 bits become 0 to 255: ``percentile`` (linear from the 2nd
            to the 98th percentile), ``minmax`` (linear from the smallest to the largest value),
            ``none`` (values are 0 to 255 already) or ``scale:OFFSET,GAIN`` (gain times the value
            less the offset).
        join_pages: Take the pages of a TIFF, each of one band, as the bands of one image.
    """

    bands: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    stretch: str = "percentile"
    join_pages: bool = False

    @property
    def shown(self) -> "PixelConfig":
        """What people see: the first three of more bands, the first of two."""
        most = 3 if len(self.bands) >= 3 else 1
        return replace(self, bands=self.bands[:most])

    @property
    def count(self) -> int:
        """Number of bands of the picture; a single band is taken three times."""
        return len(self.bands) if len(self.bands) > 1 else 3

    def __post_init__(self) -> None:
        """Refuse a stretch that does not exist, and a band without a name."""
        if not all(self.bands):
            raise ValueError(f"bands must be named, e.g. 4,3,2, got {','.join(self.bands)!r}")
        if self.stretch not in ("percentile", "minmax", "none"):
            scale(self.stretch)


def scale(stretch: str) -> tuple[float, float]:
    """Return offset and gain of ``stretch``, ``scale:OFFSET,GAIN``.

    Raises:
        ValueError: it is of another form, or the gain is 0.
    """
    name, _, numbers = stretch.partition(":")
    try:
        offset, gain = map(float, numbers.split(","))
    except ValueError:
        offset, gain = 0.0, 0.0
    # A finite product also means that both are finite.
    if name != "scale" or not gain or not abs(offset * gain) < float("inf"):
        raise ValueError(f"stretch must be {STRETCHES}, got {stretch!r}")
    return offset, gain


def chosen_bands(
    wanted: Sequence[str], descriptions: Sequence[str], colours: Sequence[str] = ()
) -> list[int]:
    """Return the positions, from 0, of the bands that become grey (one) or RGB (three).

    Args:
        wanted: bands as the user names them, empty for the default.
        descriptions: description of each band, ``""`` where it has none.
        colours: what each band means, e.g. ``"red"`` or ``"alpha"``; unknown if empty.

    Raises:
        MediaError: there is no such band, or the default is not clear.
    """
    if wanted:
        return [_band(name, descriptions) for name in wanted]
    colours = colours or [""] * len(descriptions)
    if {"red", "green", "blue"} <= set(colours):
        return [list(colours).index(colour) for colour in ("red", "green", "blue")]
    seen = [band for band, colour in enumerate(colours) if colour != "alpha"]
    if len(seen) == 2:
        raise MediaError("2 bands; choose one or three with --bands, e.g. --bands 1")
    if not seen:
        raise MediaError("holds a mask only")
    return seen[:3]


def _band(name: str, descriptions: Sequence[str]) -> int:
    if name.isdecimal():
        if 1 <= int(name) <= len(descriptions):
            return int(name) - 1
        raise MediaError(f"no band {name}; it has {_bands(len(descriptions))}")
    same = [band for band, text in enumerate(descriptions) if text.strip().lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    if same:
        numbers = " and ".join(str(band + 1) for band in same)
        raise MediaError(f"bands {numbers} are both called {name!r}; choose by number")
    named = ", ".join(filter(None, descriptions))
    raise MediaError(f"no band called {name!r}; it has {named or 'bands without descriptions'}")


def _bands(count: int) -> str:
    return "1 band" if count == 1 else f"{count} bands"
