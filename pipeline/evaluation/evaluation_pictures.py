"""The pictures of an evaluation, from results.json and its curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ivr.hashing.health import BitCounts
from ivr.hashing.retrieval_curves import PrecisionRecall
from ivr.pipeline.pictures.captions import ARROWS, Subject, caption, put_title, titled_axes
from ivr.pipeline.pictures.captions import title as title_of
from ivr.pipeline.pictures.class_precision import (
    ClassPrecision,
    class_precision_height,
    class_precision_rows,
    draw_class_precision,
)
from ivr.pipeline.pictures.picture_files import Picture
from ivr.pipeline.pictures.precision_recall import (
    PrecisionRecallCurve,
    distinct_curves,
    draw_precision_recall,
    precision_recall_rows,
)
from ivr.pipeline.pictures.retrieved_curves import (
    RetrievedCurve,
    draw_precision,
    draw_recall,
    retrieved_rows,
)
from ivr.pipeline.pictures.style import Theme, new_figure
from ivr.pipeline.pictures.training_history import (
    TrainingHistory,
    draw_history,
    history_rows,
)
from ivr.pipeline.runtime.words import counted

from .code_pictures import code_pictures
from .curves import Curves
from .picture_subject import subject_of
from .protocol import DIRECTIONS

if TYPE_CHECKING:
    from ivr.pipeline.pictures.style import Figure

GUIDES = (
    "Dotted: chance, a random order",
    "Dash-dotted, grey above: the ceiling, a ranking with every relevant item first",
)

NOTHING_WITHIN = (
    "A query with no item within the radius has precision 0, so that a line may start below chance"
)


def evaluation_pictures(
    results: Mapping[str, Any],
    curves: Mapping[str, Curves],
    bits: tuple[BitCounts, BitCounts] | None = None,
    history: TrainingHistory | None = None,
) -> list[Picture]:
    """Return the pictures of an evaluation that its results have the data for.

    Args:
        results: the content of results.json.
        curves: by direction.
        bits: counts of the bits of images and of voices; None leaves the picture of their
            correlations out.
        history: the epochs of the run; None leaves their picture out.
    """
    subject = subject_of(results)
    found = [
        *(
            _retrieved(subject, retrieved_curves(results, curves, name), name, draw_into)
            for name, draw_into in (("precision", draw_precision), ("recall", draw_recall))
        ),
        _precision_recall(
            subject, precision_recall_curves(results, curves), "precision-recall", "pooled"
        ),
    ]
    by_query = precision_recall_curves_by_query(results, curves)
    if by_query:
        name = "precision-recall-by-query"
        found.append(_precision_recall(subject, by_query, name, "mean"))
    by_class = class_precisions(results)
    if by_class:
        found.append(_class_precision(subject, by_class))
    found += code_pictures(subject, results, bits)
    return found if history is None else [*found, _history(subject, history)]


def retrieved_curves(
    results: Mapping[str, Any], curves: Mapping[str, Curves], name: str
) -> list[RetrievedCurve]:
    """Return ``precision`` or ``recall`` over retrieved items, as ``name`` says, by direction."""
    return [
        RetrievedCurve(
            label=ARROWS[direction],
            retrieved=np.array(curve.retrieved),
            values=100 * getattr(curve.means, name),
            queries=results[direction]["n"],
            chance=100 * getattr(curve.means, f"{name}_chance"),
            ceiling=100 * getattr(curve.means, f"{name}_ceiling"),
        )
        for direction, curve in curves.items()
    ]


def precision_recall_curves(
    results: Mapping[str, Any], curves: Mapping[str, Curves]
) -> list[PrecisionRecallCurve]:
    """Return precision and recall within each radius or rank, pooled, of both directions."""
    return [_line(results, direction, curve, curve.radius) for direction, curve in curves.items()]


def precision_recall_curves_by_query(
    results: Mapping[str, Any], curves: Mapping[str, Curves]
) -> list[PrecisionRecallCurve]:
    """Return precision and recall within each radius, mean over the queries; none for outputs."""
    return [
        _line(results, direction, curve, curve.by_query)
        for direction, curve in curves.items()
        if curve.by_query is not None
    ]


def _line(
    results: Mapping[str, Any], direction: str, curve: Curves, points: PrecisionRecall
) -> PrecisionRecallCurve:
    return PrecisionRecallCurve(
        label=ARROWS[direction],
        within=curve.within,
        at=points.radius,
        precision=100 * points.precision,
        recall=100 * points.recall,
        queries=results[direction]["n"],
        chance=100 * curve.chance,
    )


def class_precisions(results: Mapping[str, Any]) -> list[ClassPrecision]:
    """Return the average precision of each class, of both directions; none without classes."""
    classes = sorted({name for direction in DIRECTIONS for name in results[direction]["per_class"]})
    if not classes:
        return []
    return [
        ClassPrecision(
            label=ARROWS[direction],
            classes=tuple(classes),
            precision=_of_classes(results[direction]["per_class"], classes, np.nan),
            queries=_of_classes(results[direction]["per_class_queries"], classes, 0).astype(int),
            chance=_of_classes(results[direction]["per_class_chance"], classes, np.nan),
            ceiling=_of_classes(results[direction]["per_class_ceiling"], classes, np.nan),
        )
        for direction in DIRECTIONS
    ]


def _of_classes(values: Mapping[str, float], classes: Sequence[str], missing: float) -> np.ndarray:
    return np.array([values.get(name, missing) for name in classes], float)


def _retrieved(
    subject: Subject, curves: list[RetrievedCurve], name: str, draw_into: Callable[..., Any]
) -> Picture:
    """Return the picture of ``precision`` or ``recall`` over retrieved items, as ``name`` says."""
    kind = f"{name.capitalize()} over retrieved items"

    def draw(theme: Theme) -> "Figure":
        return titled_axes(title_of(kind, subject), partial(draw_into, curves=curves), theme)

    return Picture(
        name,
        title_of(kind, subject),
        caption(kind, subject, f"{name.capitalize()} in percent, mean over the queries", *GUIDES),
        retrieved_rows(curves, name),
        draw,
    )


def _precision_recall(
    subject: Subject, curves: list[PrecisionRecallCurve], name: str, average: str
) -> Picture:
    """Return the picture ``name`` of curves that are ``pooled`` or the ``mean`` over queries."""
    pooled = average == "pooled"
    kind = "Precision against recall" + ("" if pooled else ", mean over the queries")
    within = {"radius": "Hamming radius", "rank": "rank"}[curves[0].within]

    def draw(theme: Theme) -> "Figure":
        drawn = partial(draw_precision_recall, curves=curves)
        return titled_axes(title_of(kind, subject), drawn, theme)

    more = (
        f"Within each {within}, {average} over the queries, in percent",
        "" if pooled else NOTHING_WITHIN,
        "One line for both directions, which " + ("count the same pairs" if pooled else "coincide")
        if len(distinct_curves(curves)) < len(curves)
        else "",
        GUIDES[0],
    )
    return Picture(
        name,
        title_of(kind, subject),
        caption(kind, subject, *more),
        precision_recall_rows(curves),
        draw,
    )


def _class_precision(subject: Subject, directions: list[ClassPrecision]) -> Picture:
    kind = "Average precision by class"
    height = class_precision_height(len(directions[0].classes))

    def draw(theme: Theme) -> "Figure":
        drawn = partial(draw_class_precision, directions=directions)
        return titled_axes(title_of(kind, subject), drawn, theme, height)

    return Picture(
        "class-precision",
        title_of(kind, subject),
        caption(
            kind,
            subject,
            "Mean over the n queries of a class, in percent, the best class on top",
            "Grey strokes: chance of the class",
        ),
        class_precision_rows(directions),
        draw,
    )


def _history(subject: Subject, history: TrainingHistory) -> Picture:
    kind = "History of the training"
    trained = replace(subject, queries={}, protocol="")

    def draw(theme: Theme) -> "Figure":
        figure = new_figure(8.6, 4.3)
        draw_history(figure.subplots(1, 2), history, theme)
        put_title(figure, title_of(kind, trained))
        return figure

    more = (
        f"{counted(len(history.epochs), 'epoch')}; left: the loss and its terms, mean over the "
        "batches; right: mAP on the validation split, in percent",
        "" if history.best is None else f"Weights of epoch {history.best} were kept",
    )
    return Picture(
        "history",
        title_of(kind, trained),
        caption(kind, trained, *more),
        history_rows(history),
        draw,
    )
