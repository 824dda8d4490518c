"""The hashing methods, one file each; all learn from the same features.

A file of this package is a method. It ends with ``METHOD``, a
:class:`~ivr.hashing.method.MethodEntry` that names its class and its config. Nothing else lists
the methods: a new file here is known to the command line, comparisons, docs and tests
(docs/how-to/add-a-method.md shows one). A method outside this package is given as
``module:Class`` or as an entry point of the group ``ivr.methods``.

The methods are imported only when they are asked for; listing their names needs no torch.
"""

from inspect import isclass
from typing import TYPE_CHECKING, Any, get_type_hints

from ivr.errors import IvrError
from ivr.extensions import Registry
from ivr.names import unknown

if TYPE_CHECKING:
    from ivr.hashing.method import MethodEntry

REGISTRY = Registry(__name__, tuple(__path__), "METHOD", "ivr.methods")


class MethodError(IvrError):
    """A method that cannot be used, in one line."""


def own_method_names() -> tuple[str, ...]:
    """Return the names of the methods of this package, sorted; imports none of them."""
    return REGISTRY.own_names


def method_names() -> tuple[str, ...]:
    """Return the names of all methods: those of this package, then those of installed packages."""
    return REGISTRY.names()


def method_entry(name: str) -> "MethodEntry":
    """Return how to configure and build the method ``name``; imports it.

    Args:
        name: name of a method of this package, of an entry point of ``ivr.methods``, or
            ``module:Class``.

    Raises:
        UnknownNameError: there is no such method.
        MethodError: the object is not a method.
        ExtensionError: the method is outside this package and cannot be imported.
    """
    if not REGISTRY.knows(name):
        raise unknown("method", name, method_names(), "or module:Class")
    return _entry(name, REGISTRY.load(name))


def method_text(name: str) -> str:
    """Return source, distance, training and reconstruction of the method ``name``, as comments.

    Raises:
        UnknownNameError, ExtensionError: no such method.
    """
    from ivr.hashing.method import TrainedMethod

    method = method_entry(name).build
    lines = [f"{name}: {method.source}", f"ranks by {method.distance} distance"]
    if issubclass(method, TrainedMethod):
        lines.append(
            f"trained for {method.epochs} epochs with {method.optimiser}, unless --epochs and "
            "--optimiser say otherwise"
        )
    else:
        lines.append("computed in one step, not trained")
    if method.reconstruction:
        lines.append(f"reconstruction, {method.reconstruction}")
    return "\n".join(f"# {line}" for line in lines)


def _entry(name: str, found: Any) -> "MethodEntry":
    """Return the entry that ``found``, loaded as the method ``name``, is or describes."""
    from ivr.hashing.method import Method, MethodEntry

    if isinstance(found, MethodEntry):
        return found
    if isclass(found) and issubclass(found, Method):
        config = get_type_hints(found).get("config")
        if isclass(config):
            return MethodEntry(build=found, config=config)
    raise MethodError(
        f"{name}: neither a MethodEntry nor a Method class with an annotation `config: ItsConfig`"
    )
