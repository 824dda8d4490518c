"""Precision and recall over retrieved items and against each other, as CSV."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ivr.errors import IvrError
from ivr.features.atomic_files import replaced_text
from ivr.hashing.retrieval_curves import OverRetrieved, PrecisionRecall


class CurvesError(IvrError):
    """A file of curves cannot be read; the message is one line."""


BY_QUERY = "radius-by-query"
COLUMNS = (
    "direction",
    "curve",
    "at",
    "precision",
    "recall",
    "precision_ceiling",
    "recall_ceiling",
    "precision_chance",
    "recall_chance",
)


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of one direction.

    Attributes:
        retrieved: numbers of retrieved items [p].
        means: precision and recall at each of them, mean over the queries, with those of a perfect
            ranking and of a random order, 0 to 1.
        radius: precision and recall within each Hamming radius, or within each rank, pooled over
            the queries.
        within: radius, for codes, or rank, for outputs, whose distances do not compare between
            queries.
        by_query: precision and recall within each Hamming radius, mean over the queries; ``None``
            for outputs, and in files of earlier versions.
    """

    retrieved: tuple[int, ...]
    means: OverRetrieved
    radius: PrecisionRecall
    within: Literal["radius", "rank"]
    by_query: PrecisionRecall | None = None

    @property
    def precision(self) -> np.ndarray:
        """Mean precision at each number of retrieved items [p], 0 to 1."""
        return self.means.precision

    @property
    def chance(self) -> float:
        """Precision of a random order, 0 to 1."""
        return float(self.means.precision_chance[0])


def write_curves(path: Path, curves: Mapping[str, Curves]) -> None:
    """Write the points of ``curves`` to the CSV file ``path``, in percent."""
    with replaced_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for direction, curve in curves.items():
            table = np.stack([getattr(curve.means, name) for name in COLUMNS[3:]], axis=1)
            for count, values in zip(curve.retrieved, table, strict=True):
                writer.writerow([direction, "retrieved", count, *map(_percent, values)])
            for kind, points in ((curve.within, curve.radius), (BY_QUERY, curve.by_query)):
                if points is None:
                    continue
                for radius, precision, recall in zip(
                    points.radius, points.precision, points.recall, strict=True
                ):
                    chance = _percent(curve.chance) if kind != BY_QUERY else ""
                    shown = _percent(precision), _percent(recall), "", "", chance, ""
                    writer.writerow([direction, kind, radius, *shown])


def read_curves(path: Path) -> dict[str, Curves]:
    """Return the curves in ``path`` by direction, as :func:`write_curves` wrote them.

    Raises:
        CurvesError: not such a file, or one of an earlier version, without ceilings.
    """
    rows: dict[str, dict[str, list[list[float]]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = [float(row[name] or "nan") for name in COLUMNS[2:]]
                rows.setdefault(row["direction"], {}).setdefault(row["curve"], []).append(values)
        return {direction: _curves(found) for direction, found in rows.items()}
    except FileNotFoundError as error:
        raise CurvesError(f"{path}: no such file; make it with ivr evaluate") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise CurvesError(
            f"{path}: damaged or of an earlier version; make it again with ivr evaluate"
        ) from error


def _curves(rows: Mapping[str, list[list[float]]]) -> Curves:
    retrieved = np.array(rows["retrieved"])
    within: Literal["radius", "rank"] = "radius" if "radius" in rows else "rank"
    means = OverRetrieved(
        **{name: retrieved[:, place] / 100 for place, name in enumerate(COLUMNS[3:], 1)}
    )
    by_query = _precision_recall(rows[BY_QUERY]) if BY_QUERY in rows else None
    counts = tuple(int(n) for n in retrieved[:, 0])
    return Curves(counts, means, _precision_recall(rows[within]), within, by_query)


def _precision_recall(rows: list[list[float]]) -> PrecisionRecall:
    points = np.array(rows)
    return PrecisionRecall(points[:, 0].astype(np.int64), points[:, 1] / 100, points[:, 2] / 100)


def _percent(share: float) -> str:
    return f"{100 * share:.4f}"
