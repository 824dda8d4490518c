"""Head columns of a comparison table: the text that describes a row and tells it from others."""

from collections.abc import Sequence

from .evaluated_runs import ComparisonRow
from .grid import streams_name

TOLD_ONCE = ("bits", "ranked by", "seeds")
"""Head columns that printed tables leave out where all rows agree; a note tells it."""
RANKED_BY = {"hamming": "codes", "euclidean": "Euclidean", "matching": "matching"}


def row_name(row: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    """Return the text that tells ``row`` from the others with as many bits."""
    heads = head_cells(row, head_names(rows))
    told = [text for name, text in heads.items() if name not in ("bits", "seeds", "ranked by")]
    return ", ".join([*told, "after sign"] if row.by_sign else told)


def head_names(rows: Sequence[ComparisonRow]) -> tuple[str, ...]:
    """Return the names of the head columns: a choice is shown if the rows differ in it."""
    streams = ("streams",) if len({row.row.streams for row in rows}) > 1 else ()
    voices = ("voices",) if len({row.row.voices for row in rows}) > 1 else ()
    checks = ("check",) if len({row.check for row in rows}) > 1 else ()
    return ("method", "bits", *streams, *voices, *checks, "ranked by", "seeds")


def told_once(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the words for what all ``rows`` share of the columns :data:`TOLD_ONCE`."""
    shared = []
    for head in TOLD_ONCE:
        values = {head_cells(row, TOLD_ONCE)[head] for row in rows}
        if len(values) == 1 and head != "seeds":
            value = values.pop()
            shared.append(f"{value} bits" if head == "bits" else f"{head} {value}")
    return shared


def head_cells(row: ComparisonRow, heads: Sequence[str]) -> dict[str, str]:
    """Return the text of ``row`` in each of the head columns ``heads``."""
    ranked_by = RANKED_BY[row.distance] + (", after sign" if row.by_sign else "")
    cells = {
        "method": row.row.variant.label,
        "bits": str(row.row.bits),
        "streams": streams_name(row.row.streams),
        "voices": row.row.voices,
        "check": row.check.label,
        "ranked by": ranked_by,
        "seeds": str(len(row.evaluations)),
    }
    return {head: cells[head] for head in heads}
