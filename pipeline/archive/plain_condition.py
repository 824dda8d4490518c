"""Conditions that a stranger may ask: columns compared with values, and nothing that computes.

SQL has functions that take minutes or gigabytes for one row (``repeat('a', 2000000000)``), and
columns that say where files lie. A service takes neither from its clients.
"""

import re
from collections.abc import Collection, Iterator

from .lance_library import ArchiveError
from .where import whole

_TOKEN = re.compile(
    r"(?P<text>'(?:[^']|'')*')"
    r"|(?P<name>`[^`]*`|[^\W\d]\w*)"
    r"|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<sign><=|>=|<>|!=|[=<>(),+-])"
    r"|(?P<space>\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_WORDS = frozenset(
    {"and", "or", "not", "in", "is", "like", "ilike", "between", "escape", "null", "true", "false"}
)
_TYPES = frozenset({"timestamp", "date"})
_BEFORE_BRACKET = frozenset({"", "(", ",", "and", "or", "not", "in", "between"})
_COMPARES = frozenset({"=", "<", ">", "<=", ">=", "<>", "!="})


def require_plain(condition: str, columns: Collection[str]) -> str:
    """Return ``condition`` if it compares columns with values by plain means.

    These are comparisons, AND, OR, NOT, IN, LIKE, BETWEEN, IS NULL, numbers, texts, and
    ``timestamp '...'`` or ``date '...'``. Case does not count in words and names, as in SQL.

    Args:
        condition: SQL.
        columns: names that it may use.

    Raises:
        ArchiveError: a function, another column, or a sign that no such condition has.
    """
    for _ in _tokens(condition, columns):
        pass
    return condition


def with_quoted_names(condition: str, columns: Collection[str]) -> str:
    """Return a plain condition for PostgreSQL, which takes names as they are only in quotes.

    Args:
        condition: SQL (:func:`require_plain`), in which names may have backticks.
        columns: names that it may use, as they are spelled in the table.

    Raises:
        ArchiveError: see :func:`require_plain`.
    """
    spelled = {name.lower(): name for name in columns}
    found, end = [], 0
    for token, is_column in _tokens(condition, columns):
        text = token.group()
        if is_column:
            text = '"' + spelled[text.strip("`").lower()].replace('"', '""') + '"'
        found.append(condition[end : token.start()] + text)
        end = token.end()
    return "".join(found) + condition[end:]


def _tokens(condition: str, columns: Collection[str]) -> Iterator[tuple[re.Match[str], bool]]:
    """Yield the tokens of a plain condition but spaces, and whether each is a column.

    Raises:
        ArchiveError: see :func:`require_plain`.
    """
    known = {name.lower() for name in columns}
    before = ""
    for token in _TOKEN.finditer(whole(condition)):
        kind, text = token.lastgroup, token.group()
        if kind == "space":
            continue
        word, quoted = (
            (text.strip("`").lower(), text[0] == "`") if kind == "name" else (text, False)
        )
        typed = word in _TYPES and not quoted and _text_follows(condition, token.end())
        is_column = kind == "name" and not typed and (quoted or word not in _WORDS)
        if kind == "other":
            raise ArchiveError(f"the condition holds {text!r}, which is not taken here")
        if is_column and word not in known:
            names = ", ".join(sorted(known))
            raise ArchiveError(
                f"the condition asks for {text}, which is no column; there are {names}"
            )
        if kind == "text" and before == "column":
            raise ArchiveError(f"the condition has a text after a name: {text}")
        if text == "(" and before not in _BEFORE_BRACKET | _COMPARES:
            raise ArchiveError("the condition calls a function, which is not taken here")
        yield token, is_column
        before = "column" if is_column else word if kind in ("name", "sign") else "value"


def _text_follows(condition: str, place: int) -> bool:
    return condition[place:].lstrip().startswith("'")
