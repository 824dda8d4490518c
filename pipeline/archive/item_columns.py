"""Columns of the table of an archive: those that every archive has, and further ones with types."""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from math import isinf
from typing import Any

import pyarrow as pa

from .lance_library import ArchiveError
from .settings import ArchiveSettings, as_metadata

MODALITIES = ("image", "voice")
TIME = pa.timestamp("us", tz="UTC")
OWN: dict[str, pa.DataType] = {
    "name": pa.string(),
    "modality": pa.string(),
    "code": pa.list_(pa.uint8(), 8),
    "label": pa.string(),
    "caption": pa.string(),
    "speaker": pa.string(),
    "file": pa.string(),
    "root": pa.string(),
    "stamp": pa.uint64(),
    "added": TIME,
    "crs": pa.string(),
    "pixel_size": pa.float64(),
    "time": TIME,
    "min_x": pa.float64(),
    "min_y": pa.float64(),
    "max_x": pa.float64(),
    "max_y": pa.float64(),
    "west": pa.float64(),
    "south": pa.float64(),
    "east": pa.float64(),
    "north": pa.float64(),
    "window_x": pa.int32(),
    "window_y": pa.int32(),
    "window_width": pa.int32(),
    "window_height": pa.int32(),
}
"""Columns that every archive has, with their types; the code has the length of its archive."""
REQUIRED = ("name", "modality", "code", "file", "root", "stamp", "added")
"""Columns without missing values."""
DESCRIBED = (
    *("label", "caption", "speaker", "crs", "pixel_size", "time"),
    *("min_x", "min_y", "max_x", "max_y", "west", "south", "east", "north"),
)
"""Own columns that a manifest may fill."""
KEY = ("modality", "name")
"""Columns that identify a row."""
TYPES = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": TIME,
    "string": pa.string(),
}
"""Types of further columns, in the order in which they are tried."""
_EXACT = 1 << 53
"""Whole numbers up to this one are floats without loss."""
_BOOLEANS = {"true": True, "false": False}
_NUMBERS = (pa.int64(), pa.float64())
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?")
_NAME = re.compile(r"[^\W\d]\w*( \w+)*")


def items_schema(settings: ArchiveSettings) -> pa.Schema:
    """Return the schema of the table of an archive without rows."""
    fields = [
        pa.field(name, kind, nullable=name not in REQUIRED)
        for name, kind in {**OWN, "code": code_type(settings.bits)}.items()
    ]
    return pa.schema(fields, metadata=as_metadata(settings))


def code_type(bits: int) -> pa.DataType:
    """Return the type of a packed code of ``bits`` bits."""
    return pa.list_(pa.uint8(), bits // 8)


def type_of(values: Sequence[str]) -> str:
    """Return the narrowest type that holds all ``values``, ``""`` being a missing one.

    Returns:
        A key of :data:`TYPES`; ``string`` if no value is given.
    """
    given = [value for value in values if value]
    if given and all(map(_INTEGER.fullmatch, given)):
        # 007 is a name: as a number it would lose its zeros.
        return "string" if any(map(_leads_with_zero, given)) else "integer"
    if given and all(map(_FLOAT.fullmatch, given)):
        return "string" if any(map(_is_no_float, given)) else "float"
    if given and all(value.lower() in _BOOLEANS for value in given):
        return "boolean"
    if given and all(map(_is_time, given)):
        return "timestamp"
    return "string"


def converted(name: str, values: Sequence[str], kind: pa.DataType) -> pa.Array:
    """Return ``values`` as an array of the type ``kind``; ``""`` is a missing value.

    Args:
        name: the column, for the message.
        values: texts of a manifest.
        kind: type of the column in the archive.

    Raises:
        ArchiveError: a value of another type.
    """
    convert = _CONVERSIONS.get(kind)
    if convert is None:
        raise ArchiveError(f"column {name}: the archive has it as {kind}, which no manifest fills")
    found = []
    for value in values:
        try:
            found.append(convert(value) if value else None)
            if kind in _NUMBERS and name not in OWN and value and _is_changed(value, kind):
                raise ValueError(value)
        except (ValueError, KeyError, OverflowError) as error:
            raise ArchiveError(
                f"column {name}: {value!r} is not of the type of the archive's column, "
                f"{type_name(kind)}; correct it, or rename the column"
            ) from error
    return pa.array(found, kind)


def type_name(kind: pa.DataType) -> str:
    """Return the word for a type: that of :data:`TYPES`, or Arrow's own."""
    return next((name for name, own in TYPES.items() if own == kind), str(kind))


def moment(text: str) -> datetime:
    """Return the time that ``text`` (ISO 8601) means, in UTC; without a zone it is UTC.

    Raises:
        ValueError: it means none.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def require_further_column(name: str) -> None:
    """Refuse a column of a manifest that an archive cannot keep under its name.

    Raises:
        ArchiveError: its name is one of the archive's own, or SQL does not take it.
    """
    if name in OWN:
        raise ArchiveError(f"column {name}: the archive sets it itself; rename it")
    if not _NAME.fullmatch(name) or name.startswith("_"):
        raise ArchiveError(
            f"column {name!r}: its name must be words of letters, digits and underscores that "
            "begin with a letter; rename it"
        )


def beside(names: Sequence[str], taken: Collection[str]) -> list[str]:
    """Return ``names`` with underscores behind those that an answer or an export sets itself.

    Args:
        names: names of columns.
        taken: names that are set, in small letters.
    """
    shown: list[str] = []
    for name in names:
        other = name
        while other.lower() in taken or (other != name and other in (*names, *shown)):
            other += "_"
        shown.append(other)
    return shown


def _is_time(value: str) -> bool:
    try:
        return bool(_TIME.fullmatch(value) and moment(value))
    except (ValueError, OverflowError):
        return False


def _leads_with_zero(value: str) -> bool:
    digits = value.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()


def _is_no_float(value: str) -> bool:
    """Return whether a number would be another one as a float."""
    if _leads_with_zero(value) or isinf(float(value)):
        return True
    return value.lstrip("+-").isdigit() and abs(int(value)) > _EXACT


def _is_changed(value: str, kind: pa.DataType) -> bool:
    """Return whether a text that reads as a number says more than the number: 007 is a name."""
    return _leads_with_zero(value) or (kind == pa.float64() and _is_no_float(value))


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if not _FLOAT.fullmatch(text) or isinf(float(text)):
        raise ValueError(text)
    return float(text)


_CONVERSIONS: dict[pa.DataType, Callable[[str], Any]] = {
    pa.int64(): _integer,
    pa.float64(): _number,
    pa.bool_(): lambda text: _BOOLEANS[text.lower()],
    TIME: moment,
    pa.string(): str,
}
