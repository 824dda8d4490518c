"""``ivr compare``: features to runs of many methods, each an ordinary run folder, and one table.

A stopped comparison goes on from the last epoch of every run.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib

from ivr.features.atomic_files import require_writable
from ivr.pipeline.evaluation.picture_subject import data_name
from ivr.pipeline.evaluation.protocol import PROTOCOLS
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.progress import progress, say
from ivr.pipeline.runtime.results import TableResult, json_value

from .columns import DIFFERENCE, Column, chosen_columns
from .compare_config import CompareConfig
from .comparison_pictures import precision_picture, write_comparison_picture
from .comparison_table import comparison_table
from .declaration import (
    RENAMED,
    TableDeclaration,
    declaration_of,
    declared_rows,
    reference_of,
    subject_of,
    table_name,
)
from .evaluated_runs import ComparisonRow, read_rows
from .generalisation import check_notes, checks_of
from .grid import Grid, grid_of
from .plan import ComparisonPlan, planned_runs
from .preset_metrics import preset_metrics
from .running import Outcome, outcomes
from .sweep import Sweep
from .sweep_pictures import sweep_picture
from .table import Table
from .table_formats import as_json, as_text, table_rows, write_table_files
from .table_place import require_place, require_table_name, table_choices
from .table_title import table_label, table_title
from .tasks import checked_tasks, unfinished


@dataclass(frozen=True, repr=False)
class ComparisonResult(TableResult):
    """The table of a comparison and the runs that it lacks; its repr is the printed table.

    Attributes:
        table: the table.
        failures: runs that failed, with the last lines of their logs.
        busy: names of the runs that were skipped because another process is running them.
        files: files of the table and its picture.
    """

    table: Table
    failures: tuple[Outcome, ...]
    busy: tuple[str, ...]
    files: tuple[Path, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per row of the table: kind, heads, metrics and note."""
        return table_rows(self.table)

    def to_dict(self) -> dict[str, Any]:
        """Return the table, the failures and the skipped runs as JSON values."""
        return {
            **as_json(self.table),
            "failures": [
                {"run": one.name, "failure": one.failure, "log": list(one.log)}
                for one in self.failures
            ],
            "busy": list(self.busy),
            "files": json_value(self.files),
        }

    def __repr__(self) -> str:
        """Return the table as text, then one line per failed run."""
        failed = [f"failed: {one.name}: {one.failure}" for one in self.failures]
        return "\n".join([as_text(self.table), *failed])


def compare(
    features: str | Path, out: str | Path, config: CompareConfig | None = None, **options: Any
) -> ComparisonResult:
    """Train and evaluate the runs that are missing and return one table of all.

    A run that fails ends no other run: the result names it, and the folder of the run holds its
    messages in ``log.txt``.

    Args:
        features: folder that ``ivr extract`` wrote.
        out: folder of the comparison; runs are shared by all tables in it.
        config: what is compared; None for the defaults.
        options: fields of :class:`CompareConfig`, which override ``config``.

    Raises:
        CompareError: the table would replace another one that shows more.
        StoreError, ManifestError, DeviceError, UnwritableError: see their modules.
        ValueError: a choice that is not possible (most of them an OptionError).
    """
    chosen = chosen_config(config, options)
    require_writable(Path(out))
    grid = _grid(Path(features), chosen)
    _require_place(Path(out), grid, chosen)
    done, refused = run_grid(
        Path(features), Path(out), grid, jobs=chosen.jobs, threads=chosen.threads
    )
    rows, unread = read_rows(Path(out), grid, refused)
    named = {outcome.name for outcome in done}
    done += [Outcome(name, text) for name, text in unread.items() if name not in named]
    table, files = write_table(Path(features), Path(out), grid, rows, chosen)
    return ComparisonResult(
        table,
        tuple(outcome for outcome in done if outcome.failure),
        tuple(outcome.name for outcome in done if outcome.busy),
        tuple(files),
    )


def plan(
    features: str | Path, out: str | Path, config: CompareConfig | None = None, **options: Any
) -> ComparisonPlan:
    """Return what :func:`compare` would do with the same arguments, without doing it.

    Raises:
        RunError: a folder that holds another run than the one asked for.
        StoreError, ManifestError: see their modules.
        ValueError: a choice that is not possible (most of them an OptionError).
    """
    chosen = chosen_config(config, options)
    grid = _grid(Path(features), chosen)
    runs = planned_runs(Path(features), Path(out), grid, chosen.threads)
    return ComparisonPlan(tuple(runs), chosen.jobs)


def chosen_config(
    config: CompareConfig | None, options: Mapping[str, Any] | None = None
) -> CompareConfig:
    """Return ``config`` with ``options`` over it, checked without the features.

    An earlier name of a preset is replaced by its present one, with a message.

    Raises:
        ValueError: a choice that is not possible (most of them an OptionError).
    """
    chosen = with_options(config or CompareConfig(), options or {})
    if chosen.preset in RENAMED:
        say(f"the preset {chosen.preset} is now called {RENAMED[chosen.preset]}")
        chosen = replace(chosen, preset=RENAMED[chosen.preset])
    require_table_name(table_name(chosen))
    grid = grid_of(chosen)
    _columns(declaration_of(chosen), chosen, grid.protocol)
    return chosen


def run_grid(
    features: Path, out: Path, grid: Grid, *, jobs: int = 1, threads: int = 1
) -> tuple[list[Outcome], set[str]]:
    """Train and evaluate the runs of ``grid`` that are missing, and return their outcomes.

    A folder that holds another run than the one asked for, or a damaged one, is a failure.

    Args:
        features: folder of the features.
        out: folder of the comparison.
        grid: what is compared.
        jobs: runs at once, 0 for one per core.
        threads: threads of torch and BLAS in each run; results depend on it in their last digits,
            which training amplifies.

    Returns:
        The outcomes, and the names of the folders that hold another run: what was measured there
        belongs in no table of ``grid``.

    Raises:
        StoreError, ManifestError, DeviceError: see their modules.
    """
    choose_device(grid.device)
    asked, refused = checked_tasks(features, out, grid)
    done = [Outcome(name, str(error)) for name, error in refused.items()]
    left = unfinished(asked)
    if not left:
        return done, set(refused)
    at_once = min(jobs or joblib.cpu_count(), len(left))
    with closing(outcomes(features, left, at_once, threads)) as found:
        for outcome in progress(found, len(left), "runs"):
            done.append(outcome)
            say(_outcome_text(outcome))
    return done, set(refused)


def write_table(
    features: Path, out: Path, grid: Grid, rows: Sequence[ComparisonRow], config: CompareConfig
) -> tuple[Table, list[Path]]:
    """Write the table of the preset of ``config`` in every format; return it and the files.

    Raises:
        CompareError, RunError, CurvesError: damaged files of a run.
    """
    declared, name = declaration_of(config), table_name(config)
    sweep = declared_rows(declared, config.methods)[1]
    columns = _columns(declared, config, grid.protocol)
    shown = [row for row in rows if declared.by_sign or not row.by_sign]
    kinds = declared.check_kinds()
    checks = check_notes(grid.checks, grid.seeds, kinds) if kinds else []
    labels = [variant.label for variant in grid.variants]
    results = (evaluation.results for row in shown for evaluation in row.evaluations.values())
    first = next(results, {"features": {"folder": str(features.resolve())}})
    data = config.data or data_name(first)
    table = comparison_table(
        table_title(subject_of(declared, sweep), data, shown),
        grid,
        shown,
        columns,
        preset_metrics(declared.source, features, shown, columns),
        reference=reference_of(declared, config.reference, labels),
        differences=_has_differences(declared, config),
        published=None if declared.published == "none" else declared.published,
        unit=declared.unit,
        notes=(*declared.notes, *checks),
        label=table_label(name, data),
    )
    _require_place(out, grid, config)  # another process may have written one meanwhile
    files = write_table_files(out, name, table)
    return table, [*files, *_pictures(declared, sweep, out, name, table, shown)]


def _grid(features: Path, config: CompareConfig) -> Grid:
    """Return the grid of ``config``, with the checks that the features allow if it has any."""
    data = open_features(features)
    checks = checks_of(data, declaration_of(config).check_kinds())
    return grid_of(config, checks, data.voice_streams())


def _require_place(out: Path, grid: Grid, config: CompareConfig) -> None:
    declared = declaration_of(config)
    keys = [column.key for column in _columns(declared, config, grid.protocol)]
    shows = _has_differences(declared, config)
    require_place(out, table_name(config), table_choices(grid), keys, differences=shows)


def _has_differences(declared: TableDeclaration, config: CompareConfig) -> bool:
    return declared.differences and (not config.columns or DIFFERENCE in config.columns)


def _columns(
    declared: TableDeclaration, config: CompareConfig, protocol: str
) -> tuple[Column, ...]:
    """Return the columns of the table without those of the differences."""
    usual = declared.columns(PROTOCOLS[protocol].relevance)
    if not config.columns:
        return usual
    return chosen_columns(config.columns, declared.source, usual, differences=declared.differences)


def _pictures(
    declared: TableDeclaration,
    sweep: Sweep | None,
    out: Path,
    name: str,
    table: Table,
    rows: Sequence[ComparisonRow],
) -> list[Path]:
    files: list[Path] = []
    if not any(row.evaluations for row in rows):
        return files
    if declared.picture == "curves":
        files += write_comparison_picture(out, precision_picture(f"{name}-precision", rows))
    if sweep is not None and any(column.name == "mAP" for column in table.columns):
        files += write_comparison_picture(out, sweep_picture(f"{name}-sweep", table, sweep, rows))
    return files


def _outcome_text(outcome: Outcome) -> str:
    if outcome.busy:
        return f"{outcome.name}: skipped, another process is running it"
    if outcome.mean_average_precision is None:
        return f"{outcome.name}: failed"
    image_to_voice, voice_to_image = outcome.mean_average_precision
    return f"{outcome.name}: mAP {image_to_voice:.2f} I→V, {voice_to_image:.2f} V→I"
