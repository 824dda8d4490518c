"""Objects of the drawn scenes: aeroplanes, boats, cars, houses, sheds and tanks as polygons."""

from itertools import pairwise

import numpy as np

from .canvas import REACH, Canvas, Shape, scaled, varied

_ROOFS = (
    (168, 92, 70),
    (186, 112, 84),
    (146, 78, 64),
    (130, 122, 116),
    (160, 150, 140),
    (112, 98, 90),
)
_CARS = (
    (240, 240, 240),
    (190, 192, 196),
    (40, 42, 48),
    (176, 32, 34),
    (36, 70, 150),
    (92, 96, 100),
    (226, 186, 60),
    (40, 110, 80),
)
_DECKS = ((196, 168, 124), (70, 100, 150), (180, 184, 188), (150, 60, 56))
_TAILS = ((180, 40, 44), (40, 70, 150), (226, 160, 50), (60, 120, 90))
_TANKS = ((232, 230, 224), (206, 206, 204), (222, 212, 190))
WHITE = (236, 236, 230)

# Outlines from -1 to 1 with the bow, and of length 1 with the nose, towards +u.
_HULL = np.array([(-1, -0.8), (0.3, -1), (0.75, -0.6), (1, 0), (0.75, 0.6), (0.3, 1), (-1, 0.8)])
_BODY = np.array(
    [(1, -0.5), (1, 0.5), (0.85, 1), (-0.9, 1), (-1, 0.7), (-1, -0.7), (-0.9, -1), (0.85, -1)]
)
_WING = np.array([(0.12, 0.04), (-0.12, 0.5), (-0.2, 0.5), (-0.1, 0.04)])
_TAILPLANE = np.array([(-0.36, 0.0), (-0.46, 0.19), (-0.52, 0.19), (-0.48, 0.0)])
_FUSELAGE = np.array(
    [
        (0.5, 0),
        (0.44, 0.05),
        (-0.3, 0.05),
        (-0.5, 0.02),
        (-0.5, -0.02),
        (-0.3, -0.05),
        (0.44, -0.05),
    ]
)


def runway_markings(start: float, half: float) -> list[Shape]:
    """Return threshold bars, aiming points, centre and edge lines of a runway along +u."""
    boxes = [box(start + 8, y - 2, start + 52, y + 2) for y in np.linspace(6 - half, half - 6, 8)]
    boxes += [box(x, -1.2, x + 30, 1.2) for x in np.arange(start + 70, REACH, 50)]
    for side in (-1, 1):
        edge = side * (half - 2)
        boxes.append(box(start + 150, side * 14 - 4, start + 186, side * 14 + 4))
        boxes.append(box(start, edge - 0.9, REACH, edge + 0.9))
    return [(corners, WHITE) for corners in boxes]


def plane(rng: np.random.Generator, x: float, y: float) -> list[Shape]:
    """Return an aeroplane that goes along u, the one way or the other."""
    length, turn = rng.uniform(42, 56), rng.choice([0.0, np.pi])
    white = varied(rng, (238, 238, 238), 8)
    mirror = np.array([1, -1])
    parts = [(part, white) for half in (_WING, _TAILPLANE) for part in (half, half * mirror)]
    parts += [
        (box(0.0, side - 0.02, 0.12, side + 0.02), scaled(white, 0.7)) for side in (-0.2, 0.2)
    ]
    parts += [(_FUSELAGE, white), (box(-0.5, -0.012, -0.34, 0.012), rng.choice(_TAILS))]
    return [(placed(part * length, x, y, turn), colour) for part, colour in parts]


def boat(rng: np.random.Generator, x: float, y: float, length: float, turn: float) -> list[Shape]:
    """Return a white boat with a coloured deck, its bow towards ``turn``."""
    hull = _HULL * (length / 2, length * 0.17)
    cabin = box(-length * 0.1, -length * 0.08, length * 0.1, length * 0.08)
    parts = [
        (hull, varied(rng, WHITE, 10)),
        (hull * 0.62 - (length * 0.06, 0), varied(rng, rng.choice(_DECKS), 10)),
        (cabin, WHITE),
    ]
    return [(placed(part, x, y, turn), colour) for part, colour in parts]


def car(rng: np.random.Generator, x: float, y: float, turn: float, length: float) -> list[Shape]:
    """Return a car: body, glass and roof, its front towards ``turn``."""
    paint = varied(rng, rng.choice(_CARS), 6)
    glass = box(-length * 0.28, -length * 0.17, length * 0.2, length * 0.17)
    roof = box(-length * 0.18, -length * 0.165, length * 0.08, length * 0.165)
    parts = [
        (_BODY * (length / 2, length * 0.21), paint),
        (glass, (44, 50, 58)),
        (roof, scaled(paint, 1.06)),
    ]
    return [(placed(part, x, y, turn), colour) for part, colour in parts]


def house(canvas: Canvas, x: float, y: float) -> list[Shape]:
    """Return a gabled roof with its ridge along u; the slope that faces the sun is brighter."""
    rng = canvas.rng
    w, h = rng.uniform(13, 17), rng.uniform(10, 14)
    tiles = varied(rng, rng.choice(_ROOFS), 12)
    lit = 0.22 * canvas.light_on(0, -1)
    chimney = x + rng.uniform(-9, 9)
    return [
        (box(x - w, y - h, x + w, y), scaled(tiles, 1 + lit)),
        (box(x - w, y, x + w, y + h), scaled(tiles, 1 - lit)),
        (box(x - w, y - 0.7, x + w, y + 0.7), scaled(tiles, 1.2)),
        (box(chimney - 1.8, y + 4, chimney + 1.8, y + 7.6), (90, 80, 76)),
    ]


def shed(canvas: Canvas, x: float, y: float) -> list[Shape]:
    """Return a long gabled shed with roof lights."""
    rng = canvas.rng
    w, h = rng.uniform(36, 58), rng.uniform(28, 36)
    sheet = varied(rng, rng.choice(_ROOFS), 10)
    lit = 0.12 * canvas.light_on(0, -1)
    lights = np.arange(x - w + 10, x + w - 6, 18)
    return [
        (box(x - w, y - h, x + w, y), scaled(sheet, 1 + lit)),
        (box(x - w, y, x + w, y + h), scaled(sheet, 1 - lit)),
        *((box(at, y - 0.7 * h, at + 4, y - 0.3 * h), scaled(sheet, 1.25)) for at in lights),
    ]


def tank(canvas: Canvas, x: float, y: float, radius: float) -> list[Shape]:
    """Return a round tank: rim, a shallow cone of plates lit by the sun, a stair and a vent."""
    rng = canvas.rng
    paint = varied(rng, rng.choice(_TANKS), 8)
    turns = np.linspace(0, 2 * np.pi, 25)
    rim = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    plates = [
        (np.array([(0.0, 0.0), first, second]) * 0.93, canvas.light_on(*(first + second) / 2))
        for first, second in pairwise(rim)
    ]
    stair = placed(box(0, -0.03, 0.95, 0.03), 0, 0, rng.uniform(0, 2 * np.pi))
    parts = [
        (rim, scaled(paint, 0.8)),
        *((plate, scaled(paint, 1 + 0.1 * lit)) for plate, lit in plates),
        (stair, scaled(paint, 0.66)),
        (rim * 0.09, scaled(paint, 0.72)),
    ]
    return [(part * radius + (x, y), colour) for part, colour in parts]


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Return the corners [4, 2] of a rectangle along the axes."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)


def grown(corners: np.ndarray, margin: float) -> np.ndarray:
    """Return ``corners`` [4, 2] of a rectangle moved outwards by ``margin``."""
    return np.asarray(corners + margin * np.sign(corners - corners.mean(axis=0)))


def placed(shape: np.ndarray, x: float, y: float, turn: float) -> np.ndarray:
    """Return ``shape`` [n, 2] turned by ``turn`` radians and moved to (x, y)."""
    cos, sin = np.cos(turn), np.sin(turn)
    return np.asarray(shape @ np.array([[cos, sin], [-sin, cos]]) + (x, y))
