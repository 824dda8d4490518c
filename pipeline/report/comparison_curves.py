"""The curves of all methods of a comparison in one picture, from the runs that its table names."""

from collections.abc import Mapping
from typing import Any

from ivr.pipeline.comparison.comparison_pictures import methods_picture
from ivr.pipeline.comparison.mean_curves import mean_precision_curve
from ivr.pipeline.evaluation.curves import Curves, read_curves
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.evaluation.picture_subject import subject_of_methods
from ivr.pipeline.pictures.captions import Subject
from ivr.pipeline.pictures.picture_files import Picture
from ivr.pipeline.runs.run_folder import CURVES, RESULTS, read_json

from .compared import Compared, evaluation_folder

Evaluated = tuple[Mapping[str, Any], Mapping[str, Curves]]


def comparison_pictures(found: Compared) -> list[Picture]:
    """Return precision over retrieved items of every row, mean over its seeds.

    Raises:
        CurvesError, RunError: curves or results of a run are missing or damaged.
    """
    evaluations: dict[str, list[Evaluated]] = {}
    for name, line in found.names.items():
        for place in line["evaluations"].values():
            folder = evaluation_folder(found.folder, place)
            one = read_json(folder / RESULTS), read_curves(folder / CURVES)
            evaluations.setdefault(name, []).append(one)
    curves = {
        direction: [
            mean_precision_curve(name, some, direction) for name, some in evaluations.items()
        ]
        for direction in DIRECTIONS
    }
    return [methods_picture("methods", _subject(found, evaluations), curves)]


def _subject(found: Compared, evaluations: Mapping[str, list[Evaluated]]) -> Subject:
    results = [one for some in evaluations.values() for one, _ in some]
    first, bits = results[0], {one["run"]["bits"] for one in results}
    seeds = {int(seed) for line in found.names.values() for seed in line["evaluations"]}
    return subject_of_methods(first, tuple(evaluations), bits, seeds)
