"""The table of methods of docs/explanation/methods.md.

``python -m ivr.hashing.method_table`` prints it.
"""

from importlib import import_module

from .distance_names import Distance
from .method import Method
from .methods import method_entry, own_method_names

HEAD = ("name", "method", "source", "ranks by", "what is not as published")
RANKS_BY: dict[Distance, str] = {
    "hamming": "Hamming distance",
    "euclidean": "Euclidean distance",
    "matching": "matching probability",
}


def method_table() -> str:
    """Return the methods of this package as a Markdown table, one row per method."""
    rows = [HEAD, ("---",) * len(HEAD), *map(_row, own_method_names())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _row(name: str) -> tuple[str, ...]:
    method = method_entry(name).build
    what = (import_module(method.__module__).__doc__ or "").partition("\n")[0].rstrip(".")
    return f"`{name}`", what, method.source, RANKS_BY[method.distance], _not_as_published(method)


def _not_as_published(method: type[Method]) -> str:
    reconstruction = method.reconstruction and f"**reconstruction** {method.reconstruction}"
    return "; ".join(text for text in (reconstruction, method.differences) if text)


if __name__ == "__main__":
    print(method_table(), end="")
