"""What ``ivr doctor`` found, as a table and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ivr.pipeline.runtime.results import TableResult
from ivr.pipeline.runtime.text_tables import aligned, markdown_table

Outcome = Literal["ok", "failed", "not checked", "note"]


@dataclass(frozen=True)
class MachineFact:
    """A property of the machine.

    Attributes:
        name: what it is.
        value: the property, in words.
    """

    name: str
    value: str


@dataclass(frozen=True)
class MachineCheck:
    """One comparison and its outcome.

    Attributes:
        name: what was compared.
        outcome: ``ok``, ``failed``, ``not checked`` (the text says why) or ``note`` (a difference
            that is no fault).
        text: what was measured and the limit, in words.
    """

    name: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class MeasuredRate:
    """A rate on this machine.

    Attributes:
        name: what was measured.
        value: the median.
        unit: its unit.
        text: range over the rounds, and what limits the rate if that is known.
    """

    name: str
    value: float
    unit: str
    text: str


@dataclass(frozen=True, repr=False)
class DoctorResult(TableResult):
    """What was found on a machine.

    Attributes:
        device: the device that was checked against the CPU, in words.
        facts: properties of the machine.
        checks: comparisons and their outcomes.
        rates: measured rates, none unless asked for.
    """

    device: str
    facts: tuple[MachineFact, ...]
    checks: tuple[MachineCheck, ...]
    rates: tuple[MeasuredRate, ...]

    @property
    def failed(self) -> tuple[MachineCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == "failed")

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per check and per rate."""
        checks = [
            {"kind": "check", "name": c.name, "result": c.outcome, "text": c.text}
            for c in self.checks
        ]
        rates = [
            {"kind": "rate", "name": r.name, "result": rate_text(r), "text": r.text}
            for r in self.rates
        ]
        return checks + rates

    def __repr__(self) -> str:
        """Return facts, checks and rates as the lines that ``ivr doctor`` prints."""
        parts: list[Sequence[tuple[str, ...]]] = [
            [(fact.name, fact.value) for fact in self.facts],
            [(check.outcome, check.name, check.text) for check in self.checks],
            [(rate.name, rate_text(rate), rate.text) for rate in self.rates],
        ]
        return "\n\n".join("\n".join(aligned(part)) for part in parts if part)

    def markdown(self) -> str:
        """Return facts, checks and rates as Markdown tables."""
        parts = [
            markdown_table(("machine", ""), [(fact.name, fact.value) for fact in self.facts]),
            markdown_table(
                ("check", "outcome", "measured"),
                [(check.name, check.outcome, check.text) for check in self.checks],
            ),
        ]
        if self.rates:
            rates = [(rate.name, rate_text(rate), rate.text) for rate in self.rates]
            parts.append(markdown_table(("rate", "median", "range and limit"), rates))
        return "\n\n".join(parts) + "\n"


def rate_text(rate: MeasuredRate) -> str:
    """Return the value of ``rate`` with its unit, to three digits."""
    value = f"{rate.value:,.0f}" if rate.value >= 100 else f"{rate.value:.3g}"
    return f"{value} {rate.unit}"
