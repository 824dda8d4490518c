"""A table of a comparison as ``ivr compare`` wrote it, read from its JSON file."""

from pathlib import Path
from typing import Any, NotRequired

from pydantic import ConfigDict
from typing_extensions import TypedDict

from ivr.pipeline.runs.run_folder import read_json
from ivr.pipeline.runtime.json_files import ContentError, of_kind

from .evaluated_runs import CompareError


class TableLine(TypedDict):
    """One row of a table: kind, heads, metrics, and the evaluations behind them."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    kind: str
    figures: dict[str, Any]
    best: list[str]
    note: str
    evaluations: dict[str, str]


class TableFile(TypedDict):
    """The content of ``PRESET.json``."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    title: str
    heads: NotRequired[list[str]]
    columns: NotRequired[list[str]]
    lines: list[dict[str, Any]]
    notes: list[str]
    choices: NotRequired[dict[str, Any]]


def read_table_file(path: Path) -> tuple[TableFile, list[TableLine]]:
    """Return the table in ``path`` and its rows.

    Raises:
        CompareError: not a table of this version of ``ivr compare``.
        RunError: the file may not be read, or is damaged.
    """
    table = read_any_table(path)
    try:
        if "heads" not in table or "columns" not in table:
            raise CompareError(
                f"{path}: made by an earlier version; call the same ivr compare again, which "
                "trains nothing and writes the table anew"
            )
        return table, [of_kind(line, TableLine) for line in table["lines"]]
    except ContentError as error:
        raise CompareError(f"{path}: not a table of ivr compare ({error})") from error


def read_any_table(path: Path) -> TableFile:
    """Return the table in ``path``, which an earlier version may have written.

    Raises:
        CompareError: not a table of ``ivr compare``.
        RunError: the file may not be read, or is damaged.
    """
    try:
        return of_kind(read_json(path), TableFile)
    except ContentError as error:
        raise CompareError(f"{path}: not a table of ivr compare ({error})") from error


def table_files(folder: Path) -> list[Path]:
    """Return the JSON files of tables in the comparison ``folder``, in alphabetical order."""
    return sorted(path for path in folder.glob("*.json") if path.with_suffix(".tex").is_file())
