"""Health of codes, as a section of results.json and as a picture."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivr.features.atomic_files import PNG, replaced
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

from .confusion_picture import NAMED, draw_confusion
from .per_query import DIRECTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

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
    """

    nearest: int
    share: np.ndarray
    queries: np.ndarray


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


def draw_health(path: Path, health: Health, title: str) -> None:
    """Draw bits, distances and the confusion of both directions into the PNG file ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {
        direction: found
        for direction in DIRECTIONS
        if (found := health.section[direction]["confusion"])
    }
    classes = min(NAMED, len(health.section["classes"]))
    heights = [4.0, 3.0 + 0.22 * max(12, classes)] if shown else [4.0]
    figure = Figure(figsize=(14, sum(heights) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    balance, correlation, distances = parts[0].subplots(1, 3)
    _draw_balance(balance, health.section)
    _draw_correlation(correlation, health)
    _draw_distances(distances, health.section)
    if shown:
        _draw_confusion(parts[1], health.section["classes"], shown)
    figure.suptitle(title)
    with warnings.catch_warnings():
        # The font may lack a character of a class name; it is drawn as an empty box.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        with replaced(path, PNG) as file:
            figure.savefig(file, dpi=110, format="png")


def _draw_balance(axes: "Axes", section: Mapping[str, Any]) -> None:
    for name, style in (("images", "o"), ("voices", "x")):
        found = section[name]
        label = f"{name}, {len(found['dead_bits'])} dead"
        axes.plot(found["positive"], style, markersize=4, label=label)
    axes.axhline(50, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="bit", ylabel="items with +1, %", ylim=(-4, 104))  # dead bits lie on the edges
    axes.set_title("balance of bits", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", ncols=2, fontsize=8)


def _draw_correlation(axes: "Axes", health: Health) -> None:
    """Draw both halves of one square: images above the diagonal, voices below."""
    above, below = (np.abs(counts.correlation) for counts in (health.images, health.voices))
    table = np.triu(above, 1) + np.tril(below, -1)
    np.fill_diagonal(table, np.nan)
    picture = axes.imshow(table, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes.figure.colorbar(picture, ax=axes, shrink=0.8)
    axes.set(xlabel="bit", ylabel="bit")
    axes.set_title("|correlation|: images above, voices below the diagonal", fontsize=10)


def _draw_distances(axes: "Axes", section: Mapping[str, Any]) -> None:
    for direction, line in zip(DIRECTIONS, ("-", "--"), strict=True):
        found, arrow = section[direction]["distances"], direction.replace("_to_", " → ")
        for kind, colour in (("relevant", "C2"), ("other", "C3")):
            heights = [share or 0.0 for share in found[f"{kind}_share"]]
            edges = np.arange(len(heights) + 1) - 0.5
            if line == "-":
                axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(heights, edges, color=colour, linestyle=line, label=f"{kind}, {arrow}")
    axes.set(xlabel="Hamming distance, bits", ylabel="pairs of a kind, %", ylim=(0, None))
    overlap = ", ".join(_in_words(section[d]["distances"]["overlap"]) for d in DIRECTIONS)
    axes.set_title(f"distances of pairs: overlap {overlap}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_confusion(
    figure: "SubFigure", classes: Sequence[str], shown: Mapping[str, Mapping[str, Any]]
) -> None:
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (direction, found) in zip(panels, shown.items(), strict=True):
        picture = draw_confusion(axes, classes, np.array(found["share"], float))
        arrow = direction.replace("_to_", " → ")
        axes.set(xlabel="class found")
        axes.set_title(f"among the first {found['nearest']}, {arrow}, %", fontsize=10)
    panels[0].set_ylabel("class of the query")
    figure.colorbar(picture, ax=list(panels), shrink=0.6, aspect=30, ticks=[0, 1, 5, 20, 50, 100])


def _in_words(percent: float | None) -> str:
    return "unknown" if percent is None else f"{percent:.1f} %"
