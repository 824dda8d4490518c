"""A comparison as it is read for a report: its table, its rows, and two runs side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ivr.pipeline.comparison.table_file import TableFile, TableLine, read_table_file, table_files
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.runs.run_folder import read_config

from .evaluated_run import EvaluatedRun, PageError, read_evaluation
from .report_config import ReportConfig


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison as it is read for a report.

    Attributes:
        folder: its folder.
        path: the file of its table.
        table: the table.
        lines: its rows.
        names: name of each row that has evaluations, unique.
        sides: the two runs whose answers are shown, by name; none if there are fewer.
    """

    folder: Path
    path: Path
    table: TableFile
    lines: Sequence[TableLine]
    names: Mapping[str, TableLine]
    sides: tuple[tuple[str, EvaluatedRun], ...]


def read_comparison(folder: Path, config: ReportConfig) -> Compared:
    """Return the comparison in ``folder`` with the two runs whose answers are shown.

    Raises:
        PageError: no such table or row, or rows without a common seed.
        CompareError, RunError, StoreError: files that are missing or damaged.
    """
    path = _table_path(folder, config.table)
    table, lines = read_table_file(path)
    heads = table["heads"]
    names: dict[str, TableLine] = {}
    for line in lines:
        if line["kind"] == "measured" and line["evaluations"]:
            names[_row_name(line, heads, lines)] = line
    if not names:
        raise PageError(f"{path}: no evaluated run; finish it with ivr compare")
    chosen = _chosen(names, config.methods, path)
    sides = _sides(folder, names, chosen) if chosen else ()
    return Compared(folder, path, table, lines, names, sides)


def first_run(found: Compared) -> EvaluatedRun:
    """Return the first run of the comparison."""
    line = next(iter(found.names.values()))
    return run_of(found.folder, min(line["evaluations"].items(), key=lambda one: int(one[0]))[1])


def _table_path(folder: Path, name: str | None) -> Path:
    there = table_files(folder)
    known = ", ".join(path.stem for path in there) or "none"
    if name is not None:
        for path in there:
            if path.stem == name:
                return path
        raise PageError(f"{folder}: no table {name!r}; there are {known}")
    if not there:
        raise PageError(f"{folder}: no table; make it with ivr compare FEATURES --out {folder}")
    usual = [path for path in there if path.stem == "compare"]
    if not usual and len(there) > 1:
        raise PageError(f"{folder}: several tables ({known}); choose one with --table")
    return (usual or there)[0]


def _row_name(line: TableLine, heads: Sequence[str], lines: Sequence[TableLine]) -> str:
    """Return the text that tells a row from the others: its heads in which the rows differ."""
    values: Mapping[str, Any] = line
    measured = [other for other in lines if other["kind"] == "measured"]
    told = [
        str(values.get(head, ""))
        for head in heads
        if head == heads[0] or len({str(dict(other).get(head)) for other in measured}) > 1
        if head != "seeds"
    ]
    return ", ".join(told)


def mean_map(line: TableLine) -> float:
    """Return the mean mAP of both directions, percent; below every number if it has none."""
    values = [line["figures"].get(f"{direction}.mAP") for direction in DIRECTIONS]
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else float("-inf")


def _chosen(
    names: Mapping[str, TableLine], methods: Sequence[str], path: Path
) -> tuple[str, str] | None:
    """Return the two rows that are put side by side; None if there is one row only."""
    if methods:
        for name in methods:
            if name not in names:
                raise PageError(f"{path}: no row {name!r}; there are {'; '.join(names)}")
        first, second = methods
        return first, second
    ordered = sorted(names, key=lambda name: -mean_map(names[name]))
    return (ordered[0], ordered[1]) if len(ordered) > 1 else None


def _sides(
    folder: Path, names: Mapping[str, TableLine], chosen: tuple[str, str]
) -> tuple[tuple[str, EvaluatedRun], ...]:
    """Return the runs of the ``chosen`` rows with the first seed that both have."""
    lines = [names[name] for name in chosen]
    common = set(lines[0]["evaluations"]) & set(lines[1]["evaluations"])
    if not common:
        raise PageError(f"{folder}: {' and '.join(chosen)} have no seed in common")
    seed = min(common, key=int)
    return tuple(
        (name, run_of(folder, line["evaluations"][seed]))
        for name, line in zip(chosen, lines, strict=True)
    )


def run_folders(found: Compared, name: str) -> dict[str, Path]:
    """Return the run folders of the row ``name`` by seed."""
    places = found.names[name]["evaluations"].items()
    return {seed: evaluation_folder(found.folder, place).parent.parent for seed, place in places}


def evaluation_folder(folder: Path, place: str) -> Path:
    """Return the folder of the evaluation at ``place`` below the comparison ``folder``.

    Raises:
        PageError: it leads elsewhere.
    """
    evaluation = folder / place
    if not evaluation.resolve().is_relative_to(folder.resolve()) or len(Path(place).parts) != 4:
        raise PageError(f"{folder}: its table names {place!r}, which is no run in it")
    return evaluation


def run_of(folder: Path, place: str) -> EvaluatedRun:
    """Return the run of the evaluation at ``place`` below ``folder``."""
    evaluation = evaluation_folder(folder, place)
    run = evaluation.parent.parent
    return read_evaluation(run, read_config(run), evaluation)
