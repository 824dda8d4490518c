"""An evaluated run, read for a report: nothing in it is changed or measured anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import IvrError
from ivr.hashing.distances import Measure
from ivr.pipeline.evaluation.evaluate import measure_of_run
from ivr.pipeline.evaluation.hits import RankedHits, ranked_hits
from ivr.pipeline.evaluation.per_query import DIRECTIONS, QueryMetrics, read_queries
from ivr.pipeline.evaluation.protocol import Protocol
from ivr.pipeline.evaluation.report import Report, report, report_pictures
from ivr.pipeline.evaluation.score import score
from ivr.pipeline.evaluation.select import Selection, select
from ivr.pipeline.pictures.picture_files import Picture
from ivr.pipeline.runs.codes_file import Codes, known_quantisation_error, read_codes
from ivr.pipeline.runs.run_folder import (
    CODES,
    EVALUATIONS,
    HISTORY,
    QUERIES,
    RESULTS,
    EpochOfRun,
    begun,
    read_config,
    read_epochs,
    read_json,
)
from ivr.pipeline.runs.training_epochs import training_history
from ivr.pipeline.runtime.config_options import from_json

PROVENANCE = ("run", "features", "codes")
"""Sections of results.json that say what was evaluated."""
TOLERANCE = 1e-6
"""Difference of an average precision from the recorded one that is rounding."""


class PageError(IvrError):
    """A report that cannot be made as asked, in one line."""


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """A run with one evaluation.

    Attributes:
        run: the run folder.
        folder: the folder of the evaluation.
        config: content of ``config.json``.
        results: content of ``results.json``, with what this version evaluates besides.
        codes: the codes that were evaluated.
        selection: queries and galleries of the evaluation.
        measure: compares outputs; None for a ranking by Hamming distance.
        queries: average precision of every query, by direction, as it is recorded.
        evaluated: the evaluation made again in memory, for what older results lack.
        epochs: the history of the training; empty if there is none.
    """

    run: Path
    folder: Path
    config: Mapping[str, Any]
    results: Mapping[str, Any]
    codes: Codes
    selection: Selection
    measure: Measure | None
    queries: Mapping[str, QueryMetrics]
    evaluated: Report
    epochs: Sequence[EpochOfRun]

    def hits(self, direction: str, rows: Sequence[int], count: int) -> RankedHits:
        """Return the first ``count`` items of the queries in ``rows`` of one direction.

        Raises:
            PageError: their average precision is not the recorded one.
        """
        found = ranked_hits(self.selection, direction, self.measure, rows, count)
        recorded = self.queries[direction].average_precision[list(rows)]
        if not np.allclose(found.average_precision, recorded, atol=TOLERANCE, equal_nan=True):
            raise changed(self.run, self.folder)
        return found

    def pictures(self) -> list[Picture]:
        """Return the pictures of the evaluation and of the training."""
        return report_pictures(replace(self.evaluated, history=training_history(self.run)))


def changed(run: Path, folder: Path) -> PageError:
    """Return the error of results that are not those of the present codes."""
    return PageError(
        f"{folder / RESULTS}: not the results of the present codes; evaluate again with "
        f"ivr evaluate {run}"
    )


def read_evaluated_run(run: Path, evaluation: str | None = None) -> EvaluatedRun:
    """Return ``run`` with one of its evaluations.

    Args:
        run: a run folder.
        evaluation: name of a folder in ``RUN/evaluations``; None for the run's own results, or for
            its only evaluation if it has none of its own.

    Raises:
        PageError: no such evaluation, or one of other codes.
        RunError, StoreError: files of the run are missing or damaged.
    """
    config = read_config(begun(run))
    return read_evaluation(run, config, _evaluation_folder(run, evaluation))


def read_evaluation(run: Path, config: Mapping[str, Any], folder: Path) -> EvaluatedRun:
    """Return ``run`` with the evaluation in ``folder``; raises as :func:`read_evaluated_run`."""
    results = read_json(folder / RESULTS)
    told = results.get("codes")
    if not isinstance(told, dict) or not isinstance(results.get("protocol"), dict):
        raise PageError(
            f"{folder / RESULTS}: does not say which codes were evaluated; evaluate again with "
            f"ivr evaluate {run}"
        )
    recorded = Path(str(told.get("file", "")))
    path = run / CODES if recorded.name == CODES else recorded
    if not path.is_file():
        raise PageError(f"{path}: the codes that were evaluated are gone; evaluate others")
    codes = read_codes(path)
    if told.get("model_sha256") != codes.config["model"]:
        raise changed(run, folder)
    protocol = from_json(Protocol, results["protocol"])
    selection, queries = select(codes, protocol), read_queries(folder / QUERIES)
    measure = measure_of_run(run, config, protocol)
    found = report(
        selection, score(selection, measure), known_quantisation_error(codes, protocol.bits)
    )
    if not all(_same(found.queries[name], queries[name]) for name in DIRECTIONS):
        raise changed(run, folder)
    found.results.update({name: results[name] for name in PROVENANCE if name in results})
    return EvaluatedRun(
        run,
        folder,
        config,
        found.results,
        codes,
        selection,
        measure,
        queries,
        found,
        read_epochs(run) if (run / HISTORY).is_file() else (),
    )


def _same(found: QueryMetrics, recorded: QueryMetrics) -> bool:
    """Return whether both hold the same queries with the same average precision."""
    return found.names == recorded.names and np.allclose(
        found.average_precision, recorded.average_precision, atol=TOLERANCE, equal_nan=True
    )


def _evaluation_folder(run: Path, name: str | None) -> Path:
    """Return the folder of the evaluation ``name``, see :func:`read_evaluated_run`."""
    there = sorted(path.parent.name for path in (run / EVALUATIONS).glob(f"*/{RESULTS}"))
    if name is None:
        if (run / RESULTS).is_file():
            return run
        if len(there) == 1:
            return run / EVALUATIONS / there[0]
        more = f", or report one of {', '.join(there)} with --evaluation" if there else ""
        raise PageError(f"{run}: not evaluated; call ivr evaluate {run} first{more}")
    if name not in there:
        known = f"there are {', '.join(there)}" if there else "it has none"
        raise PageError(f"{run}: no evaluation {name!r}; {known}")
    return run / EVALUATIONS / name
