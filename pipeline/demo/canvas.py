"""Ground seen from above: textures, flat and raised shapes, tree crowns, one sun over all of it."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

SIDE = 256
# Half of the ground that can come into view, in local units.
REACH = 460.0
# Drawn at twice the side, then reduced: edges come out smooth.
_FINE = 2 * SIDE

Colour: TypeAlias = Sequence[float]
Shape: TypeAlias = tuple[np.ndarray, Colour]


class Canvas:
    """A piece of ground, drawn on in local units (about one pixel of the fine canvas).

    The local axes u and v are turned, scaled and shifted at random against the picture, so a scene
    is laid out along the axes and still never looks the same. ``developed`` gives the picture.

    Attributes:
        rng: decides everything that is left open.
        pixels: float32 [fine, fine, 3], 0 to 255, what is drawn so far.
        sun: unit vector (x, y) in pixels along which shadows fall.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        """Choose how the ground lies and where the sun stands."""
        self.rng = rng
        self.pixels: np.ndarray = np.zeros((_FINE, _FINE, 3), np.float32)
        azimuth = rng.uniform(0, 2 * np.pi)
        self.sun = np.array([np.cos(azimuth), np.sin(azimuth)])
        self._shadow_length = rng.uniform(0.5, 1.1)
        self._shadow_depth = rng.uniform(0.42, 0.6)
        self._scale = rng.uniform(0.8, 1.2)
        self._middle = _FINE / 2 + rng.uniform(-40, 40, 2)
        angle = rng.uniform(0, 2 * np.pi)
        self._axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def coordinates(self, wobble: float) -> tuple[np.ndarray, np.ndarray]:
        """Return u and v of every pixel, float32 [fine, fine] each, bent by about ``wobble``."""
        y, x = np.mgrid[:_FINE, :_FINE].astype(np.float32)
        (ux, uy), (vx, vy) = (self._axes / self._scale).astype(np.float32)
        x, y = x - np.float32(self._middle[0]), y - np.float32(self._middle[1])
        u, v = ux * x + uy * y, vx * x + vy * y
        return u + wobble * self.noise(3), v + wobble * self.noise(3)

    def noise(self, cells: int) -> np.ndarray:
        """Return smooth noise of about unit deviation, float32 [fine, fine].

        Args:
            cells: lumps along a side in the coarsest of three octaves, at most 60.
        """
        octaves = [0.6**step * self._octave(cells * 2**step) for step in range(3)]
        return _resized(octaves[0] + octaves[1] + octaves[2], _FINE)

    def grain(self) -> np.ndarray:
        """Return independent, uniform noise of unit deviation, float32 [fine, fine]."""
        uniform = self.rng.random((_FINE, _FINE), dtype=np.float32)
        return (uniform - np.float32(0.5)) * np.float32(12**0.5)

    def light_on(self, u: float, v: float) -> float:
        """Return -1 to 1: how squarely a slope that faces the local direction (u, v) is lit."""
        return float(-np.array([u, v]) @ self._axes @ self.sun)

    def cover(self, colours: np.ndarray) -> None:
        """Replace everything by ``colours`` [fine, fine, 3]."""
        self.pixels = colours.astype(np.float32)

    def ground(self, colour: Colour, coarse: float, fine: float, cells: int) -> None:
        """Cover with one colour that varies: ``coarse`` and ``fine`` relative deviations."""
        relief = 1 + coarse * self.noise(4) + fine * self.noise(cells) + 0.04 * self.grain()
        self.cover(_array(colour) * relief[..., None])

    def blend(self, weight: np.ndarray, colour: Colour) -> None:
        """Mix ``colour`` in with ``weight`` [fine, fine], 0 to 1."""
        share = weight.astype(np.float32)[..., None]
        self.pixels = self.pixels + share * (_array(colour) - self.pixels)

    def shade(self, amount: np.ndarray) -> None:
        """Darken by ``amount`` [fine, fine]: 0 leaves, 1 blackens, below 0 brightens."""
        self.pixels = self.pixels * (1 - amount.astype(np.float32))[..., None]

    def texture(self, strength: float) -> None:
        """Roughen what is drawn so far by a relative deviation ``strength``."""
        self.shade(strength * (self.noise(10) + np.float32(0.6) * self.grain()))

    def shapes(self, shapes: Iterable[Shape]) -> None:
        """Draw flat polygons, corners [n, 2] in local units, each over those before it."""
        self._draw([(self._to_pixels(corners), colour) for corners, colour in shapes])

    def raised(self, shapes: Iterable[Shape], height: float) -> None:
        """Draw polygons that stand ``height`` local units high: all shadows, then all shapes."""
        placed = [(self._to_pixels(corners), colour) for corners, colour in shapes]
        covered = Image.new("1", (_FINE, _FINE))
        draw = ImageDraw.Draw(covered)
        for outline, _ in placed:
            if _in_view(outline):
                draw.polygon(outline.ravel().tolist(), 1)
        self._cast(np.asarray(covered), height)
        self._draw(placed)

    def trees(self, centres: np.ndarray, radii: np.ndarray) -> None:
        """Draw crowns at ``centres`` [n, 2] with ``radii`` [n], both in local units."""
        tones = self.rng.uniform(-1, 1, len(radii))
        height, tone = _crowns(self._to_pixels(centres), radii * self._scale, tones)
        crown = height > 0
        self._cast(crown, float(np.mean(radii)))
        height = height * (1 + 0.12 * self.noise(60))
        down, right = np.gradient(height)
        lit = np.clip(float(self.sun[0]) * right + float(self.sun[1]) * down, -1.2, 1.2)
        bright = np.clip(0.86 + 0.3 * lit + 0.12 * self.grain(), 0.35, 1.5)[crown, None]
        leaf = _array(varied(self.rng, (74, 98, 50), 8))
        leaves = leaf + tone[crown, None] * _array((16, 10, 2))
        self.pixels[crown] = leaves * bright

    def developed(self) -> np.ndarray:
        """Return the picture, uint8 [side, side, 3]: reduced, hazy, tinted and noisy."""
        small = Image.fromarray(_bytes(self.pixels)).resize((SIDE, SIDE), Image.Resampling.BOX)
        warmth = self.rng.uniform(-0.03, 0.03)
        exposure = self.rng.uniform(0.76, 1.08) * np.array([1 + warmth, 1.0, 1 - warmth])
        haze = self.rng.uniform(0, 22)
        noise = self.rng.standard_normal((SIDE, SIDE, 3), dtype=np.float32)
        strength = self.rng.uniform(1.5, 4)
        return _bytes(np.asarray(small) * exposure + haze + strength * noise)

    def _draw(self, placed: Iterable[Shape]) -> None:
        """Draw polygons whose corners [n, 2] are pixels of the fine canvas."""
        image = Image.fromarray(_bytes(self.pixels))
        draw = ImageDraw.Draw(image)
        for outline, colour in placed:
            if _in_view(outline):
                draw.polygon(outline.ravel().tolist(), _rgb(colour))
        self.pixels = np.asarray(image, dtype=np.float32)

    def _cast(self, covered: np.ndarray, height: float) -> None:
        """Darken where things ``height`` high, ``covered`` from above, keep the sun away."""
        fall = self.sun * self._shadow_length * height * self._scale
        swept = covered
        # Every sixteenth of the way is a sum of these steps.
        for step in (0.5, 0.25, 0.125, 0.0625, 0.0625):
            swept = swept | _moved(swept, *np.rint(fall * step).astype(int))
        self.shade(self._shadow_depth * _blurred(swept))

    def _to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Return where local ``points`` [n, 2] lie on the fine canvas, [n, 2] (x, y)."""
        return np.asarray(points @ self._axes * self._scale + self._middle)

    def _octave(self, cells: int) -> np.ndarray:
        lumps = self.rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
        return _resized(lumps, SIDE)


def varied(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """Return ``colour`` made lighter or darker by about ``spread``, its tint a little changed."""
    changed = np.array(colour) + rng.normal(0, spread) + rng.normal(0, spread / 5, 3)
    return [float(part) for part in changed]


def scaled(colour: Colour, factor: float) -> Colour:
    """Return ``colour`` with its brightness multiplied by ``factor``."""
    return [part * factor for part in colour]


def _crowns(
    centres: np.ndarray, radii: np.ndarray, tones: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of the canopy and the tone of the tree seen, float32 [fine, fine] each.

    Args:
        centres: pixels (x, y), [n, 2].
        radii: pixels, [n].
        tones: one a tree, [n].
    """
    height = np.zeros((_FINE, _FINE), np.float32)
    seen = np.zeros((_FINE, _FINE), np.float32)
    for (x, y), radius, tone in zip(centres, radii, tones, strict=True):
        down, right = _span(y, radius), _span(x, radius)
        rows = np.arange(down.start, down.stop, dtype=np.float32) - np.float32(y)
        columns = np.arange(right.start, right.stop, dtype=np.float32) - np.float32(x)
        dome = np.float32(radius**2) - columns**2 - rows[:, None] ** 2
        crown = np.where(dome > 0, np.sqrt(np.maximum(dome, 0)) + np.float32(0.3 * radius), 0)
        higher = crown > height[down, right]
        height[down, right][higher] = crown[higher]
        seen[down, right][higher] = tone
    return height, seen


def _span(middle: float, radius: float) -> slice:
    """Return the pixels within ``radius`` of ``middle`` that lie on the canvas."""
    first = min(max(int(middle - radius), 0), _FINE)
    return slice(first, max(min(int(middle + radius) + 2, _FINE), first))


def _moved(mask: np.ndarray, right: int, down: int) -> np.ndarray:
    """Return ``mask`` moved by whole pixels; nothing comes in from beyond the border."""
    moved = np.zeros_like(mask)
    rows, columns = mask.shape
    into = np.s_[max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)]
    out_of = np.s_[max(-down, 0) : rows - max(down, 0), max(-right, 0) : columns - max(right, 0)]
    moved[into] = mask[out_of]
    return moved


def _blurred(mask: np.ndarray) -> np.ndarray:
    """Return the share, 0 to 1, of the 3 x 3 pixels around each that lie in ``mask``."""
    padded = np.pad(mask.astype(np.float32), 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9)


def _resized(field: np.ndarray, side: int) -> np.ndarray:
    image = Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _in_view(outline: np.ndarray) -> bool:
    """Return whether the box around ``outline`` [n, 2] (pixels) touches the canvas."""
    return bool((outline.max(axis=0) >= 0).all() and (outline.min(axis=0) < _FINE).all())


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _array(colour: Colour) -> np.ndarray:
    return np.asarray(colour, dtype=np.float32)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (min(max(round(part), 0), 255) for part in colour)
    return red, green, blue
