"""The values of tables by their source: metrics of every row, by seed and key of the column."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runs.run_folder import EVALUATIONS, HISTORY, RunError, read_epochs

from .columns import VALIDATION, Column, Source
from .comparison_table import metrics_of
from .evaluated_runs import ComparisonRow, damaged
from .generalisation import NOTHING, PLAIN_CHECK
from .query_time import query_milliseconds

BySeed = dict[int, dict[str, float]]
Metrics = Callable[[Path, ComparisonRow, Sequence[Column]], BySeed]


def preset_metrics(
    source: Source, features: Path, rows: Sequence[ComparisonRow], columns: Sequence[Column]
) -> list[BySeed]:
    """Return the metrics of each of ``rows`` by seed and key of the column.

    Args:
        source: where they come from.
        features: folder of the features that the runs were trained on.
        rows: the measured rows.
        columns: the metrics.

    Raises:
        CompareError, RunError: damaged files of a run.
    """
    found = [SOURCES[source](features, row, columns) for row in rows]
    return _with_shares(rows, found) if source == "generalisation" else found


def _validation_metrics(_: Path, row: ComparisonRow, columns: Sequence[Column]) -> BySeed:
    """Return the validation mAP of the epoch that was kept; the test split is not used."""
    return {
        seed: {
            f"{column.direction}.{column.name}": 100 * best[column.direction] for column in columns
        }
        for seed, evaluation in row.evaluations.items()
        if (best := _kept_epoch(_run(evaluation.folder)))
    }


def _merged(
    one: Mapping[int, Mapping[str, float]], other: Mapping[int, Mapping[str, float]]
) -> BySeed:
    return {seed: {**found, **other.get(seed, {})} for seed, found in one.items()}


def _kept_epoch(run: Path) -> Mapping[str, float]:
    scored = [
        {"image_to_voice": image, "voice_to_image": voice}
        for epoch in read_epochs(run)
        if (image := epoch["image_to_voice"]) is not None
        and (voice := epoch["voice_to_image"]) is not None
    ]
    if not scored:
        raise RunError(f"{run / HISTORY}: damaged, no epoch was validated")
    return max(reversed(scored), key=lambda epoch: sum(epoch.values()))


def _query_times(features: Path, row: ComparisonRow, _: Sequence[Column]) -> BySeed:
    return {
        seed: query_milliseconds(features, _run(evaluation.folder), by_sign=row.by_sign)
        for seed, evaluation in row.evaluations.items()
    }


def _health_metrics(_: Path, row: ComparisonRow, columns: Sequence[Column]) -> BySeed:
    """Return the code health in the results by key of the column; unknown values are left out."""
    metrics = {}
    for seed, evaluation in row.evaluations.items():
        try:
            found = _health_values(evaluation.results["health"])
            metrics[seed] = {
                column.key: float(value)
                for column in columns
                if (value := found[column.key]) is not None
            }
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(evaluation.folder) from error
    return metrics


def _health_values(health: Mapping[str, Any]) -> dict[str, Any]:
    both, errors = health["both"], health["quantisation_error"] or {}
    distances = {
        f"{direction}.{name}": health[direction]["distances"][name]
        for direction in DIRECTIONS
        for name in ("overlap", "gap")
    }
    return {
        "dead bits": len(both["dead_bits"]),
        "imbalance": both["imbalance"],
        "correlation": both["correlation_mean"],
        "distinct images": health["images"]["distinct_codes"],
        "distinct voices": health["voices"]["distinct_codes"],
        "agreement": health["agreement"],
        "quantisation error images": errors.get("images"),
        "quantisation error voices": errors.get("voices"),
        **distances,
    }


def _run(folder: Path) -> Path:
    """Return the run folder that the evaluation in ``folder`` belongs to."""
    assert folder.parent.name == EVALUATIONS
    return folder.parent.parent


def _with_chance(_: Path, row: ComparisonRow, columns: Sequence[Column]) -> BySeed:
    """Return the metrics of ``row`` and the mAP of a random order of the items it searched."""
    chance = {
        seed: {f"{d}.chance": float(evaluation.results["chance"][d]["mAP"]) for d in DIRECTIONS}
        for seed, evaluation in row.evaluations.items()
    }
    return _merged(metrics_of(row, columns), chance)


def _with_shares(rows: Sequence[ComparisonRow], metrics: list[BySeed]) -> list[BySeed]:
    """Return ``metrics`` with the share of the mAP of the plain run with the same seed, percent."""
    plain = {
        _asked(row): found
        for row, found in zip(rows, metrics, strict=True)
        if row.check == PLAIN_CHECK
    }
    return [
        _merged(found, _shares(found, plain.get(_asked(row), {})))
        for row, found in zip(rows, metrics, strict=True)
    ]


def _asked(row: ComparisonRow) -> tuple[object, ...]:
    """Return what rows that differ only in their check have in common."""
    return replace(row.row, left_out=NOTHING), row.by_sign


def _shares(found: BySeed, plain: BySeed) -> BySeed:
    return {
        seed: {
            f"{d}.of plain": 100 * own[f"{d}.mAP"] / whole
            for d in DIRECTIONS
            if (whole := plain.get(seed, {}).get(f"{d}.mAP"))
        }
        for seed, own in found.items()
    }


def _results_and_validation(
    features: Path, row: ComparisonRow, columns: Sequence[Column]
) -> BySeed:
    return _merged(metrics_of(row, columns), _validation_metrics(features, row, VALIDATION))


SOURCES: dict[Source, Metrics] = {
    "results": lambda _, row, columns: metrics_of(row, columns),
    "validation": _validation_metrics,
    "results and validation": _results_and_validation,
    "query time": _query_times,
    "health": _health_metrics,
    "generalisation": _with_chance,
}
