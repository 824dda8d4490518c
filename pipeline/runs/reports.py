"""Reports of a training to a tracking server such as MLflow, through one small protocol.

A reporter is named ``mlflow``, is an entry point of the group ``ivr.reporters``, or is given as
``module:Class`` (docs/how-to/watch-a-training.md shows one).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ivr.extensions import load_extension
from ivr.hashing.trainer import Epoch
from ivr.pipeline.runtime.progress import warn

from .reporter_names import GROUP, OWN, ReportError, require_reporter

PERCENT = "validation_mAP_percent"
Parameter = str | int | float | bool


class Reporter(Protocol):
    """Takes what is known of one training, in the order of the methods.

    An exception in ``begin`` ends the training before it starts; one in ``epoch`` or ``end`` ends
    the reports alone, with a warning.
    """

    def begin(self, run: Path, parameters: Mapping[str, Parameter]) -> None:
        """Begin the report of the run folder ``run`` with its choices by name."""

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Report the metrics of the epoch ``number``; a resumed run begins with its first one."""

    def end(self, finished: bool) -> None:
        """End the report; ``finished`` is false after an error or an interrupt."""


def run_parameters(chosen: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the choices of a run by name; those of a method and its training with a dot.

    Args:
        chosen: content of ``config.json``.
    """
    names = ("method", "bits", "voices", "streams", "seed", "augmented", "split")
    found = {name: chosen[name] for name in names if name in chosen}
    return _flat({**found, "options": chosen["options"], "training": chosen["training"]}, "")


def epoch_metrics(epoch: Epoch) -> dict[str, float]:
    """Return losses, learning rate, speed and, in percent, validation mAP of ``epoch``."""
    metrics = {f"loss/{name}": value for name, value in epoch.losses.items()}
    metrics["learning_rate"] = epoch.learning_rate
    metrics["pairs_per_second"] = epoch.pairs_per_second
    if epoch.image_to_voice is not None and epoch.voice_to_image is not None:
        metrics[f"{PERCENT}/image_to_voice"] = 100 * epoch.image_to_voice
        metrics[f"{PERCENT}/voice_to_image"] = 100 * epoch.voice_to_image
    return metrics


@contextmanager
def reporting_to(
    names: Sequence[str], run: Path, parameters: Mapping[str, Parameter], history: Sequence[Epoch]
) -> Iterator[Callable[[Epoch], None]]:
    """Yield a function that reports an epoch to the reporters ``names``.

    Args:
        names: names of reporters.
        run: the run folder.
        parameters: its choices.
        history: epochs before a run is continued, which are reported first.

    Raises:
        ReportError: a reporter that cannot begin.
        ExtensionError, UnknownNameError: no such reporter.
    """
    reporters = {name: _begun(name, run, parameters) for name in names}

    reported = 0

    def report(epoch: Epoch) -> None:
        nonlocal reported
        if epoch.number <= reported:  # an epoch after the checkpoint, which is trained again
            return
        reported = epoch.number
        for name, reporter in list(reporters.items()):
            try:
                reporter.epoch(epoch.number, epoch_metrics(epoch))
            except Exception as error:  # a server that is gone ends no training
                warn(f"reports to {name} end: {_line(error)}")
                del reporters[name]

    finished = False
    try:
        for epoch in history:
            report(epoch)
        yield report
        finished = True
    finally:
        for name, reporter in reporters.items():
            try:
                reporter.end(finished)
            except Exception as error:
                warn(f"the report to {name} is not complete: {_line(error)}")


def _begun(name: str, run: Path, parameters: Mapping[str, Parameter]) -> Reporter:
    require_reporter(name)
    kind = load_extension(GROUP, OWN.get(name, name))
    try:
        reporter: Reporter = kind()
        reporter.begin(run, parameters)
    except Exception as error:  # whatever a library or a class of the user raises
        raise ReportError(f"{name}: cannot begin a report ({_line(error)})") from error
    return reporter


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            found[f"{prefix}{name}"] = ",".join(map(str, value))
        else:
            found[f"{prefix}{name}"] = "none" if value is None else value
    return found


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
