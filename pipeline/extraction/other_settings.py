"""Rows in the place of a feature file that were made with other settings: refused or replaced."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ivr.features.store import Table, require_place
from ivr.features.waveform_augmentation import changes_of
from ivr.pipeline.runtime.progress import warn

from .extract_config import ExtractConfig
from .feature_schema import differences, held_tables
from .finished_rows import changes_as_options, has_settings_of
from .target import ExtractError, Target


def require_settings_of_each(
    targets: Iterable[Target | None], out: Path, config: ExtractConfig
) -> None:
    """Call :func:`require_same_settings` for each target there is, before any row is made."""
    for target in targets:
        if target is not None:
            require_same_settings(target, out, config)


def require_same_settings(target: Target, out: Path, config: ExtractConfig) -> None:
    """Refuse to replace rows of other settings, unless ``config.overwrite``; then say it.

    Shards with the settings of ``target`` beside a whole file with others come from an overwriting
    that was interrupted; it may go on without the option.

    Args:
        target: the feature file to make.
        out: folder of features; a task of a job array makes rows that are merged into it.
        config: how features are made.

    Raises:
        ExtractError: there are rows of other settings.
        InTheWayError: something else than a file of ivr lies there.
        StoreError: the file is not a feature file.
    """
    for path in dict.fromkeys((target.path, out / target.path.name)):
        _require_same(replace(target, path=path), config.overwrite)


def _require_same(target: Target, overwrite: bool) -> None:
    if not target.path.is_symlink():  # it may be read through a link, if no row is missing
        require_place(target.path, target.kind)
    tables = held_tables(target.path, target.kind)
    other = [table for table in tables if not has_settings_of(table, target)]
    if not other:
        return
    found = differences(other[0].config, target.config)
    begun = any(table.path != target.path for table in tables if table not in other)
    if not overwrite and (not begun or any(table.path != target.path for table in other)):
        raise ExtractError(
            f"{target.path}: was made with other settings ({found}); give another --out, "
            "or replace it with --overwrite"
        )
    _say_replaced(target, other, found)


def _say_replaced(target: Target, other: Sequence[Table], found: str) -> None:
    warn(f"{target.path}: was made with other settings ({found}; all rows are made anew)")
    dropped = changes_of(other[0].text("names")) - changes_of(target.names)
    if dropped:
        warn(f"{target.path}: but not those of {changes_as_options(dropped)}")
