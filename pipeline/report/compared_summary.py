"""The first lines of the report of a comparison: the best row, how far ahead, and what to doubt."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ivr.pipeline.comparison.table_file import TableLine
from ivr.pipeline.comparison.training_lengths import TrainingLength, training_length, training_notes
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runs.run_folder import read_config
from ivr.pipeline.runtime.words import counted

from .caveats import Caveat, few_queries
from .compared import Compared, mean_map, run_folders
from .evaluated_run import EvaluatedRun
from .query_cards import DIRECTION_WORDS

WAYS = tuple(reversed(DIRECTIONS))
"""Directions in the order of the page: voices that ask come first."""


def summary(found: Compared, run: EvaluatedRun) -> list[str]:
    """Return which row is best by mean mAP, how far ahead it is, and what that does not say.

    Args:
        found: the comparison.
        run: one of its runs, for chance.

    Returns:
        Sentences; none for a table without mAP, and for one whose rows are several checks of a run.
    """
    known = {
        name: line
        for name, line in found.names.items()
        if all(line["figures"].get(f"{way}.mAP") is not None for way in WAYS)
    }
    if not known or "check" in found.table["heads"]:
        return []
    best, *others = sorted(known, key=lambda name: -mean_map(known[name]))
    figures = known[best]["figures"]
    values = " / ".join(f"{figures[f'{way}.mAP']:.1f}" for way in WAYS)
    chance = " / ".join(f"{run.results['chance'][way]['mAP']:.1f}" for way in WAYS)
    words = " / ".join(DIRECTION_WORDS[way] for way in WAYS)
    told = [
        f"{best} is best by mean mAP of both directions: {values} % ({words}; chance {chance})."
    ]
    if others:
        told.append(_ahead(others[0], known[best], known[others[0]]))
    counts = sorted({len(line["evaluations"]) for line in known.values()})
    trainings = counted(counts[0], "training") if len(counts) == 1 else f"{counts[0]} or more"
    told.append(
        f"Each row has {trainings}. This cannot say whether the order stays the same with other "
        "seeds, other voices or other images."
    )
    return told


def _ahead(name: str, best: TableLine, second: TableLine) -> str:
    """Return how far the ``best`` row is ahead of the second, by the differences of the table."""
    ours, theirs = best["figures"], second["figures"]
    if any(f"{way}.difference" in ours or f"{way}.difference" not in theirs for way in WAYS):
        apart = " / ".join(f"{ours[f'{way}.mAP'] - theirs[f'{way}.mAP']:.1f}" for way in WAYS)
        return f"It is ahead of {name} by {apart} points; the table has no interval for this."
    apart = " / ".join(_interval(theirs, f"{way}.difference") for way in WAYS)
    doubtful = [way for way in WAYS if theirs[f"{way}.difference.high"] >= 0]
    end = (
        f"; the interval includes 0 ({' and '.join(DIRECTION_WORDS[way] for way in doubtful)}), so "
        "which of them is better is not certain"
        if doubtful
        else ""
    )
    return (
        f"It is ahead of {name} by {apart} points, with the 95 % interval over queries of the same "
        f"kind{end}."
    )


def _interval(figures: Mapping[str, Any], key: str) -> str:
    """Return a difference of the second row from the best one as that of the best."""
    value, low, high = (0.0 - float(figures[f"{key}{end}"]) for end in ("", ".high", ".low"))
    return f"{value:.1f} [{low:.1f} to {high:.1f}]"


def training_warnings(found: Compared) -> list[str]:
    """Return the notes on the epochs of the rows: not the default number, or still rising."""
    return training_notes([one for one in training_lengths(found).values() if one])


def training_lengths(found: Compared) -> dict[str, TrainingLength | None]:
    """Return the epochs of each row by its name; rows that rank the same runs stand once."""
    lengths: dict[str, TrainingLength | None] = {}
    seen = set()
    for name in found.names:
        runs = run_folders(found, name)
        if (places := tuple(runs.values())) not in seen:
            seen.add(places)
            method = str(read_config(places[0])["method"])
            lengths[name] = training_length(name, method, places)
    return lengths


def few_trainings(found: Compared, run: EvaluatedRun) -> list[Caveat]:
    """Return how many trainings and queries are behind the numbers."""
    counts = [len(line["evaluations"]) for line in found.names.values()]
    text = (
        f"Only {counted(min(counts), 'training')} per row: the standard deviation over seeds is "
        "hardly known, and another seed gives another split and other weights."
        if min(counts) < 5
        else f"{counted(min(counts), 'training')} per row, each with a split of its own."
    )
    queries = few_queries(run)
    shown = f"{run.config['method']}, seed {run.config['seed']}"
    return [
        Caveat("limit", "Few trainings" if min(counts) < 5 else "Trainings", text),
        replace(queries, text=f"{queries.text} Counted for {shown}."),
    ]
