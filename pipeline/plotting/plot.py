"""Pictures of results as axes of Matplotlib: ``ivr.plot``.

Every function takes the result of :func:`ivr.evaluate`, or the folder it was written to, draws into
``ax``, or into new axes if that is None, and returns the axes::

    import ivr

    axes = ivr.plot.precision("run")
    axes.set_title("")  # a paper has its own caption
    axes.get_figure().savefig("precision.pdf")

Lines differ by line style and marker, not by colour alone; chance is always drawn, and a ceiling
where 100 % cannot be reached. ``theme`` is ``light`` or ``dark``: colours for that background.
``ivr evaluate --pictures svg,pdf,png`` writes the same pictures as files.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivr.names import unknown
from ivr.pipeline.comparison.mean_curves import mean_precision_curve
from ivr.pipeline.evaluation import code_pictures, evaluation_pictures
from ivr.pipeline.evaluation.protocol import DIRECTIONS
from ivr.pipeline.pictures import captions
from ivr.pipeline.pictures.class_precision import class_precision_height, draw_class_precision
from ivr.pipeline.pictures.code_health import distinct_distances, draw_bit_balance, draw_distances
from ivr.pipeline.pictures.confusion import confusions_size, draw_confusions
from ivr.pipeline.pictures.precision_recall import draw_precision_recall
from ivr.pipeline.pictures.ranked_hits import draw_hits, hits_size
from ivr.pipeline.pictures.retrieved_curves import draw_precision, draw_recall
from ivr.pipeline.pictures.style import (
    LIGHT,
    THEMES,
    Theme,
    ThemeName,
    new_panels,
    new_sheet,
    shown_text,
    styled,
)
from ivr.pipeline.pictures.training_history import draw_history
from ivr.pipeline.runs.training_epochs import training_history

from .evaluated import Evaluated, PlotError, Source, evaluated, methods_of, run_of
from .found_hits import first_hits

if TYPE_CHECKING:
    from ivr.pipeline.pictures.style import Axes

ABOVE_LEGEND = 46
"""Points between axes and a title that stands above a legend of two lines."""

__all__ = [
    "PlotError",
    "class_precision",
    "code_health",
    "comparison",
    "confusion",
    "history",
    "hits",
    "precision",
    "precision_recall",
    "recall",
]


def precision(result: Source, ax: "Axes | None" = None, *, theme: ThemeName = "light") -> "Axes":
    """Draw mean precision over the number of retrieved items, both directions.

    Args:
        result: result of ``ivr.evaluate``, or a folder with results.json.
        ax: axes to draw into; None for new ones.
        theme: colours for a light or a dark background.

    Returns:
        The axes; precision in percent over the number of items, logarithmic.

    Raises:
        PlotError: no results in the folder, or results of an earlier version.
        CurvesError: damaged curves.
    """
    return _retrieved(result, ax, theme, "precision", draw_precision)


def recall(result: Source, ax: "Axes | None" = None, *, theme: ThemeName = "light") -> "Axes":
    """Draw mean recall over the number of retrieved items, both directions.

    Args:
        result: result of ``ivr.evaluate``, or a folder with results.json.
        ax: axes to draw into; None for new ones.
        theme: colours for a light or a dark background.

    Returns:
        The axes; recall in percent over the number of items, logarithmic.

    Raises:
        PlotError: no results in the folder, or results of an earlier version.
        CurvesError: damaged curves.
    """
    return _retrieved(result, ax, theme, "recall", draw_recall)


def precision_recall(
    result: Source, ax: "Axes | None" = None, *, theme: ThemeName = "light"
) -> "Axes":
    """Draw precision against recall within each Hamming radius, or rank, both directions.

    Args:
        result: result of ``ivr.evaluate``, or a folder with results.json.
        ax: axes to draw into; None for new ones.
        theme: colours for a light or a dark background.

    Returns:
        The axes; both in percent.

    Raises:
        PlotError: no results in the folder, or results of an earlier version.
        CurvesError: damaged curves.
    """
    found, colours = evaluated(result), _theme(theme)
    shown = evaluation_pictures.precision_recall_curves(found.results, found.curves)
    with _style_of(ax, colours):
        axes = _axes(ax, colours)
        draw_precision_recall(axes, shown, colours)
        return _titled(axes, "Precision against recall", found)


def class_precision(
    result: Source, ax: "Axes | None" = None, *, theme: ThemeName = "light"
) -> "Axes":
    """Draw the mean average precision of each class with n, both directions, the best on top.

    Args:
        result: result of ``ivr.evaluate``, or a folder with results.json.
        ax: axes to draw into; None for new ones, of a height for all classes.
        theme: colours for a light or a dark background.

    Returns:
        The axes; average precision in percent.

    Raises:
        PlotError: no results in the folder, results of an earlier version, or no classes.
    """
    found, colours = evaluated(result), _theme(theme)
    directions = evaluation_pictures.class_precisions(found.results)
    if not directions:
        raise PlotError(f"{found.folder}: its items have no classes")
    with _style_of(ax, colours):
        axes = _axes(ax, colours, height=class_precision_height(len(directions[0].classes)))
        draw_class_precision(axes, directions, colours)
        title = _title("Average precision by class", found)
        axes.set_title(title, loc="left", pad=ABOVE_LEGEND, parse_math=False)
    return axes


def confusion(
    result: Source, ax: "Sequence[Axes] | None" = None, *, theme: ThemeName = "light"
) -> "list[Axes]":
    """Draw the classes that the queries of each class find first, one panel per direction.

    A column on the right shows the ceiling of the diagonal where that is below 100 %, and a row
    below shows chance.

    Args:
        result: result of ``ivr.evaluate``, or a folder with results.json.
        ax: one axes per direction to draw into; None for new ones.
        theme: colours for a light or a dark background.

    Returns:
        The axes, one per direction; shares in percent.

    Raises:
        PlotError: no results in the folder, results of an earlier version, no classes, or too many.
    """
    found, colours = evaluated(result), _theme(theme)
    shown = code_pictures.confusions(found.results["health"])
    if not shown:
        raise PlotError(f"{found.folder}: its items have no classes, or too many for a confusion")
    with _style_of(ax, colours):
        panels = _panels(ax, len(shown), confusions_size(shown), colours)
        draw_confusions(panels, shown, colours)
        _heading(panels, _title("Confusion of classes", found), new=ax is None)
    return panels


def code_health(
    result: Source, ax: "Sequence[Axes] | None" = None, *, theme: ThemeName = "light"
) -> "list[Axes]":
    """Draw the distances of relevant and other pairs, voice to image, and the balance of bits.

    Args:
        result: result of ``ivr.evaluate``, or a folder with results.json.
        ax: two axes to draw into; None for new ones.
        theme: colours for a light or a dark background.

    Returns:
        Two axes: percent of pairs over Hamming distance in bits, and percent of items by bit.

    Raises:
        PlotError: no results in the folder, or results of an earlier version.
    """
    found, colours = evaluated(result), _theme(theme)
    health = found.results["health"]
    distances = distinct_distances(code_pictures.pair_distances(health))[-1]
    with _style_of(ax, colours):
        panels = _panels(ax, 2, (10.0, 4.2), colours)
        draw_distances(panels[0], distances, colours)
        draw_bit_balance(panels[1], code_pictures.bit_balances(health), colours)
        _heading(panels, _title("Health of codes", found), new=ax is None)
    return panels


def history(
    result: Source, ax: "Sequence[Axes] | None" = None, *, theme: ThemeName = "light"
) -> "list[Axes]":
    """Draw the losses and the validation mAP over the epochs, and mark the epoch that was kept.

    Args:
        result: result of ``ivr.evaluate``, or a run folder, evaluated or not.
        ax: two axes to draw into; None for new ones.
        theme: colours for a light or a dark background.

    Returns:
        Two axes: losses, and mAP in percent.

    Raises:
        PlotError: not a run folder, or a run without epochs.
    """
    folder = result if isinstance(result, str | Path) else result.folder
    run, colours = run_of(Path(folder)), _theme(theme)
    epochs = training_history(run)
    if epochs is None:
        raise PlotError(f"{run}: has no history of a training; it was computed in one step")
    with _style_of(ax, colours):
        panels = _panels(ax, 2, (8.6, 4.3), colours)
        draw_history(panels, epochs, colours)
        name = shown_text(run.resolve().name, 60)
        _heading(panels, f"History of the training, {name}", new=ax is None)
    return panels


def hits(
    result: Source,
    query: str,
    *,
    count: int = 10,
    root: str | Path | None = None,
    theme: ThemeName = "light",
) -> "list[Axes]":
    """Draw a voice with the first images that it finds, or an image with its first voices.

    A right hit has a check mark and a whole frame, a wrong one a cross and a dashed frame. As in
    Figs. 7 and 8 of the DIVH paper. For example ``ivr.plot.hits("run", "voices/airport_1.wav")``.

    Args:
        result: result of ``ivr.evaluate``, or a folder with results.json.
        query: name of an image or a voice that the evaluation asks with, as in the manifest.
        count: number of hits.
        root: folder that the names of files are relative to; None to look in the folder of the
            features and the two around it.
        theme: colours for a light or a dark background.

    Returns:
        The axes: one or two of the query, then one per hit, nearest first.

    Raises:
        PlotError: no results, codes that are newer than they are, or a file that is not found or
            cannot be read.
        UnknownNameError: no such query.
    """
    found, colours = evaluated(result), _theme(theme)
    place = None if root is None else Path(root)
    item, nearest, unit = first_hits(found, query, count, place)
    with styled(colours):
        sheet = new_sheet(hits_size(len(nearest)), colours)
        return list(draw_hits(sheet, item, nearest, unit, colours))


def comparison(
    results: "str | Path | Mapping[str, Source | Iterable[Source]]",
    ax: "Axes | None" = None,
    *,
    direction: str = "voice_to_image",
    theme: ThemeName = "light",
) -> "Axes":
    """Draw mean precision over retrieved items of several methods, with deviations over the seeds.

    For example ``ivr.plot.comparison({"divh": ["run-0", "run-1"], "lsh": "lsh-run"})``.

    Args:
        results: folder of ``ivr compare``; or by the name of the line the evaluations of one
            method, one per seed.
        ax: axes to draw into; None for new ones.
        direction: ``voice_to_image`` or ``image_to_voice``.
        theme: colours for a light or a dark background.

    Returns:
        The axes; precision in percent over the number of items, logarithmic.

    Raises:
        PlotError: nothing to compare, no results in a folder, or results of an earlier version.
        UnknownNameError: no such direction.
    """
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS)
    methods, colours = methods_of(results), _theme(theme)
    shown = [
        mean_precision_curve(name, [(each.results, each.curves) for each in found], direction)
        for name, found in methods.items()
    ]
    data = shown_text(next(iter(methods.values()))[0].subject.data, 60)
    title = f"Precision over retrieved items, {captions.ARROWS[direction]}, {data}"
    with _style_of(ax, colours):
        axes = _axes(ax, colours, width=6.8)
        draw_precision(axes, shown, colours)
        axes.set_title(title, loc="left", parse_math=False)
    return axes


def _retrieved(
    result: Source, ax: "Axes | None", theme: ThemeName, name: str, draw: Callable[..., Any]
) -> "Axes":
    found, colours = evaluated(result), _theme(theme)
    curves = evaluation_pictures.retrieved_curves(found.results, found.curves, name)
    with _style_of(ax, colours):
        axes = _axes(ax, colours)
        draw(axes, curves, colours)
        return _titled(axes, f"{name.capitalize()} over retrieved items", found)


def _theme(name: str) -> Theme:
    if name not in THEMES:
        raise unknown("theme", name, THEMES)
    return next(theme for theme in THEMES.values() if theme.name == name)


def _style_of(ax: object, theme: Theme) -> AbstractContextManager[None]:
    """Return the style of new axes; axes of the caller keep the caller's."""
    return styled(theme) if ax is None else nullcontext()


def _axes(
    ax: "Axes | None", theme: Theme = LIGHT, *, height: float = 4.0, width: float = 5.8
) -> "Axes":
    return ax if ax is not None else new_panels(1, (width, height), theme)[0]


def _panels(
    ax: "Sequence[Axes] | None", count: int, size: tuple[float, float], theme: Theme
) -> "list[Axes]":
    if ax is None:
        return new_panels(count, size, theme)
    panels = list(ax)
    if len(panels) != count:
        raise PlotError(f"{count} axes are needed, got {len(panels)}")
    return panels


def _title(kind: str, found: Evaluated) -> str:
    return captions.title(kind, found.subject)


def _titled(axes: "Axes", kind: str, found: Evaluated) -> "Axes":
    axes.set_title(_title(kind, found), loc="left", parse_math=False)
    return axes


def _heading(panels: "Sequence[Axes]", text: str, *, new: bool) -> None:
    """Write ``text`` above new panels; panels of the caller have titles of their own."""
    sheet = panels[0].get_figure(root=True)
    if new and sheet is not None:
        captions.put_title(sheet, text)
