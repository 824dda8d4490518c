"""Sentences about the drawn scenes: true of every drawing of their class."""

from itertools import product

import numpy as np

# Words in brackets are alternatives; every combination is a sentence.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "farmland": (
        "[many|several] pieces of [farmland|cropland] lie [side by side|next to each other]",
        "[striped|ploughed] fields in green and brown are divided by [narrow tracks|dirt roads]",
        "this is [farmland|agricultural land] with [rectangular fields|crops in rows]",
        "the [crops|plants] grow in [straight lines|long rows] on neat fields",
    ),
    "runway": (
        "[a plane|an aeroplane] is on the grey runway [in the grass|of the airport]",
        "white [markings|lines] are painted on the [straight|long] runway",
        "the [airport|airfield] has a runway and a [parallel|narrow] taxiway",
        "a [wide|straight] runway ends in a [meadow|field of grass]",
    ),
    "harbour": (
        "[many|lots of] [white boats|small boats] are moored [in the harbour|beside the piers]",
        "[long|straight] piers reach from the quay into the [blue|dark] water",
        "a boat leaves the [harbour|marina] and [a white wake|foam] follows it",
        "this [harbour|marina] is full of boats in neat rows",
    ),
    "dense_housing": (
        "[many|lots of] houses with [red|grey] roofs stand close together",
        "a dense residential area with [streets|roads] and [gardens|trees]",
        "[rows|lines] of houses stand [along the streets|on both sides of the road]",
        "the [neighbourhood|residential district] is crowded with [houses|buildings]",
    ),
    "river": (
        "a [curved|winding] river flows through the [meadows|green land]",
        "the river [bends|turns] between [sandy banks|strips of sand]",
        "[many|some] trees grow [along the river|on both banks of the river]",
        "a river [meanders|winds its way] past [trees and grass|green trees]",
    ),
    "storage_tanks": (
        "[several|many] [round|circular] storage tanks stand on bare ground",
        "[white|pale] tanks throw [round|dark] shadows on the ground",
        "the storage tanks are [arranged in rows|connected by pipes]",
        "there are [cylinders|big tanks] for oil [beside a road|inside earth walls]",
    ),
    "forest": (
        "a [dense|thick] forest of [dark green|green] trees covers everything",
        "the [crowns|tops] of the trees stand [close together|side by side]",
        "this is a [green|dense] forest without any [buildings|roads]",
        "[many|countless] green trees make a [closed|thick] wood",
    ),
    "parking_lot": (
        "[many|lots of] cars are parked [in the parking lot|neatly in rows]",
        "[rows|lines] of [colourful|coloured] cars stand between white lines",
        "the car park is [crowded with|full of] cars of [many|different] colours",
        "cars are parked [side by side|closely] on the [asphalt|grey ground]",
    ),
}


def captions(label: str) -> tuple[str, ...]:
    """Return every sentence about scenes of the class ``label``, all different.

    Raises:
        ValueError: no such class.
    """
    if label not in _PATTERNS:
        raise ValueError(f"no captions of {label!r}; there are {', '.join(_PATTERNS)}")
    return tuple(sentence for pattern in _PATTERNS[label] for sentence in _sentences(pattern))


def draw_captions(label: str, count: int, rng: np.random.Generator) -> list[str]:
    """Return ``count`` different sentences about scenes of the class ``label``."""
    sentences = captions(label)
    if not 0 <= count <= len(sentences):
        raise ValueError(f"{label} has 0 to {len(sentences)} different captions, got {count}")
    return [sentences[index] for index in rng.choice(len(sentences), count, replace=False)]


def _sentences(pattern: str) -> list[str]:
    """Return ``pattern`` with every combination of its bracketed alternatives."""
    parts = [part.split("|") for part in pattern.replace("]", "[").split("[")]
    return ["".join(words) for words in product(*parts)]
