"""Methods, encoders and layouts that live outside this package.

Another distribution offers them as entry points of the groups ``ivr.methods``, ``ivr.encoders`` and
``ivr.layouts``; a file that is not installed as one is named ``module:Object``. Like
:mod:`ivr.errors` this module stands below everything else, so that features, hashing and pipeline
can all use it.
"""

from importlib import import_module
from importlib.metadata import entry_points
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
        group: ``ivr.methods``, ``ivr.encoders`` or ``ivr.layouts``.
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
