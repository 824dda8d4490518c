"""Tables: cells, rows and notes, to be written in any format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ivr.hashing.bootstrap import Difference

from .columns import Column

DECIMALS = 2
"""Most decimals of a metric in print."""


def decimals(deviation: float) -> int:
    """Return the decimals that show two significant digits of ``deviation``, at most two."""
    if deviation <= 0:
        return DECIMALS
    exponent = int(f"{deviation:.1e}".partition("e")[2])
    return min(DECIMALS, max(0, 1 - exponent))


@dataclass(frozen=True)
class Spread:
    """A metric over seeds.

    Attributes:
        mean: mean over the seeds.
        deviation: standard deviation (n - 1), None for a single seed.
        best: the best of its column among the rows with as many bits.
        second: the second best one.
    """

    mean: float
    deviation: float | None = None
    best: bool = False
    second: bool = False

    @property
    def text(self) -> str:
        """Return mean and deviation, with the digits that the deviation leaves.

        The deviation has two significant digits, and both have as many decimals, at most
        :data:`DECIMALS`; without a deviation the mean has these.
        """
        if self.deviation is None:
            return f"{self.mean:.{DECIMALS}f}"
        digits = decimals(self.deviation)
        return f"{self.mean:.{digits}f} ± {self.deviation:.{digits}f}"

    def values(self) -> dict[str, float | None]:
        """Return the values in CSV and JSON by the end of their names."""
        return {"": self.mean, ".deviation": self.deviation}


@dataclass(frozen=True)
class Gap:
    """A difference from the reference, in percent points.

    Attributes:
        difference: difference with its interval by the bootstrap over queries.
        ahead: number of seeds in which the row is ahead of the reference.
        seeds: number of seeds that both have.
    """

    difference: Difference
    ahead: int
    seeds: int

    @property
    def text(self) -> str:
        """Return difference, interval, p and seeds."""
        found = self.difference
        p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
        mean, low, high = (
            f"{round(value, 2) + 0.0:+.2f}" for value in (found.mean, found.low, found.high)
        )
        return f"{mean} [{low}, {high}], {p}, ahead {self.ahead}/{self.seeds}"

    def values(self) -> dict[str, float | None]:
        """Return the values in CSV and JSON by the end of their names."""
        found = self.difference
        return {
            "": found.mean,
            ".low": found.low,
            ".high": found.high,
            ".p": found.p,
            ".seeds_ahead": self.ahead,
            ".seeds": self.seeds,
        }


Cell = Spread | Gap


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        kind: measured, chance or published.
        heads: name of the head column -> text.
        cells: key of the column -> cell; unknown values have no cell.
        note: a footnote, ``""`` for none.
        evaluations: seed -> folder of its evaluation below the folder of the comparison.
    """

    kind: str
    heads: Mapping[str, str]
    cells: Mapping[str, Cell]
    note: str = ""
    evaluations: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table that can be written in any format.

    Attributes:
        title: its title.
        heads: names of the head columns, which describe a row.
        columns: its metrics.
        rows: measured rows, then chance, then published rows.
        notes: notes on the whole table.
        label: label for references in LaTeX, ``""`` for none.
        choices: what decides its rows, as JSON values.
    """

    title: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()
    label: str = ""
    choices: Mapping[str, Any] = field(default_factory=dict)
