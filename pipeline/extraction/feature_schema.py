"""What every table of features has, and when two were made in the same way."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivr.features.store import Shards, StoreError, Table, canonical_json, open_table

IMAGES, VOICES = "image features", "voice features"


def checked(table: Table) -> Table:
    """Return ``table`` when it has what every table of features has.

    Raises:
        StoreError: a column or the settings are missing, or do not belong together.
    """
    settings = table.config.get("settings")
    shape = settings.get("shape") if isinstance(settings, dict) else None
    kinds = {"names": ("S", 1), "stamps": ("u", 1), "vectors": ("f", 2)}
    if table.kind == VOICES:
        kinds["frames"] = ("i", 1)
    found = {name: (column.dtype.kind, len(column.shape)) for name, column in table.columns.items()}
    plain = isinstance(shape, list) and all(type(length) is int for length in shape)
    dim = math.prod(shape or ()) if plain else -1
    noted = isinstance(table.config.get("made_with", {}), dict)
    if found != kinds or table.columns["vectors"].shape[1] != dim or not noted:
        raise StoreError(f"{table.path}: not a table that ivr extract writes; make it again")
    return table


def shards_of(path: Path, kind: str) -> Shards:
    """Return the shards that the feature file ``path`` is assembled from."""
    return Shards(path.with_suffix(".shards"), kind)


def held_tables(path: Path, kind: str) -> list[Table]:
    """Return the feature file ``path``, where there is one, and its shards.

    Raises:
        StoreError: the file is not one of features.
    """
    whole = [open_table(path, kind)] if path.exists() else []
    return [checked(table) for table in (*whole, *shards_of(path, kind).tables())]


def same_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether rows of the configs ``one`` and ``other`` may stand in one file."""
    return canonical_json(one["settings"]) == canonical_json(other["settings"])


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the first setting in which two configs differ, in words."""
    theirs, mine = old["settings"], new["settings"]
    pairs = {name: (mine.get(name), theirs.get(name)) for name in {**mine, **theirs}}
    name = next(n for n, (one, other) in pairs.items() if json.dumps(one) != json.dumps(other))
    return f"{name}: {theirs.get(name)}, now {mine.get(name)}"
