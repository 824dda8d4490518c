"""Where a table of a comparison is written: no table takes the place of another one.

The files of a table carry its name. A later call may put a table with more rows, columns or seeds
in the place of an earlier one, but not one that lacks what the earlier one shows.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ivr.pipeline.runtime.config_options import OptionError

from .columns import DIFFERENCE
from .evaluated_runs import CompareError
from .grid import Grid, settings_that_differ, streams_name
from .table_file import TableFile, read_any_table

ENDINGS = ("csv", "md", "tex", "json")
"""Formats of a table, each a file of its name."""
PICTURES = ("precision", "sweep")
"""Ends of the names of the pictures of a table: ``NAME-precision.png``."""
RESERVED = ("digests",)
"""Names whose files the folder of a comparison holds besides."""
_NAME = re.compile(r"[\w][\w.+-]{0,99}")


def require_table_name(name: str) -> None:
    """Refuse a name of a table that could not name files everywhere.

    Raises:
        OptionError: it holds other characters than letters, digits, ``.``, ``+``, ``_`` and ``-``,
            is longer than 100, or names another file of a comparison.
    """
    if not _NAME.fullmatch(name) or name.lower() in RESERVED:
        raise OptionError(
            f"{name!r} cannot name a table: give 1 to 100 letters, digits, hyphens, points or "
            f"underscores{', and not ' + name if name.lower() in RESERVED else ''}"
        )


def table_choices(grid: Grid) -> dict[str, Any]:
    """Return what decides the rows of a table of ``grid``, as JSON values.

    Seeds are left out: a table over more seeds is the same table.
    """
    return {
        "protocol": grid.protocol,
        "split": grid.share(),
        "rows": [
            ", ".join(
                [
                    *dict.fromkeys((row.variant.label, row.variant.method)),
                    f"{row.bits} bits",
                    streams_name(row.streams),
                    {"one": "one voice per image", "all": "all voices"}[row.voices],
                    *settings_that_differ(row.variant),
                ]
            )
            for row in grid.rows()
            if row.left_out == grid.checks[0].left_out
        ],
    }


def require_place(
    folder: Path,
    name: str,
    choices: Mapping[str, Any],
    columns: Sequence[str],
    *,
    differences: bool,
) -> None:
    """Refuse to write a table where another one, or another file, would be lost.

    Args:
        folder: folder of the comparison.
        name: name of the table.
        choices: :func:`table_choices` of the table to write.
        columns: keys of its columns, without those of the differences.
        differences: it has columns of differences too.

    Raises:
        CompareError: the files of its name hold a table that shows more, or something else.
        RunError: the earlier table is damaged.
    """
    path = folder / f"{name}.json"
    if path.is_file():
        lost = _lost(read_any_table(path), choices, set(columns), differences=differences)
        if lost:
            raise CompareError(f"{path}: holds a table with {lost}, which this one lacks; {_APART}")
    else:
        for other in (folder / f"{name}.{ending}" for ending in ENDINGS):
            if other.exists():
                raise CompareError(f"{other}: is in the way, and no table of ivr compare; {_APART}")
    for other in (folder / f"{name}-{end}.json" for end in PICTURES):
        if other.exists():
            raise CompareError(
                f"{other}: a picture of the table {name} would replace files of this one; {_APART}"
            )


_APART = "keep both: choose another --name or --out"


def _lost(
    table: TableFile, choices: Mapping[str, Any], columns: set[str], *, differences: bool
) -> str:
    """Return what of ``table`` the new one would lack, in words; ``""`` for nothing."""
    earlier = table.get("choices")
    measured = [line for line in table["lines"] if line.get("kind") == "measured"]
    if earlier is None:
        # Tables of earlier versions name their rows by the head column alone.
        known = {text.partition(", ")[0] for text in choices["rows"]}
        rows = [str(line.get("method", "")) for line in measured]
        missing = [row for row in dict.fromkeys(rows) if row not in known]
    else:
        for what in ("protocol", "split"):
            if earlier.get(what) != choices[what]:
                return f"the {what} {earlier.get(what)}"
        missing = [row for row in earlier.get("rows", ()) if row not in choices["rows"]]
    if missing:
        return f"the row {missing[0]!r}"
    ends = {key for key in table.get("columns", ()) if key.endswith(f".{DIFFERENCE}")}
    gone = [key for key in table.get("columns", ()) if key not in columns | ends]
    if gone:
        return f"the column {gone[0]}"
    return "columns of differences" if ends and not differences else ""
