"""Step 4 of an evaluation: results.json, average precision of every query, curves and pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.atomic_files import HDF5, TEXT, require_replaceable
from ivr.hashing.average_precision import class_average_precision
from ivr.hashing.metrics import METRICS, Scores
from ivr.pipeline.datasets.public_datasets import known_dataset
from ivr.pipeline.pictures import picture_files
from ivr.pipeline.pictures.picture_files import Format, Picture, drawn_formats, write_picture
from ivr.pipeline.pictures.training_history import TrainingHistory
from ivr.pipeline.runs.codes_file import CodedItems
from ivr.pipeline.runs.run_folder import (
    CURVES,
    EVALUATION_FILES,
    PICTURE_FILES,
    PICTURES,
    QUERIES,
    RESULTS,
    write_json,
)
from ivr.pipeline.runtime.digests import record_digests, rewriting
from ivr.pipeline.runtime.placed_together import finish, new_aside, place

from .code_health import Health, code_health, direction_health
from .curves import Curves, write_curves
from .evaluation_pictures import evaluation_pictures
from .per_query import QueryMetrics, write_queries
from .protocol_words import protocol_in_words
from .score import DirectionScores, ModalityScores, Scored
from .select import Selection

ASIDE = ".evaluation"
KINDS = {".json": TEXT, ".h5": HDF5} | {f".{k}": v for k, v in picture_files.KINDS.items()}


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that an evaluation finds.

    Attributes:
        results: the content of results.json, metrics in percent or as ranks.
        curves: by direction.
        queries: average precision of every query, by direction.
        chance: average precision of every query in a random order, 0 to 1, by direction; NaN for a
            query that is left out.
        health: health of the codes of the queries; ``results`` has its numbers too.
        history: the epochs of the run; None without a run, or for one without epochs.
    """

    results: dict[str, Any]
    curves: Mapping[str, Curves]
    queries: Mapping[str, QueryMetrics]
    chance: Mapping[str, np.ndarray]
    health: Health
    history: TrainingHistory | None = None


def report(
    selection: Selection,
    scored: Scored,
    quantisation_errors: Mapping[str, float | None] | None,
) -> Report:
    """Return the results of an evaluation that are written and shown.

    Args:
        selection: queries and galleries.
        scored: their scores.
        quantisation_errors: quantisation errors of images and voices, 0 to 1; None for codes of an
            older version.
    """
    protocol = selection.protocol
    health = code_health(
        selection.images[0],
        selection.voices[0],
        selection.classes,
        quantisation_errors,
        {
            name: direction_health(found.distances, found.confusion)
            for name, found in scored.directions.items()
        },
    )
    results: dict[str, Any] = {
        name: _direction_results(selection, name, found)
        for name, found in scored.directions.items()
    }
    results["health"] = health.section
    results["chance"] = {name: found.chance.in_units() for name, found in scored.directions.items()}
    results["ceiling"] = {
        name: found.ceiling.in_units() for name, found in scored.directions.items()
    }
    results["units"] = {
        name: METRICS[metric].unit
        for found in scored.directions.values()
        for metric, names in found.scores.names.items()
        for name in names
    }
    results |= {name: _modality_results(found) for name, found in scored.modalities.items()}
    if scored.matching is not None:
        accuracy = 100 * scored.matching.accuracy
        results["matching"] = {"accuracy": accuracy, "pairs": scored.matching.pairs}
    results["protocol"] = asdict(protocol)
    results["protocol_in_words"] = protocol_in_words(asdict(protocol))
    whole = protocol.classes == "all"  # published rows are of all classes
    results["dataset"] = known_dataset({*selection.classes}) if whole else None
    queries = {
        name: _query_metrics(selection.queries[name], found)
        for name, found in scored.directions.items()
    }
    curves = {name: found.curves for name, found in scored.directions.items()}
    chance = {name: found.chance.average_precision for name, found in scored.directions.items()}
    return Report(results, curves, queries, chance, health)


def write_report(folder: Path, found: Report, formats: Sequence[Format] = ("png",)) -> None:
    """Write the files of ``found`` into ``folder``, whose lock is held, in the place of older ones.

    They are written aside first: the older ones stay together until all of the new ones are there.

    Args:
        folder: where to write; it is made if it is missing.
        found: what the evaluation found.
        formats: formats of the pictures, beside a CSV file of the data of each; those that
            ``folder`` has already are drawn again too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finish(folder, ASIDE, _remove_results)
    for name in EVALUATION_FILES:
        require_replaceable(folder / name, KINDS[Path(name).suffix])
    aside = new_aside(folder, ASIDE)
    write_queries(aside / QUERIES, {"protocol": found.results["protocol"]}, found.queries)
    write_curves(aside / CURVES, found.curves)
    (aside / PICTURES).mkdir()
    drawn = tuple(dict.fromkeys((*formats, *drawn_formats(folder / PICTURES))))
    for picture in report_pictures(found):
        write_picture(aside / PICTURES, picture, drawn)
    record_digests(aside / PICTURES, PICTURE_FILES)
    write_json(aside / RESULTS, found.results)
    with rewriting(folder, [name for name in EVALUATION_FILES if "/" not in name]):
        place(folder, ASIDE, _remove_results)


def report_pictures(found: Report) -> list[Picture]:
    """Return every picture of ``found``."""
    bits = found.health.images, found.health.voices
    return evaluation_pictures(found.results, found.curves, bits, found.history)


def _remove_results(folder: Path) -> None:
    for name in EVALUATION_FILES:
        (folder / name).unlink(missing_ok=True)


def _direction_results(
    selection: Selection, direction: str, found: DirectionScores
) -> dict[str, Any]:
    queries, numbers = selection.queries[direction], selection.class_numbers
    return found.scores.in_units() | {
        "per_class": _per_class(found.scores, queries, numbers),
        "per_class_chance": _per_class(found.chance, queries, numbers),
        "per_class_ceiling": _per_class(found.ceiling, queries, numbers),
        "per_class_queries": _class_queries(found.scores, queries),
        "queries": len(queries.names),
        "gallery": len(selection.galleries[direction].names),
        "queries_with_nothing_relevant": found.scores.empty_queries,
        "n": _counted(found.scores),
    }


def _modality_results(found: ModalityScores | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "mAP": found.scores.in_units()["mAP"],
        "chance": found.chance.in_units()["mAP"],
        "queries": len(found.scores.average_precision),
        "gallery": found.gallery,
        "queries_with_nothing_relevant": found.scores.empty_queries,
        "n": _counted(found.scores),
    }


def _counted(scores: Scores) -> int:
    """Return how many queries the means are over."""
    return int(np.count_nonzero(~np.isnan(scores.average_precision)))


def _query_metrics(queries: CodedItems, found: DirectionScores) -> QueryMetrics:
    images = (image or name for image, name in zip(queries.images, queries.names, strict=True))
    return QueryMetrics(queries.names, tuple(images), found.scores.average_precision)


def _per_class(
    scores: Scores, queries: CodedItems, class_numbers: Mapping[str, int]
) -> dict[str, float]:
    names = {number: name for name, number in class_numbers.items()}
    numbers = np.array([class_numbers[label] for label in queries.labels], np.int64)
    means = class_average_precision(scores.average_precision, numbers)
    return {names[number]: 100 * value for number, value in means.items() if names[number]}


def _class_queries(scores: Scores, queries: CodedItems) -> dict[str, int]:
    """Return the number of queries of each class that the means are over."""
    counted = ~np.isnan(scores.average_precision)
    labels = Counter(label for label, used in zip(queries.labels, counted, strict=True) if used)
    return {name: labels[name] for name in sorted(labels) if name}
