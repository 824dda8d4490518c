"""The product's modules as files: what the tests of the architecture, names and prose walk."""

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("ivr", "cli", "features", "hashing", "pipeline")


@dataclass(frozen=True)
class Module:
    """One module of the product.

    Attributes:
        name: dotted name, e.g. ``ivr.features.store``.
        path: its file.
    """

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def shown(self) -> str:
        """Return the path below the root of the project."""
        return self.path.relative_to(ROOT).as_posix()


def product_modules() -> tuple[Module, ...]:
    """Return every module of the product in alphabetical order."""
    paths = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return tuple(Module(_name(path), path) for path in paths)


def _name(path: Path) -> str:
    places = path.relative_to(ROOT).with_suffix("").parts
    places = places[:-1] if places[-1] == "__init__" else places
    return ".".join(places if places[0] == "ivr" else ("ivr", *places))
