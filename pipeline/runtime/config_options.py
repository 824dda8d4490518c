"""Options by name into configs, and configs from JSON; :mod:`ivr.config` declares and checks them.

A config of a plug-in may be a plain frozen dataclass: here it is checked like those of ``ivr``.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from ivr.config import (
    OptionError,
    bare_type,
    choices_of,
    field_hints,
    one_line,
    refuse_other_types,
)
from ivr.errors import IvrError
from ivr.names import suggestion

__all__ = ["OptionError", "configured", "describe", "from_json", "with_options"]
Config = TypeVar("Config")


class StoredConfigError(IvrError):
    """A config in a file that this version cannot read, in one line."""


def configured(kind: type[Config], settings: Iterable[str]) -> Config:
    """Return ``kind`` with ``settings`` over its defaults, checked when all of them are in place.

    Args:
        kind: a frozen dataclass; a field that is one itself is reached with a dot.
        settings: ``name=value`` each, e.g. ``"gamma=0.5"`` or ``"network.voice_channels=64,128"``.

    Raises:
        OptionError: no such name, a value of another type, or one that ``kind`` refuses.
    """
    return _checked(kind, _merged(kind(), parsed(kind, settings)))


def parsed(kind: type[Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return the values that ``settings`` give to options of ``kind``, nested as ``kind`` is.

    Raises:
        OptionError: no such name, a text that is not of the form ``NAME=VALUE``, or two values for
            one name.
    """
    settings = tuple(settings)
    require_once(settings)
    chosen: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise OptionError(f"{setting!r} is not of the form NAME=VALUE")
        *parents, last = name.strip().split(".")
        place = chosen
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = from_text(_hint(kind, name.strip()), text.strip())
    return chosen


def require_once(settings: Iterable[str]) -> None:
    """Refuse two values for one name among ``settings``, ``NAME=VALUE`` each.

    Raises:
        OptionError: a name has two values.
    """
    values: dict[str, str] = {}
    for setting in settings:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if equals and name in values:
            raise OptionError(f"{name} is given twice, as {values[name]} and as {value}; give one")
        values[name] = value


def with_options(config: Config, options: Mapping[str, Any]) -> Config:
    """Return ``config`` with ``options`` in place of its values.

    Args:
        config: a frozen dataclass with the values of all other options.
        options: values by the name of the field. A nested config takes a mapping of its own
            options, ``{"training": {"epochs": 5}}``. A name that only a nested config has is set
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
        both = isinstance(value, Mapping) and isinstance(inner.get(last), dict)
        inner[last] = inner[last] | dict(value) if both else value
    return _checked(type(config), _merged(config, chosen))


def from_json(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Return ``kind`` from the mapping that ``dataclasses.asdict`` gave, or its JSON did.

    Raises:
        StoredConfigError: names or values that ``kind`` does not have.
    """
    if not isinstance(values, Mapping):
        raise StoredConfigError(f"{kind.__name__} must be a mapping, got {values!r}")
    try:
        return _checked(kind, values)
    except OptionError as error:
        raise StoredConfigError(
            f"{kind.__name__} cannot be read: {error} (written by another version of ivr?)"
        ) from error


def describe(kind: type[Any]) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every field, the meaning from the docstring."""
    return _rows(kind(), "")


def attribute_texts(kind: type[Any]) -> dict[str, str]:
    """Return the meaning of each field, from the ``Attributes`` sections of the docstrings."""
    entries: list[tuple[str, str]] = []
    for owner in reversed(kind.__mro__):
        # From Python 3.13 on a docstring comes without its indent; cleandoc takes it away before.
        _, _, section = inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")
        entries += re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).strip() for name, text in entries}


def value_text(value: Any) -> str:
    """Return ``value`` as ``name=value`` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def from_text(hint: Any, text: str) -> Any:
    """Return the value that ``text`` means for a field of type ``hint``.

    Text that means nothing there is returned as it is; the config refuses it.
    """
    if type(None) in get_args(hint) and text.lower() in ("none", ""):
        return None
    if choices_of(hint):
        return next((choice for choice in choices_of(hint) if str(choice) == text), text)
    kind = bare_type(hint)
    if get_origin(kind) is tuple:
        return tuple(from_text(get_args(kind)[0], part.strip()) for part in text.split(","))
    try:
        return TypeAdapter(kind).validate_strings(text) if kind in (bool, int, float) else text
    except ValidationError:
        return text


def _rows(default: Any, prefix: str) -> list[tuple[str, str, str]]:
    """Return the rows of a config; a nested one has the defaults that its owner gives it."""
    texts, rows = attribute_texts(type(default)), []
    for field in dataclasses.fields(default):
        value = getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            rows += _rows(value, f"{prefix}{field.name}.")
        else:
            rows.append((prefix + field.name, value_text(value), texts.get(field.name, "")))
    return rows


def _hint(kind: type[Any], name: str) -> Any:
    """Return the type of the option ``name`` of ``kind``, with dots where it is nested."""
    hint: Any = kind
    for part in name.split("."):
        hint = field_hints(hint).get(part) if dataclasses.is_dataclass(hint) else None
    if hint is None or dataclasses.is_dataclass(hint):
        known = [row[0] for row in describe(kind)]
        raise OptionError(f"no option {name!r}; {suggestion(name, known)}")
    return hint


def _merged(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``config`` with ``values`` in their place, nested where it is."""
    own = {name: getattr(config, name) for name in _own(config)}
    for name, value in values.items():
        partly = isinstance(value, Mapping) and dataclasses.is_dataclass(own.get(name))
        own[name] = _merged(own[name], value) if partly else value
    return own


def _checked(kind: type[Config], values: Mapping[str, Any]) -> Config:
    refuse_other_types(kind, values)
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        raise OptionError(one_line(kind, error)) from error


def _place(config: Any, name: str) -> tuple[str, ...]:
    """Return the path of field names that leads to ``name``; the shortest one, then the first."""
    level: list[tuple[tuple[str, ...], Any]] = [((), config)]
    known: list[str] = []
    while level:
        found = {(*path, own): getattr(inner, own) for path, inner in level for own in _own(inner)}
        for path in found:
            if path[-1] == name:
                return path
        known += [path[-1] for path in found]
        level = [(path, value) for path, value in found.items() if dataclasses.is_dataclass(value)]
    raise OptionError(f"no option {name!r}; {suggestion(name, known)}")


def _own(config: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]
