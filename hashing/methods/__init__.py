"""The methods of the field, one file each; all train from the same features.

A new method is one new file with a config and a :class:`~ivr.hashing.methods.base.Method`, and its
name in :data:`METHODS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ivr.hashing.networks import Sizes

from .base import Batch, Method
from .divh import DIVH, DIVHConfig

__all__ = ["METHODS", "Batch", "Method", "MethodEntry", "method_entry"]


@dataclass(frozen=True)
class MethodEntry:
    """How to configure and build a method.

    Attributes:
        config: the method's frozen dataclass of choices.
        build: makes the model from its config and the sizes of the data.
    """

    config: type[Any]
    build: Callable[[Any, Sizes], Method]


METHODS = {"divh": MethodEntry(DIVHConfig, DIVH)}


def method_entry(name: str) -> MethodEntry:
    """Return the method ``name``.

    Raises:
        ValueError: no such method.
    """
    if name not in METHODS:
        raise ValueError(f"no method {name!r}; there are {', '.join(METHODS)}")
    return METHODS[name]
