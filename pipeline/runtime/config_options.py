"""Choices by name: ``name=value`` from the command line into a frozen dataclass."""

import dataclasses
import inspect
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ivr.errors import IvrError

Config = TypeVar("Config")


class OptionError(IvrError):
    """An option that cannot be set, in one line."""


def configured(kind: type[Config], settings: Iterable[str]) -> Config:
    """Return ``kind`` with ``settings`` over its defaults, checked when all of them are in place.

    Args:
        kind: a frozen dataclass; a field that is one itself is reached with a dot.
        settings: ``name=value`` each, e.g. ``"gamma=0.5"`` or ``"network.voice_channels=64,128"``.

    Raises:
        OptionError: no such name, a value of another type, or one that ``kind`` refuses.
    """
    chosen: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise OptionError(f"{setting!r} is not of the form NAME=VALUE")
        *parents, last = name.strip().split(".")
        place = chosen
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = _parse(_hint(kind, name.strip()), text.strip(), name.strip())
    return _replaced(kind(), chosen)


def with_options(config: Config, options: Mapping[str, Any]) -> Config:
    """Return ``config`` with ``options`` in place of its values.

    Args:
        config: a frozen dataclass with the values of all other options.
        options: values by the name of the field. A name that only a nested config has is set
            there, e.g. ``{"encoder": "alexnet"}`` in the ``image`` of an ``ExtractConfig``.

    Raises:
        OptionError: there is no such option, or its value is refused.
    """
    chosen: dict[str, Any] = {}
    for name, value in options.items():
        *parents, last = _place(config, name)
        inner = chosen
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return _replaced(config, chosen)


def _place(config: Any, name: str) -> tuple[str, ...]:
    """Return the path of field names that leads to ``name``; the shortest one, then the first."""
    level: list[tuple[tuple[str, ...], Any]] = [((), config)]
    known: list[str] = []
    while level:
        names = [
            ((*path, f.name), inner) for path, inner in level for f in dataclasses.fields(inner)
        ]
        for path, _ in names:
            if path[-1] == name:
                return path
        known += [path[-1] for path, _ in names]
        values = [(path, getattr(inner, path[-1])) for path, inner in names]
        level = [(path, value) for path, value in values if dataclasses.is_dataclass(value)]
    raise OptionError(f"no option {name!r}; {_nearest(known, name)}")


def from_json(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Return ``kind`` from the mapping that ``dataclasses.asdict`` gave, or its JSON did.

    Raises:
        OptionError: names or values that ``kind`` does not have.
    """
    if not isinstance(values, Mapping):
        raise OptionError(f"{kind.__name__} must be a mapping, got {values!r}")
    hints = get_type_hints(kind)
    read = {}
    for name, value in values.items():
        if name not in hints:
            raise OptionError(f"{kind.__name__} has no {name}: made with another version of ivr")
        if dataclasses.is_dataclass(hints[name]):
            value = from_json(hints[name], value)
        read[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**read)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{kind.__name__} cannot be read: {error}") from error


def describe(kind: type[Any]) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every field, the meaning from the docstring."""
    return _rows(kind(), "")


def _rows(default: Any, prefix: str) -> list[tuple[str, str, str]]:
    """Return the rows of a config; a nested one has the defaults that its owner gives it."""
    texts, rows = _attribute_texts(type(default).__doc__ or ""), []
    for field in dataclasses.fields(default):
        value = getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            rows += _rows(value, f"{prefix}{field.name}.")
        else:
            rows.append((prefix + field.name, _text(value), texts.get(field.name, "")))
    return rows


def _hint(kind: type[Any], name: str) -> Any:
    """Return the type of the option ``name`` of ``kind``, with dots where it is nested."""
    hint: Any = kind
    for part in name.split("."):
        hints = get_type_hints(hint) if dataclasses.is_dataclass(hint) else {}
        if part not in hints:
            raise OptionError(f"no option {name!r}; {_near(kind, name)}")
        hint = hints[part]
    if dataclasses.is_dataclass(hint):
        raise OptionError(f"no option {name!r}; {_near(kind, name)}")
    return hint


def _replaced(config: Config, values: Mapping[str, Any]) -> Config:
    """Return ``config`` with ``values`` in place of its own, nested where the config is."""
    whole = {
        name: _replaced(getattr(config, name), value) if isinstance(value, dict) else value
        for name, value in values.items()
    }
    try:
        return dataclasses.replace(config, **whole)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:
        raise OptionError(str(error)) from error


def _near(kind: type[Any], name: str) -> str:
    return _nearest([row[0] for row in describe(kind)], name)


def _nearest(known: Sequence[str], name: str) -> str:
    near = get_close_matches(name, known, 3, 0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"


def _parse(hint: Any, text: str, name: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [choice for choice in get_args(hint) if choice is not type(None)]
        return None if text.lower() in ("none", "") else _parse(inner[0], text, name)
    if origin is Literal:
        if text not in get_args(hint):
            raise OptionError(f"{name} must be {' or '.join(get_args(hint))}, got {text!r}")
        return text
    if origin is tuple:
        return tuple(_parse(get_args(hint)[0], part.strip(), name) for part in text.split(","))
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise OptionError(f"{name} must be true or false, got {text!r}")
        return text.lower() == "true"
    try:
        return hint(text)
    except ValueError as error:
        raise OptionError(f"{name} must be of type {hint.__name__}, got {text!r}") from error


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _attribute_texts(doc: str) -> dict[str, str]:
    """Return the texts of a Google docstring's ``Attributes`` section."""
    # From Python 3.13 on a docstring comes without its indent; cleandoc takes it away before.
    _, _, section = inspect.cleandoc(doc).partition("Attributes:\n")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).strip() for name, text in entries}
