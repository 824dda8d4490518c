"""How long the runs of a comparison were trained, and whether more epochs may help."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ivr.hashing.method import TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.pipeline.runs.run_folder import HISTORY, EpochOfRun, read_epochs
from ivr.pipeline.runtime.words import counted


@dataclass(frozen=True)
class TrainingLength:
    """The epochs of all runs of one row.

    Attributes:
        name: the row.
        epochs: number of epochs that were asked for.
        usual: default number of epochs of the method.
        best: for each run the epoch whose weights were kept; None without validation.
    """

    name: str
    epochs: int
    usual: int
    best: tuple[int | None, ...]

    @property
    def rising(self) -> int:
        """Number of runs whose last epoch was the best."""
        return self.best.count(self.epochs)


def training_length(name: str, method: str, runs: Sequence[Path]) -> TrainingLength | None:
    """Return the epochs of ``runs``, which differ in their seed alone.

    Args:
        name: name of their row.
        method: name of their method.
        runs: run folders.

    Returns:
        None for a method that is computed in one step, and for runs without a history.

    Raises:
        RunError: a damaged history.
    """
    trained = [run for run in runs if (run / HISTORY).is_file()]
    build = method_entry(method).build
    if not trained or not issubclass(build, TrainedMethod):
        return None
    histories = [read_epochs(run) for run in trained]
    best = tuple(best_epoch(epochs) for epochs in histories)
    return TrainingLength(name, len(histories[0]), build.epochs, best)


def best_epoch(epochs: Iterable[EpochOfRun]) -> int | None:
    """Return the first epoch with the best validation mAP; None without validation."""
    best, number = 0.0, None
    for count, epoch in enumerate(epochs, 1):
        image, voice = epoch["image_to_voice"], epoch["voice_to_image"]
        if image is not None and voice is not None and (number is None or image + voice > best):
            best, number = image + voice, count
    return number


def training_notes(lengths: Sequence[TrainingLength]) -> list[str]:
    """Return a note on other numbers of epochs than the default, and one on runs that still rise.

    A run still rises if no earlier epoch was as good as its last one.
    """
    other = [one for one in lengths if one.epochs != one.usual]
    notes = []
    if other:
        told = "; ".join(f"{one.name} {one.epochs} (default {one.usual})" for one in other)
        notes.append(f"Not the default number of epochs: {told}.")
    rising = [one for one in lengths if one.rising]
    if rising:
        told = "; ".join(
            f"{one.name} ({one.rising} of {counted(len(one.best), 'run')})" for one in rising
        )
        notes.append(
            f"Still rising: the last epoch has the best validation mAP in {told}. More epochs may "
            "help: --epochs."
        )
    return notes
