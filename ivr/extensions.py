"""Methods, encoders and layouts that live outside this package.

Another distribution offers them as entry points of the groups ``ivr.methods``, ``ivr.encoders``,
``ivr.voice_encoders``, ``ivr.layouts`` and ``ivr.reporters``; a file that is not installed as one
is named ``module:Object``. Like :mod:`ivr.errors` this module stands below everything else, so that
features, hashing and pipeline can all use it.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any

from ivr.errors import IvrError


class ExtensionError(IvrError):
    """An extension that cannot be loaded, in one line."""


def extension_names(group: str) -> tuple[str, ...]:
    """Return the names of the entry points of ``group`` in alphabetical order; imports none."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))


def is_reference(name: str) -> bool:
    """Return whether ``name`` has the form ``module:Object``."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), attribute))


def load_extension(group: str, name: str) -> Any:
    """Return the object that an entry point of ``group`` or a reference ``module:Object`` names.

    Args:
        group: ``ivr.methods``, ``ivr.encoders``, ``ivr.voice_encoders``, ``ivr.layouts`` or
            ``ivr.reporters``.
        name: name of an entry point, or ``module:Object``.

    Raises:
        ExtensionError: there is no such extension, or importing it fails.
    """
    try:
        if is_reference(name):
            module, _, attribute = name.partition(":")
            return getattr(import_module(module), attribute)
        for entry in entry_points(group=group, name=name):
            return entry.load()
    except (ImportError, AttributeError) as error:
        raise ExtensionError(f"{name}: cannot be loaded ({error})") from error
    raise ExtensionError(
        f"{name}: no entry point of the group {group} has this name, "
        "and it is not of the form module:Object"
    )


@dataclass(frozen=True)
class Registry:
    """Objects of one kind by name: one per file of a package of ``ivr``, and those from outside.

    Attributes:
        package: Name of the package whose files hold the objects.
        path: ``__path__`` of that package.
        attribute: Name of the object in each file.
        group: Group of the entry points of other distributions.
    """

    package: str
    path: tuple[str, ...]
    attribute: str
    group: str

    @cached_property
    def own_names(self) -> tuple[str, ...]:
        """Names of the files of the package, sorted; imports none of them."""
        return tuple(sorted(module.name for module in iter_modules(self.path)))

    def names(self) -> tuple[str, ...]:
        """Return the names of the package, then those of entry points; imports none of them."""
        own = self.own_names
        return own + tuple(name for name in extension_names(self.group) if name not in own)

    def knows(self, name: str) -> bool:
        """Return whether ``name`` is one of the names or has the form ``module:Object``."""
        return is_reference(name) or name in self.names()

    def load(self, name: str) -> Any:
        """Return the object ``name``; a file of the package goes before an entry point.

        Raises:
            ExtensionError: an object outside the package that cannot be loaded.
        """
        if name in self.own_names:
            return getattr(import_module(f"{self.package}.{name}"), self.attribute)
        return load_extension(self.group, name)
