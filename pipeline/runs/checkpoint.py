"""Epochs, checkpoint and best weights of a training in its run folder."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ivr.features.atomic_files import FileKind, appended, replaced
from ivr.features.regular_files import read_regular
from ivr.hashing.method import Method, TrainedMethod
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import Epoch, make_optimiser
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runtime.json_files import MOST_BYTES, ContentError, record_of
from ivr.pipeline.runtime.progress import say

from .learning import Recorder, Start
from .reports import Parameter, epoch_metrics
from .run_folder import (
    CHECKPOINT,
    EVENTS,
    HISTORY,
    MODEL,
    RunError,
    load_weights,
    read_tensors,
    write_tensors,
)
from .tensorboard_events import write_parameters

# What each optimiser keeps of every parameter that had a gradient.
_KEPT = {
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.SGD: {"momentum_buffer"},
}
# A damaged history does not keep a run from going on.
_LINES = FileKind("a history", lambda _: True)


class FolderRecorder(Recorder):
    """Writes the best weights, a checkpoint, the history and TensorBoard events of every epoch."""

    def __init__(
        self,
        run: Path,
        parameters: Mapping[str, Parameter],
        report: Callable[[Epoch], None] = lambda epoch: None,
    ) -> None:
        """Write into the run folder ``run``.

        Args:
            run: the folder.
            parameters: choices of the run, for TensorBoard.
            report: is told of each epoch.
        """
        self.run, self._parameters, self._report = run, parameters, report
        self._events: SummaryWriter | None = None

    def start(
        self, model: TrainedMethod, training: Pairs, config: TrainConfig, device: torch.device
    ) -> Start:
        """Return where training begins: after the checkpoint of the folder, if it has one."""
        if (self.run / CHECKPOINT).exists():
            start = self._continued(model, config, device)
        else:
            (self.run / HISTORY).unlink(missing_ok=True)
            start = super().start(model, training, config, device)
        place = self.run / EVENTS
        if place.is_symlink():
            raise RunError(f"{place}: a link lies where a folder is to be written; remove it")
        self._events = SummaryWriter(str(place), purge_step=start.epochs_done + 1)
        if not start.epochs_done:
            write_parameters(self._events, self._parameters)
        return start

    def keep(self, model: Method, epoch: Epoch) -> None:
        """Write the weights to ``model.safetensors``."""
        write_tensors(self.run / MODEL, model.state_dict(), {"epoch": str(epoch.number)})

    def record(
        self,
        model: Method,
        optimiser: torch.optim.Optimizer | None,
        epoch: Epoch,
        best: float,
        config: TrainConfig,
    ) -> None:
        """Append to the history, and write the checkpoint and the events of a trained epoch."""
        if optimiser is None:
            (self.run / HISTORY).unlink(missing_ok=True)
        write_history(self.run / HISTORY, epoch)
        if optimiser is not None:
            write_checkpoint(self.run / CHECKPOINT, model, optimiser, epoch.number, best)
            assert self._events is not None
            write_events(self._events, epoch)
        self._report(epoch)

    def close(self) -> None:
        """Close the TensorBoard events."""
        if self._events is not None:
            self._events.close()

    def _continued(self, model: TrainedMethod, config: TrainConfig, device: torch.device) -> Start:
        """Load model and optimiser from the checkpoint."""
        tensors, notes = read_tensors(self.run / CHECKPOINT)
        load_weights(model, _under(tensors, "model."), self.run / CHECKPOINT)
        model.to(device)
        optimiser = make_optimiser(model, config)
        try:
            _load_optimiser(optimiser, _under(tensors, "optimiser."))
            done, best = int(notes["epoch"]), float(notes["best"])
        except (KeyError, ValueError) as error:
            raise RunError(
                f"{self.run / CHECKPOINT}: damaged, cannot be continued from ({error}); "
                "start the run anew with ivr train-hash --overwrite"
            ) from error
        _cut_history(self.run / HISTORY, done)
        say(f"continuing after epoch {done} of {config.epochs}")
        return Start(optimiser, done, best)


def write_history(path: Path, epoch: Epoch) -> None:
    """Append ``epoch`` to the history, one JSON object per line."""
    with appended(path) as file:
        file.write((json.dumps(asdict(epoch)) + "\n").encode())


def read_history(path: Path) -> tuple[Epoch, ...]:
    """Return the epochs in the history ``path``; damaged lines are left out."""
    epochs = []
    for line in read_regular(path, MOST_BYTES).splitlines() if path.exists() else ():
        with suppress(ContentError):
            epochs.append(record_of(line, Epoch))
    return tuple(epochs)


def write_checkpoint(
    path: Path, model: Method, optimiser: torch.optim.Optimizer, epoch: int, best: float
) -> None:
    """Write what training needs to continue after ``epoch``."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {
            f"optimiser.{number}.{name}": torch.as_tensor(value)
            for name, value in state.items()
            if value is not None
        }
    write_tensors(path, tensors, {"epoch": str(epoch), "best": repr(best)})


def write_events(events: SummaryWriter, epoch: Epoch) -> None:
    """Write the metrics of ``epoch`` for TensorBoard."""
    for name, value in epoch_metrics(epoch).items():
        events.add_scalar(name, value, epoch.number)


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the state of ``optimiser`` once every tensor is what a step takes it for.

    torch does not look: fused steps read and write beyond the end of a tensor that is too short.

    Raises:
        ValueError: a tensor is missing, unknown, or of another shape or type than the parameter.
    """
    kept = _KEPT[type(optimiser)]
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        if not number.isdecimal() or int(number) >= len(parameters) or name not in kept:
            raise ValueError(f"unknown tensor optimiser.{key}")
        parameter = parameters[int(number)]
        shape, dtype = (
            (torch.Size(), torch.float32) if name == "step" else (parameter.shape, parameter.dtype)
        )
        if tensor.shape != shape or tensor.dtype != dtype:
            raise ValueError(
                f"optimiser.{key} is {tensor.dtype} {list(tensor.shape)}, "
                f"its parameter needs {dtype} {list(shape)}"
            )
        state.setdefault(int(number), {})[name] = tensor
    for place, held in state.items():
        if lacking := kept - set(held):
            raise ValueError(f"optimiser.{place}.{min(lacking)} is missing")
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _cut_history(path: Path, epochs: int) -> None:
    """Drop the lines that a killed run wrote after its last checkpoint."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    with replaced(path, _LINES) as file:
        file.write(b"".join(line + b"\n" for line in lines[:epochs]))
