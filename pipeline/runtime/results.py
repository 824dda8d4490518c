"""Results of the public functions: small frozen dataclasses that convert to JSON and to tables."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from importlib import import_module
from pathlib import PurePath
from typing import Any

import numpy as np

from ivr.errors import IvrError

HTML_ROWS = 60
"""Rows that a notebook shows; of a longer table it shows the first ones and their number."""


class ResultError(IvrError):
    """A result that cannot be converted as asked, in one line."""


class Result(ABC):
    """Base of the dataclasses that the public functions return; a subclass says its repr.

    Its dataclass takes ``repr=False``, so that the repr is what a person reads: a line or a table.
    """

    @abstractmethod
    def __repr__(self) -> str:
        """Return the result as the command prints it, or in one line."""

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values.

        Arrays, tuples and sets become lists, paths become text, nested dataclasses become
        dictionaries, and numbers that JSON lacks (NaN and the infinities) become ``None``.

        Raises:
            ResultError: an attribute has no JSON form.
        """
        return _attributes(self)


class TableResult(Result):
    """Base of the results that are tables; a subclass says what the rows are."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per row of the table, each with the same keys in the same order."""

    def to_frame(self) -> Any:
        """Return the table as a ``pandas.DataFrame``.

        Raises:
            ResultError: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ResultError(
                "to_frame() needs pandas; install it with pip install pandas, "
                "or take rows(), which returns one dictionary per row"
            ) from error
        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        """Return the table as HTML, which notebooks show in place of the repr."""
        rows = self.rows()
        header = "".join(f"<th>{escape(str(name))}</th>" for name in (rows[0] if rows else ()))
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row.values()) + "</tr>"
            for row in rows[:HTML_ROWS]
        )
        more = f"<p>the first {HTML_ROWS} of {len(rows)} rows</p>" if len(rows) > HTML_ROWS else ""
        return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{more}"


def json_value(value: Any) -> Any:
    """Return ``value`` as JSON values, as :meth:`Result.to_dict` describes.

    Raises:
        ResultError: ``value``, or something in it, has no JSON form.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Result):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return _attributes(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return [json_value(entry) for entry in sorted(value)]
    raise ResultError(f"{type(value).__name__} has no JSON form")


def _attributes(value: Any) -> dict[str, Any]:
    return {field.name: json_value(getattr(value, field.name)) for field in fields(value)}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)
