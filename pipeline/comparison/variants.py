"""Variant: a method with settings, one row of a table; imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from ivr.hashing.methods import method_entry, method_names
from ivr.pipeline.runtime.config_options import OptionError

TRAINING = "training"
"""Prefix of settings that concern the training of a method: ``training.epochs=30``."""


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


def with_settings(variants: Sequence[Variant], given: Sequence[str]) -> tuple[Variant, ...]:
    """Return ``variants`` with the settings ``given``, which a variant's own settings override.

    Args:
        variants: methods with their settings.
        given: ``METHOD.NAME=VALUE`` for one method, ``training.NAME=VALUE`` for the training of all
            methods that are trained in steps.

    Raises:
        OptionError: not such a setting, or one of a method that is not compared.
    """
    compared = {variant.method for variant in variants}
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


def _of_method(method: str, given: Sequence[str]) -> list[str]:
    own = [s.removeprefix(f"{method}.") for s in given if s.startswith(f"{method}.")]
    loop = [s for s in given if s.startswith(f"{TRAINING}.")]
    return [*(loop if loop and method_entry(method).trained else []), *own]
