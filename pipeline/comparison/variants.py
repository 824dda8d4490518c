"""Variant: a method with settings, one row of a table; imports no torch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ivr.hashing.methods import method_entry, method_names
from ivr.pipeline.runtime.config_options import OptionError, require_once
from ivr.pipeline.runtime.visible_text import visible

TRAINING = "training"
"""Prefix of settings that concern the training of a method: ``training.epochs=30``."""
METHOD = "method"
"""Name by which a variant chooses its method among its settings."""
USUAL_METHOD = "divh"
LONGEST_LABEL = 60
"""Characters of the name of a variant, which stands in every table and picture."""


@dataclass(frozen=True)
class Variant:
    """A method with its settings, named as in one row of a table.

    Attributes:
        label: name in the table.
        method: a name that :func:`ivr.hashing.methods.method_entry` knows.
        settings: ``NAME=VALUE`` of the method, ``training.NAME=VALUE`` of its training; of two
            settings with one name the last one counts.
    """

    label: str
    method: str
    settings: tuple[str, ...] = ()

    def last_settings(self) -> tuple[str, ...]:
        """Return the settings that count, in alphabetical order."""
        by_name = {setting.partition("=")[0]: setting for setting in self.settings}
        return tuple(by_name[name] for name in sorted(by_name))

    def method_settings(self) -> list[str]:
        """Return the settings of the method that count."""
        return [s for s in self.last_settings() if not s.startswith(f"{TRAINING}.")]

    def training_settings(self) -> list[str]:
        """Return the settings of the training that count, without their prefix."""
        prefix = f"{TRAINING}."
        return [s.removeprefix(prefix) for s in self.last_settings() if s.startswith(prefix)]


def plain_variants(methods: Sequence[str]) -> tuple[Variant, ...]:
    """Return ``methods`` with their defaults; ``all`` stands for every method.

    Raises:
        MethodError: no such method.
    """
    names = method_names() if tuple(methods) == ("all",) else tuple(methods)
    for name in names:
        method_entry(name)
    return tuple(Variant(name, name) for name in names)


def named_variants(
    declared: Mapping[str, Mapping[str, Any]], usual: str = USUAL_METHOD
) -> tuple[Variant, ...]:
    """Return the variants that a user or a preset names.

    Args:
        declared: label -> option -> value. An option is written ``divh.gamma``, or ``gamma`` for
            the method of the variant; ``method`` names that method; options within options may be
            nested.
        usual: method of a variant that names none.

    Raises:
        OptionError: a label or a setting that is not possible.
    """
    return tuple(_named(label, flat_settings(found), usual) for label, found in declared.items())


def parsed_variants(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return what ``texts``, each ``LABEL`` or ``LABEL: NAME=VALUE, ...``, declare.

    Raises:
        OptionError: a text of another form, or a label or a setting that is given twice.
    """
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        label, _, rest = (part.strip() for part in text.partition(":"))
        if "=" in label:
            raise OptionError(f"{text!r} is not of the form LABEL: NAME=VALUE, NAME=VALUE")
        if label in found:
            raise OptionError(f"the variant {label!r} is given twice; give each a name of its own")
        parts = re.split(r"[,;\s]+(?=[^\s=,;]+=)", rest) if rest else []
        if any("=" not in part for part in parts):
            raise OptionError(f"{text!r} is not of the form LABEL: NAME=VALUE, NAME=VALUE")
        require_once(parts)
        found[label] = {
            name.strip(): value.strip() for name, _, value in (p.partition("=") for p in parts)
        }
    return found


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return ``values`` as text by name, those of nested mappings with a dot between the names.

    Raises:
        OptionError: a value that is no text, number, ``true``, ``false``, ``null`` or list of them.
    """
    found: dict[str, str] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping)
        own = (
            flat_settings(value, f"{prefix}{name}.")
            if inner
            else {f"{prefix}{name}": text_of(value)}
        )
        require_once([f"{key}={text}" for part in (found, own) for key, text in part.items()])
        found |= own
    return found


def text_of(value: Any) -> str:
    """Return a value of YAML as the command line takes it.

    Raises:
        OptionError: a value that is no text, number, ``true``, ``false``, ``null`` or list of them.
    """
    if isinstance(value, list | tuple):
        return ",".join(map(text_of, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise OptionError(f"{value!r} is not the value of an option")


def owner_of(name: str, usual: str) -> str:
    """Return the method that an option ``METHOD.NAME`` names, ``""`` for ``NAME`` alone."""
    methods = dict.fromkeys((usual, *method_names()))
    return next((method for method in methods if name.startswith(f"{method}.")), "")


def require_label(label: str) -> None:
    """Refuse a label that no table could show.

    Raises:
        OptionError: it is empty, too long, or holds characters that act or hide.
    """
    if not label.strip() or visible(label) != label:
        raise OptionError(f"{label!r} cannot name a variant: give it visible characters")
    if len(label) > LONGEST_LABEL:
        raise OptionError(
            f"{label[:20]!r}... cannot name a variant: it has {len(label)} characters, "
            f"at most {LONGEST_LABEL} are possible"
        )


def with_settings(variants: Sequence[Variant], given: Sequence[str]) -> tuple[Variant, ...]:
    """Return ``variants`` with the settings ``given``, which a variant's own settings override.

    Args:
        variants: methods with their settings.
        given: ``METHOD.NAME=VALUE`` for one method, ``training.NAME=VALUE`` for the training of all
            methods that are trained in steps.

    Raises:
        OptionError: not such a setting, one of a method that is not compared, or two values for
            one name.
    """
    compared = {variant.method for variant in variants}
    require_once(given)
    for setting in given:
        # A method of the form module:Class may contain dots.
        head = next((m for m in compared if setting.startswith(f"{m}.")), setting.partition(".")[0])
        dot, rest = setting[len(head) : len(head) + 1], setting[len(head) + 1 :]
        if not dot or "=" in head or "=" not in rest:
            raise OptionError(
                f"{setting!r} is not of the form METHOD.NAME=VALUE or {TRAINING}.NAME=VALUE"
            )
        if head != TRAINING and head not in compared:
            raise OptionError(
                f"{setting}: {head} is not compared; compared are {', '.join(sorted(compared))}"
            )
    return tuple(
        Variant(
            variant.label,
            variant.method,
            (*_of_method(variant.method, given), *variant.settings),
        )
        for variant in variants
    )


def _named(label: str, settings: Mapping[str, str], usual: str) -> Variant:
    require_label(label)
    named = [owner for name in settings if (owner := owner_of(name, usual))]
    owners = list(dict.fromkeys([*([settings[METHOD]] if METHOD in settings else []), *named]))
    if len(owners) > 1:
        raise OptionError(
            f"the variant {label!r} has settings of {' and '.join(owners)}; "
            "a variant is one method with its settings"
        )
    method = owners[0] if owners else usual
    method_entry(method)
    own = [
        f"{name.removeprefix(f'{method}.')}={value}"
        for name, value in settings.items()
        if name != METHOD
    ]
    require_once(own)
    return Variant(label, method, tuple(own))


def _of_method(method: str, given: Sequence[str]) -> list[str]:
    own = [s.removeprefix(f"{method}.") for s in given if s.startswith(f"{method}.")]
    loop = [s for s in given if s.startswith(f"{TRAINING}.")]
    return [*(loop if loop and method_entry(method).trained else []), *own]
