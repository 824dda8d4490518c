"""Step 3 of an evaluation: metrics, chance, curves and health of the codes from the rankings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from ivr.hashing.distances import Measure
from ivr.hashing.health import PairDistances, confusion, pair_distances
from ivr.hashing.histograms import (
    Histograms,
    chance_histograms,
    perfect_histograms,
    spread_histograms,
)
from ivr.hashing.metrics import Scores, join_scores, matching_accuracy, scores
from ivr.hashing.retrieval_curves import (
    OverRetrieved,
    PrecisionRecall,
    mean_precision_recall_curve,
    over_retrieved,
    precision_recall_curve,
)
from ivr.pipeline.runs.codes_file import CodedItems
from ivr.pipeline.runtime.progress import warn

from .code_health import Confusion
from .curves import Curves
from .protocol import Protocol
from .rank import (
    CELLS_AT_ONCE,
    QUERIES_AT_ONCE,
    Ranker,
    outputs_of,
    query_blocks,
    ranker_of,
    stacked,
)
from .select import EvaluateError, Selection

Means = TypeVar("Means", OverRetrieved, PrecisionRecall)

CURVE_POINTS = 200
PAIRS_AT_ONCE = 64
# Distances of queries and gallery that are computed again for the confusion of classes, of codes
# and of outputs; of more pairs only a share, which takes a few percent of the time of the ranking.
CONFUSION_PAIRS, CONFUSION_PAIRS_OF_OUTPUTS, CONFUSION_SHARE = 1 << 25, 1 << 23, 1 / 64
NEAREST = 10


@dataclass(frozen=True, eq=False)
class DirectionScores:
    """Everything that the ranking of one direction gives.

    Attributes:
        scores: every metric of every query.
        chance: the same of a random order.
        ceiling: the same of a perfect ranking.
        curves: precision and recall over retrieved items, and within radii or ranks.
        distances: Hamming distances of relevant and of other pairs.
        confusion: the classes that the queries of each class find first; None without classes.
    """

    scores: Scores
    chance: Scores
    ceiling: Scores
    curves: Curves
    distances: PairDistances
    confusion: Confusion | None


@dataclass(frozen=True, eq=False)
class ModalityScores:
    """Retrieval within one modality, the query left out of the gallery, by Hamming distance.

    Attributes:
        scores: average precision of every query; NaN for a query without a relevant item.
        chance: the same of a random order.
        gallery: number of items that are searched, the query itself among them.
    """

    scores: Scores
    chance: Scores
    gallery: int


@dataclass(frozen=True)
class Matching:
    """How often a method tells matching pairs from others (DVAN).

    Attributes:
        accuracy: share of the pairs that are classified correctly, 0 to 1.
        pairs: number of pairs, half of which match.
    """

    accuracy: float
    pairs: int


@dataclass(frozen=True, eq=False)
class Scored:
    """Everything that the rankings of one evaluation give.

    Attributes:
        directions: by direction, image_to_voice and voice_to_image.
        modalities: image_to_image and voice_to_voice; None where no query has a relevant item.
        matching: matching accuracy, for a method that ranks by matching probability; else None.
    """

    directions: Mapping[str, DirectionScores]
    modalities: Mapping[str, ModalityScores | None]
    matching: Matching | None


def score(selection: Selection, measure: Measure | None) -> Scored:
    """Return the scores of ``selection``.

    Args:
        selection: queries and galleries.
        measure: compares outputs; None ranks by the Hamming distance of the codes.

    Raises:
        EvaluateError, MetricsError: no query has a relevant item.
    """
    protocol = selection.protocol
    directions = {
        direction: _direction_scores(
            queries, selection.galleries[direction], ranker_of(selection, direction, measure)
        )
        for direction, queries in selection.queries.items()
    }
    by_codes = Ranker(protocol, selection.class_numbers, None)
    modalities = {
        "image_to_image": _modality_scores(*selection.images, by_codes),
        "voice_to_voice": _modality_scores(*selection.voices, by_codes),
    }
    matching = None
    if measure is not None and protocol.distance == "matching":
        sides = selection.images[0], selection.voices[0]
        matching = _matching(*sides, measure, protocol.seed or 0)
    return Scored(directions, modalities, matching)


def _direction_scores(queries: CodedItems, gallery: CodedItems, ranker: Ranker) -> DirectionScores:
    empty = ranker.protocol.empty
    points = curve_points(len(gallery.names))
    found: list[Scores] = []
    random: list[Scores] = []
    perfect: list[Scores] = []
    means, by_query, pooled = [], [], []
    for block in ranker.blocks(queries, gallery):
        by_distance = ranker.histograms(block, gallery)
        hist = ranker.ranked(block, gallery, by_distance)
        hamming = by_distance if ranker.distance is None else None
        found.append(_scores(hist, ranker.protocol, hamming))
        tied = chance_histograms(hist)
        for scored, order, at_distances in (
            (random, tied, spread_histograms),
            # The order of the items alone has two groups: all other metrics need no more.
            (perfect, perfect_histograms(tied), perfect_histograms),
        ):
            moved = None if hamming is None else at_distances(hamming)
            scored.append(_scores(order, ranker.protocol, moved))
        counted = ~np.isnan(found[-1].average_precision)
        if counted.any():
            asked = int(np.count_nonzero(counted))
            means.append((asked, over_retrieved(hist, points, empty)))
            if hamming is not None:
                by_query.append((asked, mean_precision_recall_curve(hamming, empty)))
            pooled.append(ranker.pooled(by_distance, counted))
    if not pooled:
        raise EvaluateError("no query has a relevant item in the database")
    metrics = join_scores(found)
    counted = ~np.isnan(metrics.average_precision)
    distances = stacked(pooled)
    radii = _mean(by_query) if by_query else None
    curves = _curves(points, _mean(means), distances, radii)
    if ranker.distance is not None:
        distances = ranker.pooled_by_codes(queries.select(np.flatnonzero(counted)), gallery)
    return DirectionScores(
        metrics,
        join_scores(random),
        join_scores(perfect),
        curves,
        pair_distances(distances),
        _confusion(queries, gallery, ranker),
    )


def _scores(hist: Histograms, protocol: Protocol, hamming: Histograms | None) -> Scores:
    return scores(
        hist,
        at=protocol.cutoff,
        denominator=protocol.denominator,
        empty=protocol.empty,
        hamming=hamming,
        radius=protocol.radius,
    )


def _mean(parts: Sequence[tuple[int, Means]]) -> Means:
    """Return the mean over the queries of all blocks, each given with its number of queries."""
    counts = [count for count, _ in parts]
    first = parts[0][1]
    means = {
        field.name: np.average([getattr(part, field.name) for _, part in parts], 0, counts)
        for field in fields(first)
    }
    if isinstance(first, PrecisionRecall):
        means["radius"] = first.radius
    return type(first)(**means)


def _curves(
    points: tuple[int, ...],
    means: OverRetrieved,
    distances: Histograms,
    by_query: PrecisionRecall | None,
) -> Curves:
    """Return the curves of one direction.

    Args:
        points: numbers of retrieved items [p].
        means: precision and recall at each of them, mean over the queries.
        distances: the histograms of the queries, added up.
        by_query: precision and recall within each Hamming radius, mean over the queries; ``None``
            where they are ranked by outputs.
    """
    if by_query is not None:
        return Curves(points, means, precision_recall_curve(distances), "radius", by_query)
    return Curves(points, means, _precision_recall_by_rank(points, means, distances), "rank")


def _precision_recall_by_rank(
    points: Sequence[int], means: OverRetrieved, distances: Histograms
) -> PrecisionRecall:
    """Return precision and recall among the first n items of every query, pooled.

    Args:
        points: values of n [p].
        means: mean over the queries at each n.
        distances: the histograms of all queries [blocks, 1].
    """
    relevant = distances.relevant.sum()
    if relevant == 0:
        raise EvaluateError("no query has a relevant item in the database")
    ranks = np.array(points, np.int64)
    queries = distances.items.sum() / points[-1]
    return PrecisionRecall(ranks, means.precision, means.precision * queries * ranks / relevant)


def _confusion(queries: CodedItems, gallery: CodedItems, ranker: Ranker) -> Confusion | None:
    """Return the classes that queries find first; None without classes.

    Ranked as the metrics are, but always with the mean over the orders of ties.
    """
    # "" sorts before every name: if it is there, it has the number 0 and is no class.
    unknown = int("" in ranker.class_numbers)
    classes = len(ranker.class_numbers) - unknown
    if not classes:
        return None
    fewest = CONFUSION_PAIRS if ranker.distance is None else CONFUSION_PAIRS_OF_OUTPUTS
    pairs = len(queries.names) * len(gallery.names)
    share, asked = confusion(
        lambda rows: ranker.distances(queries.select(rows), gallery),
        ranker.classes(queries) - unknown,
        ranker.classes(gallery) - unknown,
        classes,
        nearest=NEAREST,
        pairs=max(fewest, int(CONFUSION_SHARE * pairs)),
        at_once=CELLS_AT_ONCE,
    )
    searched = np.bincount(ranker.classes(gallery), minlength=len(ranker.class_numbers))[unknown:]
    nearest = min(NEAREST, len(gallery.names))
    ceiling = np.minimum(searched, nearest) / nearest
    return Confusion(nearest, share, asked, ceiling, searched / len(gallery.names))


def _modality_scores(
    queries: CodedItems, gallery: CodedItems, ranker: Ranker
) -> ModalityScores | None:
    """Return the scores within one modality; None if no query has a relevant item.

    Ties count by the mean over their orders, and queries without a relevant item are left out,
    whatever the protocol says: a class with one item would be an error otherwise.
    """
    parts = [
        ranker.without_itself(block, gallery) for block in query_blocks(queries, QUERIES_AT_ONCE)
    ]
    if not any(hist.relevant.any() for hist in parts):
        return None
    return ModalityScores(
        _average_precision(parts, ranker.protocol),
        _average_precision(map(chance_histograms, parts), ranker.protocol),
        len(gallery.names),
    )


def _average_precision(parts: Iterable[Histograms], protocol: Protocol) -> Scores:
    at, denominator = protocol.cutoff, protocol.denominator
    return join_scores(
        [
            scores(hist, at=at, denominator=denominator, empty="skip", metrics=("mAP",))
            for hist in parts
        ]
    )


def _matching(
    images: CodedItems, voices: CodedItems, measure: Measure, seed: int
) -> Matching | None:
    """Return how often pairs of the test split are classified correctly; None without such pairs.

    Every voice is paired with its own image, and with an image of another class drawn by ``seed``.
    """
    rng = np.random.default_rng(seed)
    labels = np.array(images.labels)
    row = {name: number for number, name in enumerate(images.names)}
    own, other, spoken = [], [], []
    for number, (image, label) in enumerate(zip(voices.images, voices.labels, strict=True)):
        strangers = np.flatnonzero(labels != label)
        if image in row and label and len(strangers):
            own.append(row[image])
            other.append(int(rng.choice(strangers)))
            spoken.append(number)
    if not spoken:
        warn("note: no matching accuracy: no labelled voice has its image and one of another class")
        return None
    accuracy = matching_accuracy(
        *(_pair_odds(images.select(rows), voices.select(spoken), measure) for rows in (own, other))
    )
    return Matching(accuracy, 2 * len(spoken))


def _pair_odds(images: CodedItems, voices: CodedItems, measure: Measure) -> np.ndarray:
    """Return the log-odds [n] of a match of image and voice, row for row."""
    sides = outputs_of(images), outputs_of(voices)
    parts = [
        -np.diagonal(measure(*(side[start : start + PAIRS_AT_ONCE] for side in sides)))
        for start in range(0, len(sides[0]), PAIRS_AT_ONCE)
    ]
    return np.concatenate(parts)


def curve_points(gallery: int) -> tuple[int, ...]:
    """Return the numbers of retrieved items at which precision is taken: all, or about 200."""
    if gallery <= CURVE_POINTS:
        return tuple(range(1, gallery + 1))
    return tuple(int(n) for n in np.unique(np.geomspace(1, gallery, CURVE_POINTS).round()))
