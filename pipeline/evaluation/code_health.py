"""Health of codes, as a section of results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivr.hashing.health import (
    BitCounts,
    PairDistances,
    agreement,
    bit_counts,
    code_counts,
    entropy,
    shares,
)
from ivr.pipeline.runs.codes_file import CodedItems

DIGITS = 4
"""Decimals of a percentage."""
MOST_CLASSES = 256
"""Classes of a confusion; of more classes none is written."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """The classes that the queries of each class find first.

    Attributes:
        nearest: number of first items that count.
        share: [classes, classes], 0 to 1, one row per class of the query; NaN without a query.
        queries: number of queries used [classes].
        ceiling: diagonal of a perfect ranking [classes], 0 to 1: less than 1 for a class with
            fewer than ``nearest`` items to find.
        chance: share of the classes in a random order [classes], 0 to 1.
    """

    nearest: int
    share: np.ndarray
    queries: np.ndarray
    ceiling: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True, eq=False)
class Health:
    """Health of the codes of the queries.

    Attributes:
        section: ``health`` of results.json (docs/reference/files.md).
        images: counts of the bits of images.
        voices: counts of the bits of voices.
    """

    section: dict[str, Any]
    images: BitCounts
    voices: BitCounts


def code_health(
    images: CodedItems,
    voices: CodedItems,
    classes: Sequence[str],
    errors: Mapping[str, float | None] | None,
    directions: Mapping[str, Mapping[str, Any]],
) -> Health:
    """Return the health of the codes of both kinds of queries.

    Args:
        images: the queries among the images.
        voices: the queries among the voices.
        classes: names of the classes, in the order of the confusion.
        errors: quantisation error of images and voices, 0 to 1; None if it is unknown.
        directions: sections by direction, see :func:`direction_health`.
    """
    counts = bit_counts(images.codes), bit_counts(voices.codes)
    together = np.concatenate([images.codes, voices.codes])
    section = {
        "bits": 8 * images.codes.shape[1],
        "images": _codes_section(images.codes, counts[0]),
        "voices": _codes_section(voices.codes, counts[1]),
        "both": _codes_section(together, counts[0] + counts[1]),
        "agreement": _agreement(images, voices),
        "quantisation_error": errors and {name: _percent(error) for name, error in errors.items()},
        "classes": list(classes),
        **directions,
    }
    return Health(section, *counts)


def direction_health(distances: PairDistances, confusion: Confusion | None) -> dict[str, Any]:
    """Return the section of one direction: distances of pairs, and confusion of classes."""
    relevant, other = distances.means
    bits = len(distances.relevant) - 1
    section: dict[str, Any] = {
        "distances": {
            "relevant": distances.relevant.tolist(),
            "other": distances.other.tolist(),
            "relevant_share": _percents(shares(distances.relevant)),
            "other_share": _percents(shares(distances.other)),
            "relevant_mean": _number(relevant),
            "other_mean": _number(other),
            "gap": _percent((other - relevant) / bits),
            "overlap": _percent(distances.overlap),
        },
        "confusion": None,
    }
    if confusion is not None and len(confusion.share) <= MOST_CLASSES:
        section["confusion"] = {
            "nearest": confusion.nearest,
            "queries": confusion.queries.tolist(),
            "share": [_percents(row) for row in confusion.share],
            "ceiling": _percents(confusion.ceiling),
            "chance": _percents(confusion.chance),
        }
    return section


def _codes_section(packed: np.ndarray, counts: BitCounts) -> dict[str, Any]:
    codes, correlations = code_counts(packed), counts.absolute_correlations()
    return {
        "items": counts.items,
        "distinct_codes": len(codes),
        "entropy": _number(entropy(codes)),
        "dead_bits": counts.dead.tolist(),
        "imbalance": _percent(counts.imbalance),
        "correlation_mean": _percent(correlations.mean()) if len(correlations) else None,
        "correlation_max": _percent(correlations.max()) if len(correlations) else None,
        "positive": _percents(counts.positive),
    }


def _agreement(images: CodedItems, voices: CodedItems) -> float | None:
    """Return the percentage of bits that voices share with their images; None without a pair."""
    row = {name: number for number, name in enumerate(images.names)}
    spoken = [number for number, image in enumerate(voices.images) if image in row]
    if not spoken:
        return None
    shown = [row[voices.images[number]] for number in spoken]
    return _percent(agreement(images.codes[shown], voices.codes[spoken]))


def _percents(fractions: np.ndarray) -> list[float | None]:
    return [_percent(fraction) for fraction in fractions.tolist()]


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else _number(100 * fraction)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)
