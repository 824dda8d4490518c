"""Differences of mAP from a reference row, query by query, by a paired bootstrap."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from ivr.hashing.bootstrap import paired_bootstrap
from ivr.pipeline.evaluation.per_query import DIRECTIONS

from .evaluated_runs import ComparisonRow
from .row_heads import row_name
from .table import Gap


def gaps_to(row: ComparisonRow, reference: ComparisonRow) -> dict[str, Gap]:
    """Return the difference of ``row`` from ``reference`` by direction, over the seeds of both.

    A query is paired with itself in the same seed. Queries of one image are drawn together,
    whatever the seed, since they are not independent of each other.
    """
    seeds = sorted(set(row.evaluations) & set(reference.evaluations))
    found = {}
    for direction in DIRECTIONS:
        images, parts = [], []
        for seed in seeds:
            names, difference = _paired(row, reference, seed, direction)
            images += names
            parts.append(difference)
        if images:
            units = np.unique(images, return_inverse=True)[1]
            points = 100 * np.concatenate(parts)[:, None]
            (gap,) = paired_bootstrap(points, units, np.random.default_rng(0))
            ahead = sum(bool(part.mean() > 0) for part in parts if len(part))
            found[direction] = Gap(gap, ahead, len(seeds))
    return found


def gaps_to_reference(
    rows: Sequence[ComparisonRow], reference: str | None
) -> tuple[list[dict[str, Gap]], dict[int, str]]:
    """Return the gap of each row to the reference with as many bits, and the references by bits.

    Args:
        rows: the measured rows.
        reference: label of the reference; None takes the best mean mAP for each number of bits.
    """
    chosen = {
        bits: _reference([row for row in rows if row.row.bits == bits], reference)
        for bits in {row.row.bits for row in rows}
    }
    found = []
    for row in rows:
        other = chosen[row.row.bits]
        gaps = {} if other is None or other is row else gaps_to(row, other)
        found.append({f"{direction}.difference": gap for direction, gap in gaps.items()})
    names = {bits: row_name(row, rows) for bits, row in sorted(chosen.items()) if row}
    return found, names


def _paired(
    row: ComparisonRow, reference: ComparisonRow, seed: int, direction: str
) -> tuple[list[str], np.ndarray]:
    """Return the images of the queries that both rows have, and the differences [n]."""
    ours = row.evaluations[seed].queries[direction]
    theirs = reference.evaluations[seed].queries[direction]
    value = dict(zip(theirs.names, theirs.average_precision, strict=True))
    both = [
        (image, own - value[name])
        for name, image, own in zip(ours.names, ours.images, ours.average_precision, strict=True)
        if name in value and not np.isnan(own - value[name])
    ]
    return [image for image, _ in both], np.array([gap for _, gap in both])


def _reference(rows: Sequence[ComparisonRow], name: str | None) -> ComparisonRow | None:
    there = [
        row for row in rows if row.evaluations and (name is None or row.row.variant.label == name)
    ]
    return max(there, key=_mean_map) if there else None


def _mean_map(row: ComparisonRow) -> float:
    return fmean(
        evaluation.results[direction]["mAP"]
        for evaluation in row.evaluations.values()
        for direction in DIRECTIONS
    )
