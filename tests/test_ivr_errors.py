from collections.abc import Iterator
from importlib import import_module
from textwrap import dedent

from source_tree import product_modules

from ivr.errors import IvrError

INDENT = 4


def error_lines(root: type[Exception], depth: int = 1) -> Iterator[str]:
    for kind in sorted(root.__subclasses__(), key=lambda kind: kind.__name__):
        if kind.__module__.startswith("ivr."):
            yield f"{' ' * INDENT * depth}{kind.__name__} {kind.__module__}"
            yield from error_lines(kind, depth + 1)


def documented_lines() -> list[str]:
    tree = (IvrError.__doc__ or "").split("::\n\n", 1)[1].split("\n\n", 1)[0]
    lines = [line.rstrip() for line in dedent(tree).splitlines()]
    return [
        " " * (len(line) - len(line.lstrip())) + " ".join(line.split()) for line in lines if line
    ]


def test_the_tree_in_the_docstring_of_ivr_error_is_the_tree_of_classes() -> None:
    for module in product_modules():
        if not module.name.endswith("__main__"):
            import_module(module.name)

    assert documented_lines() == ["IvrError", *error_lines(IvrError)]


def test_every_exception_that_the_product_defines_is_an_ivr_error() -> None:
    defined = {
        value
        for module in product_modules()
        if not module.name.endswith("__main__")
        for value in vars(import_module(module.name)).values()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == module.name
    }

    assert {kind.__name__ for kind in defined if not issubclass(kind, IvrError)} == set()
