"""Drawn overhead scenes: the images of the demonstration set, one function per class.

They are drawings: good enough to see the whole pipeline work on something that a person recognises,
no measure of it. What a scene always shows is what :mod:`ivr.pipeline.demo.captions` says of it.
"""

from collections.abc import Callable

import numpy as np

from .canvas import REACH, Canvas, Colour, scaled, varied
from .scene_objects import (
    WHITE,
    boat,
    box,
    car,
    grown,
    house,
    plane,
    runway_markings,
    shed,
    tank,
)

_CROPS = (
    (98, 128, 62),
    (70, 104, 52),
    (142, 150, 80),
    (188, 168, 108),
    (206, 190, 130),
    (134, 106, 74),
    (158, 126, 92),
    (116, 146, 74),
    (176, 176, 96),
)
_GRASS = ((104, 126, 70), (134, 134, 84), (86, 116, 66))
_WATER = ((44, 82, 98), (56, 96, 98), (42, 68, 90))
_SOIL = ((188, 166, 130), (170, 156, 136), (196, 182, 154))
_MUD = ((66, 96, 96), (92, 104, 84), (54, 84, 100))


def draw_scene(label: str, rng: np.random.Generator) -> np.ndarray:
    """Return a scene of the class ``label``, uint8 [256, 256, 3] (rows, columns, RGB).

    Raises:
        ValueError: no such class.
    """
    if label not in SCENES:
        raise ValueError(f"no scene {label!r}; there are {', '.join(SCENES)}")
    return SCENES[label](rng)


def farmland(rng: np.random.Generator) -> np.ndarray:
    """Return fields of several crops, striped by the plough, with tracks and trees between."""
    canvas = Canvas(rng)
    u, v = canvas.coordinates(wobble=4.0)
    columns = _cuts(rng, 90, 200)
    field, edge = _fields(rng, columns, u, v)
    count = int(field.max()) + 1
    crop = np.array(_CROPS)[rng.integers(len(_CROPS), size=count)]
    crop = crop * rng.uniform(0.88, 1.12, (count, 1))
    along = np.where((rng.random(count) < 0.5)[field], u, v)
    stripes = np.sin(2 * np.pi * along / rng.uniform(8, 18, count)[field])
    strength = rng.uniform(0.03, 0.16, count)[field]
    varying = 1 + strength * stripes + 0.1 * canvas.noise(5) + 0.04 * canvas.grain()
    canvas.cover(crop[field] * varying[..., None])
    canvas.blend(edge < rng.uniform(2.5, 5), varied(rng, (176, 158, 122), 12))
    hedge = np.stack([rng.choice(columns, 60), rng.uniform(-REACH, REACH, 60)], axis=1)
    canvas.trees(hedge + rng.normal(0, 2, hedge.shape), rng.uniform(5, 10, len(hedge)))
    return canvas.developed()


def runway(rng: np.random.Generator) -> np.ndarray:
    """Return the marked end of a grey runway in grass, a taxiway and aeroplanes."""
    canvas = Canvas(rng)
    canvas.ground(varied(rng, rng.choice(_GRASS), 8), 0.1, 0.07, 24)
    start, half = rng.uniform(-165, -90), rng.uniform(30, 40)
    taxi = _sign(rng) * rng.uniform(110, 140)
    asphalt = varied(rng, (112, 112, 114), 14)
    links = (start + 4, start + rng.uniform(190, 320))
    light = scaled(asphalt, 1.08)
    canvas.shapes(
        [
            (box(start - 60, -half - 7, REACH, half + 7), scaled(asphalt, 0.86)),
            (box(start - 60, taxi - 15, REACH, taxi + 15), light),
            *((box(x, min(0, taxi), x + 28, max(0, taxi)), light) for x in links),
            (box(start, -half, REACH, half), asphalt),
            *runway_markings(start, half),
            (box(start - 50, taxi - 1, REACH, taxi + 1), (214, 184, 70)),
        ]
    )
    u, v = canvas.coordinates(wobble=0.0)
    rubber = np.exp(-(((u - start - 150) / 110) ** 2) - (v / (half / 2.2)) ** 2)
    canvas.shade(0.35 * rubber * (1 + 0.3 * canvas.grain()))
    canvas.texture(0.02)
    waiting = start + np.array([20.0, 165.0, 330.0])[rng.random(3) < 0.6]
    planes = [(x + rng.uniform(0, 60), taxi) for x in waiting]
    planes.append((start + rng.uniform(100, 260), rng.uniform(-3, 3)))
    canvas.raised([part for x, y in planes for part in plane(rng, x, y)], 9)
    return canvas.developed()


def harbour(rng: np.random.Generator) -> np.ndarray:
    """Return a quay with sheds, piers in the water, boats beside them and one that leaves."""
    canvas = Canvas(rng)
    canvas.ground(varied(rng, rng.choice(_WATER), 8), 0.1, 0.06, 48)
    quay, length, spacing = rng.uniform(-170, -120), rng.uniform(200, 240), rng.uniform(96, 124)
    concrete, road = varied(rng, (172, 168, 158), 10), (112, 112, 114)
    canvas.raised([(box(-REACH, -REACH, REACH, quay), concrete)], 5)
    canvas.shapes([(box(-REACH, quay - 46, REACH, quay - 26), road)])
    canvas.texture(0.03)
    sheds = np.arange(-REACH + rng.uniform(0, 140), REACH, 140)
    canvas.raised([part for x in sheds for part in shed(canvas, x, quay - 94)], 16)
    planks = varied(rng, (186, 174, 150), 12)
    piers = np.arange(-REACH + rng.uniform(0, spacing), REACH, spacing)
    canvas.raised([(box(x - 6, quay, x + 6, quay + length), planks) for x in piers], 4)
    x, y = rng.uniform(-60, 60), quay + length + rng.uniform(25, 45)
    canvas.blend(*_wake(canvas, x, y))
    boats = [boat(rng, x, y, rng.uniform(32, 42), 0.0)]
    boats += [
        boat(rng, pier + side * (9 + size / 2), berth, size, 0.0 if side > 0 else np.pi)
        for pier in piers
        for berth in np.arange(quay + 18, quay + length - 4, rng.uniform(17, 22))
        for side in (-1, 1)
        for size in [rng.uniform(22, 34)]
        if rng.random() < 0.8
    ]
    canvas.raised([part for boat in boats for part in boat], 5)
    return canvas.developed()


def dense_housing(rng: np.random.Generator) -> np.ndarray:
    """Return rows of gabled roofs along streets with cars, trees in the gardens behind."""
    canvas = Canvas(rng)
    canvas.ground(varied(rng, (112, 126, 82), 10), 0.08, 0.07, 24)
    block = rng.uniform(118, 140)
    streets = np.arange(-REACH + rng.uniform(0, block), REACH, block)
    crossings = np.arange(-REACH + rng.uniform(0, 300), REACH, rng.uniform(280, 380))
    roads = [box(-REACH, y - 11, REACH, y + 11) for y in streets]
    roads += [box(x - 11, -REACH, x + 11, REACH) for x in crossings]
    places = [
        (x, y, y + side * rng.uniform(31, 36))
        for y in streets
        for side in (-1, 1)
        for x in _lots(rng, crossings)
    ]
    pavement, asphalt = (180, 175, 164), varied(rng, (124, 123, 122), 10)
    drives = [box(x + 10, min(y, street), x + 16, max(y, street)) for x, street, y in places]
    canvas.shapes([(grown(road, 4), pavement) for road in roads])
    canvas.shapes([*((drive, pavement) for drive in drives), *((road, asphalt) for road in roads)])
    canvas.texture(0.05)
    canvas.raised([part for x, _, y in places for part in house(canvas, x, y)], 13)
    gardens = [(x, y) for y in streets + block / 2 for x in _steps(rng, 14, 44)]
    canvas.trees(
        np.array(gardens) + rng.normal(0, 5, (len(gardens), 2)), rng.uniform(5, 11, len(gardens))
    )
    cars = [
        car(rng, x, y + 6.5 * _sign(rng), 0.0, 14) for y in streets for x in _steps(rng, 30, 150)
    ]
    canvas.raised([part for car in cars for part in car], 3)
    return canvas.developed()


def river(rng: np.random.Generator) -> np.ndarray:
    """Return a meandering river with sandy banks, woods along it and meadows beyond."""
    canvas = Canvas(rng)
    canvas.ground(varied(rng, rng.choice(_GRASS), 10), 0.1, 0.07, 24)
    u, v = canvas.coordinates(wobble=8.0)
    lengths = np.array([rng.uniform(260, 420), rng.uniform(140, 220)])
    heights = np.array([rng.uniform(50, 85), rng.uniform(4, 10)])
    phases = rng.uniform(0, 2 * np.pi, 2)
    course, slope = _meander(u, lengths, heights, phases)
    distance = np.abs(v - course) / np.sqrt(1 + slope**2)
    half = rng.uniform(24, 40) * (1 + 0.18 * np.sin(u / 70 + phases[0]))
    water = varied(rng, rng.choice(_MUD), 8)
    canvas.blend(0.5 * _within(distance, half + rng.uniform(40, 90), 30), (78, 102, 56))
    canvas.blend(_within(distance, half + rng.uniform(5, 14), 3), varied(rng, (196, 181, 143), 10))
    canvas.blend(_within(distance, half, 2), water)
    canvas.blend(0.35 * _within(distance, half / 2, 12), scaled(water, 0.7))
    bank = rng.uniform(-REACH, REACH, 420)
    middle, steep = _meander(bank, lengths, heights, phases)
    off = 62 * np.sqrt(1 + np.minimum(steep, 1) ** 2) + rng.exponential(40, len(bank))
    side = rng.choice([-1, 1], len(bank))
    canvas.trees(np.stack([bank, middle + side * off], axis=1), rng.uniform(5, 11, len(bank)))
    return canvas.developed()


def storage_tanks(rng: np.random.Generator) -> np.ndarray:
    """Return rows of round tanks with shadows on bare ground, earth walls, pipes and a road."""
    canvas = Canvas(rng)
    canvas.ground(varied(rng, rng.choice(_SOIL), 8), 0.08, 0.05, 40)
    radius = rng.uniform(34, 56)
    pitch = 2 * radius + rng.uniform(36, 60)
    grid = np.arange(-REACH + rng.uniform(0, pitch), REACH, pitch)
    road = rng.choice(grid[np.abs(grid) < 130])
    places = [(x, y) for x in grid if x != road for y in grid]
    half = pitch / 2 - 4
    wall, floor = varied(rng, (150, 130, 102), 8), varied(rng, (176, 158, 128), 10)
    canvas.raised([(box(x - half, y - half, x + half, y + half), wall) for x, y in places], 4)
    half -= 5
    canvas.shapes([(box(x - half, y - half, x + half, y + half), floor) for x, y in places])
    canvas.shapes([(box(road - 16, -REACH, road + 16, REACH), varied(rng, (124, 121, 118), 8))])
    canvas.texture(0.06)
    pipes = [box(-REACH, y - 2, REACH, y + 2) for y in grid + pitch / 2]
    canvas.raised([(pipe, (206, 206, 204)) for pipe in pipes], 4)
    standing = [(x, y, radius * rng.uniform(0.72, 1)) for x, y in places if rng.random() < 0.88]
    tanks = [part for place in standing for part in tank(canvas, *place)]
    canvas.raised(tanks, radius * rng.uniform(0.5, 0.8))
    return canvas.developed()


def forest(rng: np.random.Generator) -> np.ndarray:
    """Return closed canopy: crowns of many sizes and greens."""
    canvas = Canvas(rng)
    canvas.ground((40, 52, 30), 0.1, 0.1, 12)
    smallest = rng.uniform(8, 13)
    centres = rng.uniform(-REACH, REACH, (round(28_000 / smallest), 2))
    canvas.trees(centres, smallest * rng.uniform(0.8, 1.9, len(centres)))
    canvas.shade(0.15 * canvas.noise(3))
    return canvas.developed()


def parking_lot(rng: np.random.Generator) -> np.ndarray:
    """Return rows of coloured cars between white lines on asphalt, trees on the islands."""
    canvas = Canvas(rng)
    canvas.ground(varied(rng, (118, 118, 119), 16), 0.05, 0.03, 30)
    bay, depth, aisle = rng.uniform(17, 20), 38.0, rng.uniform(38, 50)
    rows = np.arange(-REACH + rng.uniform(0, 100), REACH, 2 * depth + aisle)
    bays = np.arange(-REACH, REACH, bay)
    islands = bays[rng.integers(0, 4) :: int(rng.integers(11, 16))]
    lines = [box(x - 0.9, y - depth, x + 0.9, y + depth) for y in rows for x in bays]
    lines += [box(-REACH, y - 0.9, REACH, y + 0.9) for y in rows]
    beds = [box(x + 1, y - depth, x + bay - 1, y + depth) for y in rows for x in islands]
    grass = varied(rng, (104, 126, 74), 8)
    canvas.shapes([*((line, WHITE) for line in lines), *((bed, grass) for bed in beds)])
    full = rng.uniform(0.55, 0.95)
    cars = [
        car(rng, x + bay / 2, y + side * depth / 2 + rng.normal(0, 1.2), side * np.pi / 2, 29)
        for y in rows
        for x in np.setdiff1d(bays, islands)
        for side in (-1, 1)
        if rng.random() < full
    ]
    cars += [car(rng, rng.uniform(-250, 250), y + depth + aisle / 3, 0.0, 29) for y in rows]
    canvas.raised([part for car in cars for part in car], 6)
    trees = [(x + bay / 2, y + s * depth / 2) for y in rows for x in islands for s in (-1, 1)]
    canvas.trees(np.array(trees), rng.uniform(8, 12, len(trees)))
    return canvas.developed()


SCENES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "farmland": farmland,
    "runway": runway,
    "harbour": harbour,
    "dense_housing": dense_housing,
    "river": river,
    "storage_tanks": storage_tanks,
    "forest": forest,
    "parking_lot": parking_lot,
}


def _fields(
    rng: np.random.Generator, columns: np.ndarray, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the field at every pixel and how far its edge is; shapes as ``u``."""
    column = np.searchsorted(columns, u)
    field = np.zeros(u.shape, int)
    edge = _distance_to_cuts(columns, u)
    for index in range(len(columns) + 1):
        inside = column == index
        cuts = _cuts(rng, 70, 240)
        field[inside] = 32 * index + np.searchsorted(cuts, v[inside])
        edge[inside] = np.minimum(edge[inside], _distance_to_cuts(cuts, v[inside]))
    return field, edge


def _meander(
    u: np.ndarray, lengths: np.ndarray, heights: np.ndarray, phases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the course of a river at ``u``, a sum of two sines, and its slope; shapes as ``u``."""
    waves = 2 * np.pi / lengths
    turns = [u * wave + phase for wave, phase in zip(waves, phases, strict=True)]
    course = heights[0] * np.sin(turns[0]) + heights[1] * np.sin(turns[1])
    steep = heights * waves
    return course, steep[0] * np.cos(turns[0]) + steep[1] * np.cos(turns[1])


def _wake(canvas: Canvas, x: float, y: float) -> tuple[np.ndarray, Colour]:
    """Return where and in which colour the water foams behind a boat at (x, y) towards +u."""
    u, v = canvas.coordinates(wobble=2.0)
    behind = (x - u) / 120
    spread = np.exp(-(((np.abs(v - y) - 3 - 16 * behind) / 4) ** 2))
    foam = np.where((behind > 0) & (behind < 1), spread * (1 - behind), 0)
    return 0.7 * foam, (214, 226, 226)


def _within(distance: np.ndarray, limit: np.ndarray, edge: float) -> np.ndarray:
    """Return 1 where ``distance`` is below ``limit``, 0 where above, passing over in ``edge``."""
    return np.asarray(np.clip((limit - distance) / edge + 0.5, 0, 1))


def _cuts(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Return increasing positions from -REACH to REACH or beyond, ``low`` to ``high`` apart."""
    steps = rng.uniform(low, high, int(2 * REACH / low) + 1)
    return np.cumsum(np.concatenate([[-REACH], steps]))


def _steps(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Return increasing positions from -REACH to REACH, ``low`` to ``high`` apart."""
    cuts = _cuts(rng, low, high)
    return np.asarray(cuts[cuts < REACH])


def _lots(rng: np.random.Generator, crossings: np.ndarray) -> np.ndarray:
    """Return the middles of lots along a street, none on a crossing."""
    middles = _steps(rng, 36, 46)
    return np.asarray(middles[np.abs(middles[:, None] - crossings).min(axis=1) > 32])


def _distance_to_cuts(cuts: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return how far each ``position`` is from the nearest of the increasing ``cuts``."""
    after = np.clip(np.searchsorted(cuts, position), 1, len(cuts) - 1)
    return np.asarray(
        np.minimum(np.abs(position - cuts[after - 1]), np.abs(cuts[after] - position))
    )


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1
