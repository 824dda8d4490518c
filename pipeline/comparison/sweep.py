"""Sweep: one or two options over lists of values, each combination one row; imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ivr.hashing.methods import method_entry
from ivr.pipeline.runtime.config_options import OptionError

from .variants import USUAL_METHOD, Variant, owner_of, require_label, text_of

MOST_AXES = 2
HAS_OPTION = {
    "bits": "--bits 16,32,64",
    "streams": "--streams",
    "voices": "--voices one,all",
    "seed": "--seeds",
    "method": "--methods",
}
"""Dimensions of every comparison, which need no axis."""


@dataclass(frozen=True)
class Point:
    """The place of a row in a sweep.

    Attributes:
        method: name of its method.
        values: its value on each axis, as text.
    """

    method: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """Options over lists of values, for one or several methods.

    Attributes:
        names: names of the options, one per axis, without the method.
        values: values of each axis, as text, in their order.
        points: label of a row -> its place.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    points: Mapping[str, Point]

    def variants(self) -> tuple[Variant, ...]:
        """Return one variant per point."""
        return tuple(
            Variant(
                label,
                point.method,
                tuple(map("=".join, zip(self.names, point.values, strict=True))),
            )
            for label, point in self.points.items()
        )


def parsed_axes(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the axes that ``texts``, ``NAME=VALUE,VALUE`` each, declare.

    Raises:
        OptionError: a text of another form, or an axis that is given twice.
    """
    axes: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not name or not equals:
            raise OptionError(f"{text!r} is not of the form NAME=VALUE,VALUE")
        if name in axes:
            raise OptionError(
                f"{name} is given twice, as {','.join(axes[name])} and as {values}; give one"
            )
        axes[name] = [value.strip() for value in values.split(",")]
    return axes


def sweep_of(axes: Mapping[str, Sequence[Any]], methods: Sequence[str] = ()) -> Sweep:
    """Return the sweep over ``axes``.

    Args:
        axes: option -> values. An option is written ``divh.gamma``, ``gamma`` for each of
            ``methods``, or ``training.epochs``.
        methods: methods whose options are swept; by default the one that an axis names, else divh.

    Raises:
        OptionError: axes or methods that are not possible.
    """
    if not 1 <= len(axes) <= MOST_AXES:
        raise OptionError(f"a sweep has one or two axes, got {', '.join(axes) or 'none'}")
    usual = methods[0] if methods else USUAL_METHOD
    owners = dict.fromkeys(owner for name in axes if (owner := owner_of(name, usual)))
    chosen = tuple(dict.fromkeys(methods or owners or (usual,)))
    for owner in owners:
        if chosen != (owner,):
            others = ", ".join(dict.fromkeys(name for name in (*chosen, *owners) if name != owner))
            raise OptionError(f"a sweep over options of {owner} is of {owner} alone: omit {others}")
    if len(chosen) > 1 and len(axes) > 1:
        raise OptionError("a sweep with two axes is of one method; give one")
    for method in chosen:
        method_entry(method)
    names = tuple(name.removeprefix(f"{chosen[0]}.") for name in axes)
    values = tuple(_values(name, given) for name, given in zip(axes, axes.values(), strict=True))
    if len(set(names)) < len(names):
        raise OptionError(f"{names[0]} is given twice; give one axis per option")
    points = {}
    for method, place in product(chosen, product(*values)):
        label = ", ".join(f"{name}={value}" for name, value in zip(names, place, strict=True))
        label = f"{method}, {label}" if len(chosen) > 1 else label
        require_label(label)
        points[label] = Point(method, place)
    return Sweep(names, values, points)


def _values(name: str, given: Sequence[Any]) -> tuple[str, ...]:
    if name in HAS_OPTION:
        raise OptionError(f"{name} is no axis of a sweep: give {HAS_OPTION[name]}")
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise OptionError(f"{name} needs a list of values, got {given!r}")
    values = tuple(map(text_of, given))
    if len(values) < 2 or len(set(values)) < len(values) or "" in values:
        raise OptionError(
            f"{name} needs two or more values, each once, got {', '.join(values) or 'none'}"
        )
    return values
