"""Which module of the product imports which, read from the source; nothing is imported."""

import ast
from collections.abc import Iterable, Iterator, Mapping

from source_tree import Module

PACKAGES = ("cli", "features", "hashing", "pipeline")


def room_of(name: str) -> str:
    """Return the room of a module: ``cli``, ``features``, ``pipeline.runs`` and so on."""
    places = name.split(".")[1:]
    if not places or places[0] == "__main__":
        return "ivr"
    if places[0] not in PACKAGES:
        return "leaves"  # a module beside the public names, such as ivr.errors
    return ".".join(places[:2]) if places[0] == "pipeline" and len(places) > 1 else places[0]


def module_arrows(modules: Iterable[Module], *, with_types: bool = True) -> dict[str, set[str]]:
    """Return for each module the modules of the product that it imports anywhere in its file.

    Args:
        modules: the modules.
        with_types: also imports below ``if TYPE_CHECKING``, which no program runs.
    """
    modules = tuple(modules)
    names = {module.name for module in modules}
    return {
        module.name: {
            target
            for wanted in _wanted(module, with_types)
            for target in [_longest(wanted, names)]
            if target and target != module.name
        }
        for module in modules
    }


def room_arrows(arrows: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], int]:
    """Return how many imports lead from one room to another one."""
    counts: dict[tuple[str, str], int] = {}
    for source, targets in arrows.items():
        for target in targets:
            pair = room_of(source), room_of(target)
            if pair[0] != pair[1]:
                counts[pair] = counts.get(pair, 0) + 1
    return counts


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the sets of nodes that reach each other, each sorted; none if there is no circle."""
    reached = {name: _reached(name, arrows) for name in arrows}
    found = {
        tuple(sorted(other for other in targets if name in reached.get(other, ())))
        for name, targets in reached.items()
        if name in targets
    }
    return [list(circle) for circle in sorted(found)]


def outside_imports(module: Module) -> set[str]:
    """Return the packages outside the product that ``module`` imports, e.g. ``h5py``."""
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found - {"ivr"}


def _nodes(node: ast.AST, with_types: bool) -> Iterator[ast.AST]:
    """Yield the nodes below ``node``."""
    for child in ast.iter_child_nodes(node):
        types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if with_types or not types:
            yield child
            yield from _nodes(child, with_types)


def _wanted(module: Module, with_types: bool) -> Iterator[str]:
    """Yield the dotted names that a module imports: ``ivr.features.store.Table`` and so on."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in _nodes(module.tree, with_types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _longest(wanted: str, names: set[str]) -> str:
    """Return the longest name of a module that ``wanted`` starts with, ``""`` if none does."""
    while wanted and wanted not in names:
        wanted = wanted.rpartition(".")[0]
    return wanted


def _reached(name: str, arrows: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(arrows[name])
    while waiting:
        target = waiting.pop()
        if target not in found:
            found.add(target)
            waiting += arrows.get(target, ())
    return found
