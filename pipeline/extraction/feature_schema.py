"""Columns and settings of feature files, and when two files were made in the same way.

``config`` of a feature file has two parts. ``settings`` decide the vectors: rows whose settings
differ never stand in one file. ``made_with`` records what can move the last digits only (library
versions, device, backend, batch size) and where the weights came from; it is not compared.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ivr.features.mfcc import VoiceConfig
from ivr.features.shards import Shards
from ivr.features.store import StoreError, Table, canonical_json, has_columns, open_table
from ivr.features.voice_encoder_config import MFCC
from ivr.features.voice_streams import STREAMS

IMAGES, VOICES = "image features", "voice features"
FILES = {"images.h5": IMAGES, "voices.h5": VOICES}
"""Names of the feature files of a folder, and their kinds."""
COLUMNS = {"names": ("S", 1), "stamps": ("u", 1), "vectors": ("f", 2)}
VOICE_COLUMNS = {**COLUMNS, "frames": ("i", 1)}
# Earlier versions kept the backend of the MFCC in the settings. All backends give the same numbers
# to the last digits, and which one is taken depends on the device.
NOT_COMPARED = ("backend",)
NOT_RECORDED = "not recorded"
"""Stands for a setting that the features of an earlier version lack."""
# Settings that earlier versions lack, and their value that changes nothing: it is not recorded.
LATER = {"trim_silence": VoiceConfig.trim_silence, "voice_encoder": MFCC}


def stream_rows(streams: Sequence[str], held: Sequence[str] = STREAMS) -> list[int]:
    """Return the positions of ``streams`` among those that voice features ``held``.

    Raises:
        StoreError: there is no such stream.
    """
    unknown = [stream for stream in streams if stream not in held]
    if unknown:
        raise StoreError(f"no voice stream {unknown[0]!r}; there are {', '.join(held)}")
    return [list(held).index(stream) for stream in streams]


def checked(table: Table) -> Table:
    """Return ``table`` if it has the columns and settings of a feature file.

    Raises:
        StoreError: a column or the settings are missing, or do not belong together.
    """
    settings = table.config.get("settings")
    shape = settings.get("shape") if isinstance(settings, dict) else None
    plain = isinstance(shape, list) and all(type(length) is int for length in shape)
    dim = math.prod(shape or ()) if plain else -1
    if (
        not has_columns(table, VOICE_COLUMNS if table.kind == VOICES else COLUMNS)
        or table.columns["vectors"].shape[1] != dim
        or not isinstance(table.config.get("made_with", {}), dict)
    ):
        raise StoreError(f"{table.path}: not a table that ivr extract writes; make it again")
    return table


def shards_of(path: Path, kind: str) -> Shards:
    """Return the shards that the feature file ``path`` is assembled from."""
    return Shards(path.with_suffix(".shards"), kind)


def held_tables(path: Path, kind: str) -> list[Table]:
    """Return the feature file ``path``, if it exists, and its shards.

    Raises:
        StoreError: the file is not a feature file.
    """
    whole = [open_table(path, kind)] if path.exists() else []
    return [checked(table) for table in (*whole, *shards_of(path, kind).tables())]


def compared_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``settings`` that decide the vectors."""
    return {
        name: value
        for name, value in settings.items()
        if name not in NOT_COMPARED and not (name in LATER and value == LATER[name])
    }


def different_settings(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Return name, old and new value of each setting that differs; one may be ``NOT_RECORDED``.

    Args:
        old: settings.
        new: settings.
    """
    theirs, mine = compared_settings(old), compared_settings(new)
    found = []
    for name in {**mine, **theirs}:
        one, other = ({name: some[name]} if name in some else {} for some in (theirs, mine))
        if canonical_json(one) != canonical_json(other):  # which also tells 80 from 80.0
            before, now = (some.get(name, LATER.get(name, NOT_RECORDED)) for some in (theirs, mine))
            found.append((name, before, now))
    return found


def same_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether rows of files with the configs ``one`` and ``other`` may stand in one file."""
    return not different_settings(one["settings"], other["settings"])


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the settings in which the configs ``old`` and ``new`` differ, in words."""
    found = different_settings(old["settings"], new["settings"])
    return "; ".join(f"{name}: {before}, now {now}" for name, before, now in found)


def joint_config(tables: Iterable[Table], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a file that has rows of all ``tables``.

    A note can differ between tables, e.g. the backend after a move to another machine. All its
    values are kept, joined by ``and``.

    Args:
        tables: tables made with the same settings.
        settings: settings of the file.
    """
    found: dict[str, list[str]] = {}
    kept: dict[str, Any] = {}
    for table in tables:
        old_notes = {n: v for n, v in table.config["settings"].items() if n in NOT_COMPARED}
        for name, value in {**old_notes, **table.config.get("made_with", {})}.items():
            kept.setdefault(name, value)
            texts = found.setdefault(name, [])
            texts += [text for text in str(value).split(" and ") if text not in texts]
    made_with = {
        name: kept[name] if len(texts) == 1 else " and ".join(sorted(texts))
        for name, texts in found.items()
    }
    return {"settings": compared_settings(settings), "made_with": made_with}
