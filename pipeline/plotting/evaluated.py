"""Evaluations that were written to folders, read again for their pictures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivr.errors import IvrError
from ivr.pipeline.evaluation.curves import Curves, read_curves
from ivr.pipeline.evaluation.evaluation_result import EvaluationResult
from ivr.pipeline.evaluation.picture_subject import subject_of
from ivr.pipeline.pictures.captions import Subject
from ivr.pipeline.runs.begun_runs import CONFIG
from ivr.pipeline.runs.run_folder import CURVES, EVALUATIONS, RESULTS, read_json

Source = EvaluationResult | str | Path
RUNS = "runs"
"""Folder of the runs of a comparison."""


class PlotError(IvrError):
    """Nothing to draw; the message is one line."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """An evaluation.

    Attributes:
        folder: folder of its files.
        results: content of results.json.
    """

    folder: Path
    results: Mapping[str, Any]

    @property
    def curves(self) -> dict[str, Curves]:
        """The curves by direction; raises CurvesError where there are none."""
        return read_curves(self.folder / CURVES)

    @property
    def subject(self) -> Subject:
        """What its pictures are about."""
        return subject_of(self.results)


def evaluated(source: Source) -> Evaluated:
    """Return the evaluation that ``source`` is, or that its folder holds.

    Raises:
        PlotError: no results in the folder, or results of an earlier version.
        RunError: damaged results.
    """
    folder = source.folder if isinstance(source, EvaluationResult) else Path(source)
    if not (folder / RESULTS).is_file():
        raise PlotError(f"{folder}: has no {RESULTS}; make it with ivr evaluate RUN")
    results = read_json(folder / RESULTS)
    if not isinstance(results.get("ceiling"), dict) or not isinstance(results.get("health"), dict):
        raise PlotError(
            f"{folder / RESULTS}: of an earlier version; make it again with ivr evaluate"
        )
    return Evaluated(folder, results)


def run_of(folder: Path) -> Path:
    """Return the run folder that ``folder``, a run or one of its evaluations, belongs to.

    Raises:
        PlotError: neither.
    """
    for place in (folder, folder.resolve().parent.parent):
        if (place / CONFIG).is_file():
            return place
    raise PlotError(f"{folder}: neither a run folder nor an evaluation inside one")


def methods_of(
    source: str | Path | Mapping[str, Source | Iterable[Source]],
) -> dict[str, list[Evaluated]]:
    """Return the evaluations of each method, one per seed, by the name of its line.

    Args:
        source: folder of a comparison; or by name the evaluations of one method.

    Raises:
        PlotError: no evaluation.
    """
    if isinstance(source, str | Path):
        return _of_comparison(Path(source))
    found = {name: [evaluated(each) for each in _several(given)] for name, given in source.items()}
    if not found or not all(found.values()):
        raise PlotError("nothing to compare; give at least one evaluation per name")
    return found


def _several(given: Source | Iterable[Source]) -> list[Source]:
    return [given] if isinstance(given, EvaluationResult | str | Path) else list(given)


def _of_comparison(folder: Path) -> dict[str, list[Evaluated]]:
    """Return the evaluations of a comparison by the distance of the methods, seeds together."""
    runs = sorted(path.parent for path in (folder / RUNS).glob(f"*/{CONFIG}"))
    named = {
        path.name
        for run in runs
        for path in (run / EVALUATIONS).glob("*-own")
        if (path / RESULTS).is_file()
    }
    if len(named) != 1:
        found = f"several protocols: {', '.join(sorted(named))}" if named else "no evaluation"
        raise PlotError(
            f"{folder}: {found}; give a folder of ivr compare with one protocol, or by name "
            "the evaluations of each method"
        )
    (name,) = named
    groups: dict[str, list[Evaluated]] = {}
    for run in runs:
        place = run / EVALUATIONS / name
        if (place / RESULTS).is_file():
            groups.setdefault(run.name.rpartition("-")[0], []).append(evaluated(place))
    return {_line_name(key, groups): found for key, found in groups.items()}


def _line_name(key: str, groups: Mapping[str, list[Evaluated]]) -> str:
    """Return the shortest name that no other line has: method, with bits, or the whole folder."""

    def names(each: str) -> tuple[str, str, str]:
        run = groups[each][0].results["run"]
        return run["method"], f"{run['method']}, {run['bits']} bits", each

    for place in range(3):
        if [names(each)[place] for each in groups].count(names(key)[place]) == 1:
            return names(key)[place]
    return key
