"""Configs: frozen dataclasses that check their values when they are made, through pydantic.

Like :mod:`ivr.errors` this module stands below everything else, so that features, hashing and
pipeline declare their configs alike::

    @config
    class TripletConfig:
        margin: Annotated[float, Field(ge=0)] = 0.2
        reduction: Literal["mean", "sum"] = "mean"

A value of another type, outside its limits or of no known choice raises :class:`OptionError`. A
check across fields is a ``__post_init__`` that raises ``ValueError``.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from ivr.errors import IvrError
from ivr.names import suggestion

Config = TypeVar("Config")
LIMIT_ERRORS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")
Share = Annotated[float, Field(ge=0, lt=1)]
"""Type of a field that holds a share of something, in [0, 1)."""


class OptionError(IvrError):
    """An option that cannot be set, in one line."""


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def config(kind: type[Config]) -> type[Config]:
    """Return the class ``kind`` as a frozen dataclass that checks its values.

    Values are converted where nothing is lost and nothing is guessed: lists become tuples, mappings
    become nested configs, and whole numbers become floats. ``True`` is no number, ``"5"`` and 5.0
    are no integers, and a set, which has no order, is no tuple (:func:`refuse_other_types`).
    """
    made: Any = dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(kind)
    build = made.__init__

    @wraps(build)
    def checked_init(self: Any, *values: Any, **named: Any) -> None:
        names = (field.name for field in dataclasses.fields(self))
        refuse_other_types(type(self), {**dict(zip(names, values, strict=False)), **named})
        try:
            build(self, *values, **named)
        except ValidationError as error:
            raise OptionError(one_line(type(self), error)) from error

    made.__init__ = checked_init
    return made  # type: ignore[no-any-return]


def bare_type(hint: Any) -> Any:
    """Return ``hint`` without ``None`` and without limits: float for ``Share | None``."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [choice for choice in get_args(hint) if choice is not type(None)]
        return bare_type(kinds[0]) if len(kinds) == 1 else hint
    return bare_type(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def choices_of(hint: Any) -> tuple[Any, ...]:
    """Return the values that a ``Literal`` or a union of some allows, else an empty tuple."""
    if get_origin(hint) is Annotated:
        return choices_of(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return tuple(value for choice in get_args(hint) for value in choices_of(choice))
    return get_args(hint) if get_origin(hint) is Literal else ()


def refuse_other_types(hint: Any, value: Any, name: str = "") -> None:
    """Refuse a value that pydantic would accept for ``hint`` although it is of another type.

    Text that stands for a number is converted where text is read: on the command line and in
    settings ``NAME=VALUE``. A field with a ``BeforeValidator`` decides itself what it takes.

    Args:
        hint: type of a field, or a config.
        value: value of the field, or the values of the config by name.
        name: the field, for the message.

    Raises:
        OptionError: ``value``, or something in it, is of another type.
    """
    kind: Any = bare_type(hint)
    if any(isinstance(part, BeforeValidator) for part in _metadata(hint)):
        return
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        hints = field_hints(kind)
        for own in [own for own in value if own in hints]:
            refuse_other_types(hints[own], value[own], f"{name}.{own}".lstrip("."))
    elif get_origin(kind) is tuple and value is not None:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise OptionError(f"{name} must be a list or a tuple, got {value!r}")
        for part in value:
            refuse_other_types(get_args(kind)[0], part, name)
    elif value is not None and not _is_of_type(hint, kind, value):
        raise OptionError(f"{name} must be {_expected(hint)}, got {value!r}")


def limits_text(hint: Any) -> str:
    """Return the limits of a number in words, e.g. ``at least 1``; ``""`` where it has none."""
    found: dict[str, Any] = {}
    for part in _metadata(hint):
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            if getattr(part, name, None) is not None:
                found[name] = getattr(part, name)
    if found.get("gt") == 0 and bare_type(hint) is int:
        found["ge"] = found.pop("gt") + 1
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    if low is not None and high is not None:
        return f"in {'[' if 'ge' in found else '('}{low:g}, {high:g}{']' if 'le' in found else ')'}"
    multiple = f"a multiple of {found['multiple_of']} and " if "multiple_of" in found else ""
    if "ge" in found:
        return f"{multiple}at least {low:g}"
    return f"{multiple}above {low:g}" if "gt" in found else ""


def one_line(kind: type[Any], error: ValidationError) -> str:
    """Return the first thing that ``error`` finds wrong with the values of a ``kind``."""
    found = error.errors(include_url=False)[0]
    name, owner = "", kind
    hint: Any = kind
    for place in found["loc"]:
        if dataclasses.is_dataclass(bare_type(hint)) and isinstance(place, str):
            name, owner = f"{name}.{place}".lstrip("."), bare_type(hint)
            hint = field_hints(owner).get(place)
        elif get_origin(bare_type(hint)) is tuple:
            hint = get_args(bare_type(hint))[0]
    value = found["input"]
    if found["type"] == "value_error":
        return str(found["ctx"]["error"])
    if found["type"] in ("unexpected_keyword_argument", "unexpected_positional_argument"):
        return f"no option {name!r}; {suggestion(name, field_hints(owner))}"
    if found["type"] in ("missing", "missing_argument"):
        return f"{name} is missing"
    if found["type"] == "finite_number":
        return f"{name} must be a finite number, got {value}"
    if found["type"] in LIMIT_ERRORS:
        return f"{name} must be {limits_text(hint)}, got {value}"
    return f"{name} must be {_expected(hint)}, got {value!r}"


def field_hints(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of a dataclass by name, with their limits."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _is_of_type(hint: Any, kind: Any, value: Any) -> bool:
    """Return whether ``value`` is of the plain type ``kind`` or of a choice of ``hint``."""
    if choices := choices_of(hint):
        same = any(type(value) is type(choice) for choice in choices)
        return same or not isinstance(value, bool | float)
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, str | os.PathLike)
    return kind not in (bool, str) or isinstance(value, kind)


def _metadata(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, UnionType):
        return [part for choice in get_args(hint) for part in _metadata(choice)]
    if get_origin(hint) is not Annotated:
        return []
    inner, *parts = get_args(hint)
    nested = (part for own in parts for part in getattr(own, "metadata", [own]))
    return [*_metadata(inner), *nested]


def _expected(hint: Any) -> str:
    """Return in words what a field of type ``hint`` holds."""
    choices = [str(choice) for choice in choices_of(hint)]
    if choices:
        return " or ".join(choices) if len(choices) < 3 else f"one of {', '.join(choices)}"
    kind: Any = bare_type(hint)
    if kind is bool:
        return "true or false"
    if hasattr(kind, "__dataclass_fields__"):
        return f"options of {kind.__name__} by name"
    if get_origin(kind) is tuple:
        return _expected(get_args(kind)[0])
    return f"of type {kind.__name__}"
