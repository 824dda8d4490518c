"""The table of a comparison in the parts that a page shows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ivr.hashing.bootstrap import Difference
from ivr.pipeline.comparison.columns import ARROWS, units_in_words
from ivr.pipeline.comparison.row_heads import TOLD_ONCE
from ivr.pipeline.comparison.table import Gap, Spread
from ivr.pipeline.evaluation.per_query import DIRECTIONS

from .caveats import has_synthetic_voices
from .compared import Compared
from .evaluated_run import EvaluatedRun
from .query_cards import DIRECTION_WORDS

FIGURE_SPACE, POINT_SPACE = "\u2007", "\u2008"
"""Spaces as wide as a digit and as a point, which align numbers of unequal length."""
_NUMBER = re.compile(r"(-?\d+)(\.\d+)?(?: ± (.*))?")


@dataclass(frozen=True)
class TableCell:
    """One value of the table: mean with deviation or interval, and whether its mean is the best."""

    text: str
    best: bool


@dataclass(frozen=True)
class MethodRow:
    """One row of the table of a comparison."""

    kind: str
    heads: tuple[str, ...]
    cells: tuple[TableCell, ...]
    note: str


@dataclass(frozen=True)
class TablePart:
    """Columns of the table that stand side by side, with all rows."""

    caption: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[MethodRow, ...]


def table_parts(found: Compared, run: EvaluatedRun) -> list[TablePart]:
    """Return the table in parts: metrics per direction, then the others and the differences.

    What all measured rows share stands in the captions instead of a column.

    Args:
        found: the comparison.
        run: one of its runs, which says what kind of voices were measured.
    """
    # Voices that ask come first, as on the page of a run.
    groups: dict[str, list[str]] = {direction: [] for direction in reversed(DIRECTIONS)}
    for key in found.table["columns"]:
        direction, _, name = key.rpartition(".")
        group = "differences" if name == "difference" else direction
        groups.setdefault(group, []).append(key)
    groups["differences"] = [
        key for way in reversed(DIRECTIONS) for key in groups.get("differences", ())
        if key.startswith(way)
    ]  # fmt: skip
    heads, shared = _heads(found)
    voices = _voices(found, run)
    return [
        TablePart(
            _caption(group, keys, ", ".join([*shared, *voices])),
            heads,
            tuple(_head(key, group) for key in keys),
            tuple(_rows(found, keys, heads)),
        )
        for group, keys in groups.items()
        if keys
    ]


def unbroken(title: str) -> str:
    """Return ``title`` with spaces that do not break inside ``n = 420`` and ``64 bits``."""
    return re.sub(r"(?<=\d) (?=bits|seed)", "\u00a0", title.replace(" = ", "\u00a0=\u00a0"))


def _heads(found: Compared) -> tuple[tuple[str, ...], list[str]]:
    """Return the head columns in which measured rows differ, and in words what they share."""
    heads, shared = [], []
    for head in found.table["heads"]:
        values = {str(dict(line).get(head, "")) for line in found.names.values()}
        if head in TOLD_ONCE and len(values) == 1:
            value = values.pop()
            words = {"bits": f"{value} bits", "seeds": f"seeds per row: {value}"}
            shared.append(words.get(head, f"{head} {value}"))
        else:
            heads.append(head)
    return tuple(heads), shared


def _voices(found: Compared, run: EvaluatedRun) -> list[str]:
    told = ["measured with synthetic voices"] if has_synthetic_voices(run) else []
    published = any(line["kind"] == "published" for line in found.lines)
    return [*told, "published rows with recorded voices"] if published else told


def _caption(group: str, keys: Sequence[str], shared: str) -> str:
    if group == "differences":
        return (
            "Difference of mAP from the reference row, which the notes name, in points, with the "
            "95 % interval over queries, p, and the seeds in which the row is ahead. Only where "
            "the interval excludes 0 is a difference certain for other queries of the same kind"
        )
    words = DIRECTION_WORDS.get(group)
    units = units_in_words("percent", [key.rpartition(".")[2] for key in keys])
    what = f"{words[0].upper()}{words[1:]} ({ARROWS[group]}), {units}" if words else "Further"
    mean = "mean ± standard deviation over seeds; ★ best mean of the rows with as many bits"
    return (
        f"{what}: {mean}, which may still be chance: see the intervals of the differences. {shared}"
    )


def _head(key: str, group: str) -> str:
    direction, _, name = key.rpartition(".")
    return ARROWS[direction] if group == "differences" and direction in ARROWS else name


def _rows(found: Compared, keys: Sequence[str], heads: Sequence[str]) -> list[MethodRow]:
    lines = [
        line for line in found.lines
        if any(line["figures"].get(key) is not None for key in keys)
    ]  # fmt: skip
    columns = [aligned([_text(line["figures"], key) for line in lines]) for key in keys]
    return [
        MethodRow(
            line["kind"],
            tuple(str(dict(line).get(head, "")) for head in heads),
            tuple(
                TableCell(text[place], key in line["best"])
                for key, text in zip(keys, columns, strict=True)
            ),
            line["note"],
        )
        for place, line in enumerate(lines)
    ]


def aligned(texts: Sequence[str]) -> list[str]:
    """Return numbers with spaces as wide as digits, so that points and signs ± align.

    Texts that are no metric, such as differences with intervals, stay as they are.
    """
    found = [_NUMBER.fullmatch(text) for text in texts]
    whole = max((len(match[1]) for match in found if match), default=0)
    digits = max((len(match[2] or "") for match in found if match), default=0)
    padded = []
    for text, match in zip(texts, found, strict=True):
        if match is None:
            padded.append(text)
            continue
        number, decimals, deviation = match[1], match[2] or "", match[3]
        front = FIGURE_SPACE * (whole - len(number))
        missing = digits - len(decimals)
        behind = (POINT_SPACE if missing and not decimals else "") + FIGURE_SPACE * (
            missing - (not decimals and missing > 0)
        )
        end = f"{behind} ± {deviation}" if deviation is not None else ""
        padded.append(f"{front}{number}{decimals}{end}")
    return padded


def _text(figures: Mapping[str, Any], key: str) -> str:
    value = figures.get(key)
    if value is None:
        return ""
    if figures.get(f"{key}.low") is not None:
        ends = (float(figures[f"{key}.{name}"]) for name in ("low", "high", "p"))
        ahead, seeds = (int(figures[f"{key}.{name}"]) for name in ("seeds_ahead", "seeds"))
        return Gap(Difference(float(value), *ends), ahead, seeds).text
    return Spread(float(value), figures.get(f"{key}.deviation")).text
