"""Conditions on the rows of an archive: SQL of the user, bounds, and both together."""

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import Field

from ivr.config import OptionError, config

from .lance_library import ArchiveError

_TOKEN = re.compile(
    r"(?P<literal>'(?:[^']|'')*')|(?P<column>`[^`]+`|[^\W\d]\w*)|(?P<sign>[<>=!]+)|(?P<other>\S)"
)
_WORDS = {"and", "or", "not", "between", "in", "is", "like", "null", "true", "false"}
_TYPED = {"timestamp", "date", "interval"}
_PIECE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--|/\*|[()'"`;]""")
"""Quoted literals and names as one piece each, brackets, and signs that end a condition early."""


class ConditionError(ArchiveError, OptionError):
    """A condition or a box that cannot be used, in one line with what the caller gave."""


@config
class Bounds:
    """A box in degrees (WGS 84); it crosses the 180th meridian if west is above east.

    Attributes:
        west: longitude of the western side.
        south: latitude of the southern side.
        east: longitude of the eastern side.
        north: latitude of the northern side.
    """

    west: Annotated[float, Field(ge=-180, le=180)]
    south: Annotated[float, Field(ge=-90, le=90)]
    east: Annotated[float, Field(ge=-180, le=180)]
    north: Annotated[float, Field(ge=-90, le=90)]

    def __post_init__(self) -> None:
        """Refuse a box upside down."""
        if self.south > self.north:
            raise ValueError(
                f"the box must be WEST,SOUTH,EAST,NORTH, got south {self.south:g} above north "
                f"{self.north:g}"
            )

    def condition(self) -> str:
        """Return the condition that the box of a row touches this one; rows without one do not."""
        west, east = f"{self.west!r}", f"{self.east!r}"
        crossing = "true" if self.west > self.east else f"(west <= {east} OR east >= {west})"
        joint = "OR" if self.west > self.east else "AND"
        plain = f"(west <= {east} {joint} east >= {west})"
        return (
            f"(south <= {self.north!r} AND north >= {self.south!r} AND "
            f"((west <= east AND {plain}) OR (west > east AND {crossing})))"
        )


def parse_bounds(text: str) -> Bounds:
    """Return the box that ``WEST,SOUTH,EAST,NORTH`` means.

    Raises:
        ConditionError: other than four numbers, or numbers that are no such box.
    """
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError as error:
        raise ConditionError(
            f"the box must be four numbers WEST,SOUTH,EAST,NORTH, in degrees, got {text!r}"
        ) from error
    try:
        return Bounds(west=west, south=south, east=east, north=north)
    except OptionError as error:
        raise ConditionError(f"the box {text!r}: {error}") from error


def whole(condition: str) -> str:
    """Return ``condition`` if nothing in it reaches beyond it when it is joined with others.

    Of ``label = 'a') or (true``, which has one bracket too many, a join would make another
    condition, and Lance ignores what stands after the end of a statement.

    Raises:
        ConditionError: brackets or quotes that do not match, a comment, or a semicolon.
    """
    depth = 0
    for found in _PIECE.finditer(condition):
        piece = found.group()
        if piece in ("--", "/*", ";"):
            raise ConditionError(f"the condition {condition!r} holds {piece}, which is not taken")
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if depth < 0 or piece in ("'", '"', "`"):
            raise ConditionError(f"the condition {condition!r} has one {piece} too many")
    if depth:
        raise ConditionError(f"the condition {condition!r} lacks a bracket: )")
    return condition


def joined(*conditions: str | None) -> str | None:
    """Return the condition that all given ``conditions`` hold, None if none is given.

    Raises:
        ConditionError: see :func:`whole`.
    """
    given = [whole(one) for one in conditions if one]
    return " AND ".join(f"({one})" for one in given) if given else None


def with_times(condition: str, times: Collection[str]) -> str:
    """Return ``condition`` with ``timestamp`` before each text that is compared with a time.

    Lance does not take ``time > '2026-01-01'``, which everyone writes. The case of the name of a
    column does not count, as in Lance.

    Args:
        condition: SQL.
        times: names of the columns that hold times.
    """
    tokens, times = list(_TOKEN.finditer(condition)), {name.lower() for name in times}
    found, end = [], 0
    column, before = "", ""
    for number, token in enumerate(tokens):
        text = token.group()
        word = text.strip("`")
        if token["literal"]:
            compared = column or _column_after(tokens, number)
            prefix = "timestamp " if compared.lower() in times and before not in _TYPED else ""
            found.append(condition[end : token.start()] + prefix + text)
            end = token.end()
        elif token["column"] and word.lower() not in _WORDS | (_TYPED - times):
            column = word
        elif word.lower() in ("and", "or") and not _in_between(tokens, number):
            column = ""
        before = text.lower()
    return "".join(found) + condition[end:]


def _in_between(tokens: list["re.Match[str]"], number: int) -> bool:
    """Return whether ``and`` at ``number`` belongs to BETWEEN: one value stands before it."""
    words = [token.group().lower() for token in tokens[max(0, number - 3) : number]]
    return "between" in words and tokens[number].group().lower() == "and"


def _column_after(tokens: list["re.Match[str]"], number: int) -> str:
    """Return the column in ``'2026-01-01' < time``."""
    following = tokens[number + 1 : number + 3]
    if len(following) == 2 and following[0]["sign"] and following[1]["column"]:
        return following[1].group().strip("`")
    return ""
