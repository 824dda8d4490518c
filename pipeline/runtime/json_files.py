"""The one loader of JSON and JSON lines that ``ivr`` wrote, and of JSON and YAML that users write.

Only a regular file of a limited size is read, and its values are of the type asked for: a file that
was damaged or made up ends in one line, never in an exception further on.
"""

import json
import re
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ivr.errors import IvrError
from ivr.features.regular_files import read_regular

Kind = TypeVar("Kind")
MOST_BYTES = 1 << 28
"""Largest file that is read, bytes; splits of a million items have 100 MB."""
MOST_SETTINGS_BYTES = 1 << 22
"""Largest file of settings, bytes."""
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
DEPTH = 50
"""Deepest nesting of lists and objects."""


class ContentError(IvrError):
    """A file of values that is not what it should be, in one line without the name of the file."""


def load_json(path: Path, kind: type[Kind], most: int = MOST_BYTES) -> Kind:
    """Return the JSON value in ``path``.

    Args:
        path: a file.
        kind: type that the value must have, e.g. ``dict[str, str]``.
        most: largest size of the file, bytes.

    Raises:
        UnreadableFileError: the file is not regular, too large or may not be read.
        ContentError: not JSON, or a value of another type.
    """
    return of_kind(_parsed(read_regular(path, most), json.loads, "JSON"), kind)


def load_json_lines(path: Path, kind: type[Kind]) -> list[Kind]:
    """Return the JSON values in the lines of ``path``.

    Raises:
        UnreadableFileError, ContentError: as :func:`load_json`.
    """
    lines = read_regular(path, MOST_BYTES).splitlines()
    return [of_kind(_parsed(line, json.loads, "JSON"), kind) for line in lines]


def record_of(line: bytes, kind: type[Kind]) -> Kind:
    """Return the JSON object in ``line`` as the dataclass ``kind``, each field of its type.

    Raises:
        ContentError: as :func:`load_json`.
    """
    try:
        found: Kind = _adapter(kind).validate_json(line, strict=True)
        return found
    except ValidationError as error:
        raise _no_such_value(error) from error


def load_yaml(path: Path, kind: type[Kind]) -> Kind:
    """Return the YAML value in ``path``, ``{}`` for an empty file.

    Raises:
        UnreadableFileError, ContentError: as :func:`load_json`.
    """
    import yaml

    def load(text: str) -> Any:
        # Values that are repeated by reference could grow to any size.
        try:
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
                raise ContentError("holds a reference (*name); write the value out")
            found = yaml.load(text, _loader())
        except yaml.MarkedYAMLError as error:
            if error.problem_mark is None:
                raise
            line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
            fault = f"line {line}, column {column}: {error.problem}"
            raise ContentError(f"not YAML ({fault})") from error
        return {} if found is None else found

    return of_kind(_parsed(read_regular(path, MOST_SETTINGS_BYTES), load, "YAML"), kind)


@cache
def _loader() -> Any:
    """Return PyYAML's safe loader with the booleans of YAML 1.2, and each name once in a mapping.

    YAML 1.1 also reads off, on, yes and no as booleans; they are choices of options. PyYAML takes
    the last value of a name that is given twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for name in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if name in seen:
                    raise ContentError(f"{name!r} is given twice; give it once")
                seen.add(name)
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if not tag.endswith(":bool")]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    words = re.compile("true|True|TRUE|false|False|FALSE")
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", words, list("tTfF"))
    return Loader


def _parsed(data: bytes, load: Callable[[str], Any], what: str) -> Any:
    try:
        found = load(data.decode("utf-8-sig"))
        _require_depth(found)
    except ContentError:
        raise
    except RecursionError as error:
        raise ContentError(f"nested deeper than {DEPTH} levels") from error
    except Exception as error:  # PyYAML raises what it meets: ValueError, KeyError, IndexError ...
        if isinstance(error, MemoryError):
            raise
        line = " ".join(str(error).split())[:200]
        raise ContentError(f"not {what} ({line or type(error).__name__})") from error
    return found


def _require_depth(value: Any) -> None:
    """Refuse lists and objects within each other beyond :data:`DEPTH`."""
    level = [value]
    for _ in range(DEPTH + 1):
        level = [part for one in level for part in _parts(one) if isinstance(part, dict | list)]
        if not level:
            return
    raise ContentError(f"nested deeper than {DEPTH} levels")


def _parts(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def of_kind(value: Any, kind: type[Kind]) -> Kind:
    """Return ``value`` if it is of the type ``kind``.

    Raises:
        ContentError: it is of another type; the message names the place in it.
    """
    try:
        found: Kind = _adapter(kind).validate_python(value, strict=True)
        return found
    except ValidationError as error:
        raise _no_such_value(error) from error


def _no_such_value(error: ValidationError) -> ContentError:
    first = error.errors()[0]
    if not first["loc"] and first["type"] == "dict_type":
        return ContentError("not a JSON object")
    place = ".".join(map(str, first["loc"])) or "the whole"
    return ContentError(f"{place[:100]}: {first['msg']}")


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
