"""Results of extraction, of its plan and of merging: one outcome per modality."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ivr.pipeline.runtime.results import Result, TableResult
from ivr.pipeline.runtime.words import counted


@dataclass(frozen=True, repr=False)
class ModalityOutcome(Result):
    """Outcome for one modality.

    Attributes:
        path: the feature file.
    """

    path: Path

    def __repr__(self) -> str:
        """Return the outcome in one line."""
        return self.summary()

    @abstractmethod
    def summary(self) -> str:
        """Return the outcome in one line."""


Outcome = TypeVar("Outcome", bound=ModalityOutcome)


@dataclass(frozen=True, repr=False)
class OutcomePerModality(TableResult, Generic[Outcome]):
    """One outcome per modality.

    Attributes:
        images: outcome for the images, None if the manifest has none.
        voices: outcome for the voices, None if the manifest has none.
    """

    images: Outcome | None
    voices: Outcome | None

    def __iter__(self) -> Iterator[Outcome]:
        """Yield the outcome of each modality that the manifest has, images first."""
        return (outcome for outcome in (self.images, self.voices) if outcome)

    def __repr__(self) -> str:
        """Return the outcome of each modality on a line of its own."""
        return "\n".join(outcome.summary() for outcome in self)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per modality."""
        return [outcome.to_dict() for outcome in self]


@dataclass(frozen=True, repr=False)
class ExtractedModality(ModalityOutcome):
    """Outcome of the extraction of one modality.

    Attributes:
        path: the feature file.
        rows: number of rows in the file, 0 if it was not written.
        new: number of rows that this call made.
        skipped: names of files that could not be used, and of voices that could not be changed.
        left: number of rows still missing because the call was stopped.
    """

    rows: int
    new: int
    skipped: tuple[str, ...]
    left: int

    def summary(self) -> str:
        """Return the outcome in one line."""
        if self.left:
            return (
                f"{self.path}: not written yet, {counted(self.new, 'row')} made, {self.left} left"
            )
        skipped = f", {counted(len(self.skipped), 'file')} skipped" if self.skipped else ""
        return f"{self.path}: {counted(self.rows, 'row')}, {self.new} of them new{skipped}"


@dataclass(frozen=True, repr=False)
class ExtractResult(OutcomePerModality[ExtractedModality]):
    """Outcome of an extraction; see :class:`ExtractedModality`."""

    @property
    def finished(self) -> bool:
        """Whether no row is left to make."""
        return not any(outcome.left for outcome in self)


@dataclass(frozen=True, repr=False)
class PlannedModality(ModalityOutcome):
    """What an extraction would do for one modality.

    Attributes:
        path: the feature file.
        items: number of rows wanted: the names in the manifest, and the changed voices.
        done: number of these that were already made with the same settings.
        bytes: size of the vectors of the finished file.
    """

    items: int
    done: int
    bytes: int

    def summary(self) -> str:
        """Return the plan in one line."""
        return (
            f"{self.path}: {counted(self.items, 'item')}, {self.done} done already, "
            f"{self.items - self.done} to do, {self.bytes / 1e6:.0f} MB when finished"
        )


@dataclass(frozen=True, repr=False)
class ExtractPlan(OutcomePerModality[PlannedModality]):
    """What an extraction would do; see :class:`PlannedModality`."""


@dataclass(frozen=True, repr=False)
class MergedModality(ModalityOutcome):
    """Outcome of the merging of one modality.

    Attributes:
        path: the feature file.
        rows: number of rows in it.
        lacking: names of the manifest that no task has a row of: files that could not be used.
    """

    rows: int
    lacking: tuple[str, ...]

    def summary(self) -> str:
        """Return the outcome in one line."""
        lacking = f", {counted(len(self.lacking), 'file')} skipped" if self.lacking else ""
        return f"{self.path}: {counted(self.rows, 'row')}{lacking}"


@dataclass(frozen=True, repr=False)
class MergeResult(OutcomePerModality[MergedModality]):
    """Outcome of merging; see :class:`MergedModality`."""
