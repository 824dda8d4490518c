"""Title and label of a comparison table: what is compared, on what data, with how many seeds."""

import hashlib
import re
from collections.abc import Sequence

from ivr.pipeline.evaluation.protocol import DIRECTIONS
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .columns import ARROWS
from .escaped_text import shortened
from .evaluated_runs import ComparisonRow

LONGEST_NAME = 60
LONGEST_LABEL = 40


def table_title(subject: str, data: str, rows: Sequence[ComparisonRow]) -> str:
    """Return ``subject`` with data set, lengths of the codes, and numbers of seeds and queries."""
    bits = _listed(sorted({row.row.bits for row in rows}))
    seeds = {len(row.evaluations) for row in rows}
    most = max(seeds, default=0)
    told = [subject, shortened(visible(data), LONGEST_NAME), f"{bits} bits"]
    told.append(f"{'' if len(seeds) == 1 else 'up to '}{counted(most, 'seed')}")
    results = next((e.results for row in rows for e in row.evaluations.values()), None)
    if results is not None:
        queries = {direction: results[direction]["queries"] for direction in DIRECTIONS}
        if len(set(queries.values())) == 1:
            told.append(f"n = {queries[DIRECTIONS[0]]}")
        else:
            told += [f"n = {count} ({ARROWS[way]})" for way, count in queries.items()]
    return ", ".join(told)


def table_label(name: str, data: str) -> str:
    """Return the label of the table for ``\\ref``, the same in every call.

    Args:
        name: name of the table.
        data: name of the data set.
    """
    return f"tab:{_slug(name)}-{_slug(data)}"


def _slug(text: str) -> str:
    """Return ``text`` in small letters, digits and hyphens; different texts stay different."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_LABEL]
    plain = re.fullmatch(r"[A-Za-z0-9 _.-]+", text) and len(text) <= LONGEST_LABEL
    if slug and plain:
        return slug
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{slug}-{digest}".strip("-")


def _listed(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers or (0,))
    return f"{', '.join(first)} and {last}" if first else last
