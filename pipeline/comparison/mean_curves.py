"""Mean precision over retrieved items of one method, over its seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ivr.pipeline.evaluation.curves import Curves
from ivr.pipeline.pictures.retrieved_curves import RetrievedCurve


def mean_precision_curve(
    label: str,
    evaluations: Sequence[tuple[Mapping[str, Any], Mapping[str, Curves]]],
    direction: str,
) -> RetrievedCurve:
    """Return the mean over ``evaluations``, with the deviation where there are several.

    Only at numbers of retrieved items that all seeds have, since galleries differ by a few items.

    Args:
        label: name of the line.
        evaluations: results and curves of each seed, at least one.
        direction: image_to_voice or voice_to_image.
    """
    curves = [found[direction] for _, found in evaluations]
    common = sorted(set.intersection(*(set(curve.retrieved) for curve in curves)))

    def at_common(name: str) -> np.ndarray:
        """Return the values of ``name`` in percent [seeds, numbers]."""
        columns = [
            dict(zip(curve.retrieved, getattr(curve.means, name), strict=True)) for curve in curves
        ]
        return np.array([[100 * column[count] for count in common] for column in columns])

    values = at_common("precision")
    return RetrievedCurve(
        label=label,
        retrieved=np.array(common),
        values=values.mean(axis=0),
        queries=evaluations[0][0][direction]["n"],
        chance=at_common("precision_chance").mean(axis=0),
        ceiling=at_common("precision_ceiling").mean(axis=0),
        deviation=values.std(axis=0, ddof=1) if len(curves) > 1 else None,
        seeds=len(curves),
    )
