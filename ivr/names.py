"""Names that do not exist, and the ones that are meant: one wording for all of them.

Like :mod:`ivr.errors` this module stands below everything else.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from ivr.errors import IvrError

MOST = 20
"""Names that a message lists."""


class UnknownNameError(IvrError):
    """A name that nothing has, in one line with the names that are meant."""


def unknown(what: str, name: str, known: Iterable[str], more: str = "") -> UnknownNameError:
    """Return the error for the ``name`` that no ``what`` has.

    Args:
        what: the kind of thing, e.g. ``method``.
        name: what was given.
        known: all names.
        more: what else can be given, e.g. ``or module:Class``.
    """
    also = f" ({more})" if more else ""
    return UnknownNameError(f"no {what} {name!r}; {suggestion(name, known)}{also}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the names that are close to ``name``, or those that are known."""
    known = list(known)
    near = get_close_matches(name, known, 3, 0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    rest = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"there are {', '.join(known[:MOST])}{rest}"
