"""Precision over retrieved items and precision against recall, as CSV and as a picture."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ivr.errors import IvrError
from ivr.features.atomic_files import PNG, replaced, replaced_text
from ivr.hashing.retrieval_curves import PrecisionRecall


class CurvesError(IvrError):
    """A file of curves cannot be read; the message is one line."""


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of one direction.

    Attributes:
        retrieved: numbers of retrieved items.
        precision: mean precision over the queries at each of them, [len(retrieved)], 0 to 1.
        radius: precision and recall within each Hamming radius, or within each rank.
        within: radius, for codes, or rank, for outputs, whose distances do not compare between
            queries.
        chance: precision of a random order, 0 to 1.
    """

    retrieved: tuple[int, ...]
    precision: np.ndarray
    radius: PrecisionRecall
    within: Literal["radius", "rank"]
    chance: float


def write_curves(path: Path, curves: Mapping[str, Curves]) -> None:
    """Write the points of ``curves`` to the CSV file ``path``, in percent."""
    with replaced_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["direction", "curve", "at", "precision", "recall"])
        for direction, curve in curves.items():
            for count, value in zip(curve.retrieved, curve.precision, strict=True):
                writer.writerow([direction, "retrieved", count, f"{100 * value:.4f}", ""])
            points = curve.radius
            for radius, precision, recall in zip(
                points.radius, points.precision, points.recall, strict=True
            ):
                values = f"{100 * precision:.4f}", f"{100 * recall:.4f}"
                writer.writerow([direction, curve.within, radius, *values])


def read_retrieved(path: Path) -> dict[str, dict[int, float]]:
    """Return by direction the precision, percent, at each number of retrieved items in ``path``.

    Raises:
        CurvesError: not a file that :func:`write_curves` wrote.
    """
    curves: dict[str, dict[int, float]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["curve"] == "retrieved":
                    curve = curves.setdefault(row["direction"], {})
                    curve[int(row["at"])] = float(row["precision"])
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise CurvesError(f"{path}: damaged, not curves that ivr evaluate writes") from error
    return curves


def draw_curves(path: Path, curves: Mapping[str, Curves], title: str) -> None:
    """Draw both kinds of curves of both directions into the PNG file ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for number, (direction, curve) in enumerate(curves.items()):
        colour, name = f"C{number}", direction.replace("_to_", " → ")
        line = ("-", "--")[number % 2]  # the curves of both directions may coincide
        left.plot(curve.retrieved, 100 * curve.precision, color=colour, linestyle=line, label=name)
        left.axhline(100 * curve.chance, color=colour, linestyle=":", linewidth=1)
        points = curve.radius
        right.plot(
            100 * points.recall,
            100 * points.precision,
            ".-",
            color=colour,
            label=name,
            markersize=3,
        )
        right.axhline(100 * curve.chance, color=colour, linestyle=":", linewidth=1)
    left.set(xlabel="retrieved items", ylabel="precision, %", ylim=(0, 102), xscale="log")
    right.set(xlabel="recall, %", ylabel="precision, %", xlim=(0, 102), ylim=(0, 102))
    left.xaxis.set_major_formatter("{x:.0f}")
    left.set_title("precision over retrieved items (dotted: chance)", fontsize=10)
    names = {"radius": "Hamming radius", "rank": "rank"}
    within = " or ".join(names[kind] for kind in sorted({c.within for c in curves.values()}))
    right.set_title(f"precision and recall within each {within}", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left")
    figure.suptitle(title)
    with replaced(path, PNG) as file:
        figure.savefig(file, dpi=120, format="png")
