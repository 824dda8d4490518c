"""The result of an audit, and its report as lines of text."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .chance import Chance
from .findings import Finding

SHOWN = 20
"""Findings of one kind that the text names; ``Audit.findings`` has all of them."""

BAR = 40
"""Width of the bar of the largest class, characters."""


@dataclass(frozen=True)
class Durations:
    """Lengths of the readable voices, seconds.

    Attributes:
        minimum: shortest length.
        median: half of the voices are shorter.
        percentile_95: 95 % of the voices are shorter.
        maximum: longest length.
        limit: length that ``ivr extract`` keeps by default; longer voices are cut.
        longer: number of voices longer than the limit.
    """

    minimum: float
    median: float
    percentile_95: float
    maximum: float
    limit: float
    longer: int


@dataclass(frozen=True, repr=False)
class Audit(Result):
    """Contents of a manifest and its files, and the findings; its repr is the printed report.

    Attributes:
        images: number of images.
        voices: number of voices.
        images_by_class: class -> number of images (of voices, if there are no images).
        dataset: ``ucm``, ``sydney`` or ``rsicd`` if the classes are its own, else ``None``.
        durations: lengths of the voices, ``None`` if no voice is readable.
        chance: mAP of a random order, ``None`` if there is no test split.
        split: which split is audited, in words.
        images_by_split: split -> number of images, in the split that is audited.
        findings: problems first.
    """

    images: int
    voices: int
    images_by_class: dict[str, int]
    dataset: str | None
    durations: Durations | None
    chance: Chance | None
    split: str
    images_by_split: dict[str, int]
    findings: tuple[Finding, ...]

    def problems(self) -> tuple[Finding, ...]:
        """Return the findings that are certainly wrong."""
        return tuple(one for one in self.findings if one.severity == "problem")

    def warnings(self) -> tuple[Finding, ...]:
        """Return the findings that may be intended."""
        return tuple(one for one in self.findings if one.severity == "warning")

    def notes(self) -> tuple[Finding, ...]:
        """Return the findings that were asked for or decided."""
        return tuple(one for one in self.findings if one.severity == "note")

    def __repr__(self) -> str:
        """Return the lines that ``ivr check`` prints."""
        return audit_text(self)


def audit_text(audit: Audit) -> str:
    """Return the lines that ``ivr check`` prints: counts, classes, durations, then findings."""
    lines = [f"images: {audit.images}", f"voices: {audit.voices}", *_class_lines(audit)]
    if audit.durations:
        lines.append(_durations_line(audit.durations))
    sizes = ", ".join(f"{split} {count}" for split, count in audit.images_by_split.items())
    lines.append(f"audited split: {audit.split}" + (f"; images: {sizes}" if sizes else ""))
    if audit.chance:
        lines.append(
            f"chance mAP (class, test split, one voice per image): "
            f"image->voice {audit.chance.image_to_voice:.2%}, "
            f"voice->image {audit.chance.voice_to_image:.2%}"
        )
    counts = []
    for found, severity in (
        (audit.problems(), "problem"),
        (audit.warnings(), "warning"),
        (audit.notes(), "note"),
    ):
        lines += _finding_lines(found)
        if found or severity != "note":
            counts.append(counted(len(found), severity))
    lines.append(", ".join(counts))
    return "\n".join(map(visible, lines))


def _class_lines(audit: Audit) -> list[str]:
    known = f" (those of {audit.dataset})" if audit.dataset else ""
    lines = [f"classes: {len(audit.images_by_class)}{known}"]
    width = max(map(len, audit.images_by_class), default=0)
    largest = max(audit.images_by_class.values(), default=1)
    for label, count in audit.images_by_class.items():
        bar = "#" * max(1, round(BAR * count / largest))
        lines.append(f"  {label:<{width}} {bar} {count}")
    return lines


def _durations_line(durations: Durations) -> str:
    return (
        f"seconds per voice: {durations.minimum:.2f} to {durations.maximum:.2f}, "
        f"median {durations.median:.2f}, 95 % below {durations.percentile_95:.2f}; "
        f"{durations.longer} longer than the {durations.limit:g} s that extract keeps"
    )


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.kind].append(finding)
    lines = []
    for kind, found in by_kind.items():
        lines += [f"{one.severity}: {kind}: {one.text}" for one in found[:SHOWN]]
        if len(found) > SHOWN:
            more = len(found) - SHOWN
            lines.append(f"{found[0].severity}: {kind}: and {more} more (--json has all)")
    return lines
