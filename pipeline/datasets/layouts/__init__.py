"""The layouts of image-voice data sets, one file each: a manifest, or why there is none.

A file of this package is a layout. It ends with ``LAYOUT``, a
:class:`~ivr.pipeline.datasets.layout.Layout` with a line of help and a reader. Nothing else lists
the layouts: a new file here is known to the command line, its help, docs and tests. A layout
outside this package is given as ``module:function`` or as an entry point of the group
``ivr.layouts``: a :class:`~ivr.pipeline.datasets.layout.Layout`, or a function that takes
:class:`~ivr.pipeline.datasets.layout.Sources` and returns a manifest.

A reader proves what it returns: the class of every image and the image of every voice follow from
names, numbers and lists that agree with each other. If they do not agree, it stops with one line
and asks for a table that says what belongs together.
"""

from inspect import getdoc
from typing import Any

from ivr.extensions import Registry
from ivr.names import unknown
from ivr.pipeline.datasets.layout import OPTIONAL, Layout, Sources
from ivr.pipeline.datasets.manifest import Manifest, ManifestError

REGISTRY = Registry(__name__, tuple(__path__), "LAYOUT", "ivr.layouts")


class LayoutError(ManifestError):
    """A layout that cannot be used, in one line."""


def layout_names() -> tuple[str, ...]:
    """Return the names of all layouts: those of this package, then those of installed packages."""
    return REGISTRY.names()


def layout_texts() -> dict[str, str]:
    """Return the line of help of each layout of this package by its name."""
    return {name: layout(name).text for name in REGISTRY.own_names}


def layout(name: str) -> Layout:
    """Return the layout ``name``.

    Args:
        name: name of a layout of this package, of an entry point of ``ivr.layouts``, or
            ``module:function``.

    Raises:
        UnknownNameError: there is no such layout.
        LayoutError: the object is not a layout.
        ExtensionError: the layout is outside this package and cannot be imported.
    """
    if not REGISTRY.knows(name):
        raise unknown("layout", name, layout_names(), "or module:function")
    return _layout(name, REGISTRY.load(name))


def read_layout(name: str, sources: Sources) -> Manifest:
    """Return the manifest of ``sources`` in the layout ``name``.

    Raises:
        UnknownNameError: no such layout.
        LayoutError: not a layout, or one that returns no manifest.
        ManifestError: a class or a pair that cannot be proved, or a source that is not used.
    """
    chosen = layout(name)
    for source, option in OPTIONAL.items():
        if getattr(sources, source) and source not in chosen.uses:
            raise ManifestError(f"the layout {name!r} does not use {option}")
    manifest = chosen.read(sources)
    if not isinstance(manifest, Manifest):
        raise LayoutError(f"{name}: returned {type(manifest).__name__} in place of a Manifest")
    return manifest


def _layout(name: str, found: Any) -> Layout:
    """Return the layout that ``found``, loaded as the layout ``name``, is or describes."""
    if isinstance(found, Layout):
        return found
    if callable(found):
        return Layout((getdoc(found) or name).splitlines()[0], found)
    raise LayoutError(f"{name}: neither a Layout nor a function that takes Sources")
