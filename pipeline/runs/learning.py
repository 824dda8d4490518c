"""The one training loop of all methods; a recorder decides where epochs and best weights go."""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from ivr.hashing.method import ClosedFormMethod, Method, TrainedMethod
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import Epoch, fit, make_optimiser, train
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runtime.memory import room
from ivr.pipeline.runtime.progress import reported, say, updating_line, warn
from ivr.pipeline.runtime.words import counted


class Start(NamedTuple):
    """Where a training begins: at its first epoch, or after a checkpoint."""

    optimiser: torch.optim.Optimizer
    epochs_done: int = 0
    best: float = -1.0


class Recorder(ABC):
    """Keeps the epochs and the best weights of a training, in a run folder or in memory."""

    def start(
        self, model: TrainedMethod, training: Pairs, config: TrainConfig, device: torch.device
    ) -> Start:
        """Make ``model`` ready for its next epoch on ``device``; return where it begins."""
        model.fit_inputs(training)
        model.to(device)
        return Start(make_optimiser(model, config))

    @abstractmethod
    def keep(self, model: Method, epoch: Epoch) -> None:
        """Keep the weights of ``model``, the best so far, in place of those kept before."""

    @abstractmethod
    def record(
        self,
        model: Method,
        optimiser: torch.optim.Optimizer | None,
        epoch: Epoch,
        best: float,
        config: TrainConfig,
    ) -> None:
        """Record a finished epoch; without an optimiser it is the one step of a closed form."""

    def close(self) -> None:
        """Release what the recorder holds open."""
        return


class MemoryRecorder(Recorder):
    """Keeps the epochs and the best weights in memory.

    Attributes:
        history: the epochs.
        weights: the best ones, on the CPU.
        kept: number of their epoch.
    """

    def __init__(self) -> None:
        """Begin without an epoch."""
        self.history: list[Epoch] = []
        self.weights: dict[str, Tensor] = {}
        self.kept = 0

    def keep(self, model: Method, epoch: Epoch) -> None:
        """Copy the weights."""
        tensors = model.state_dict().items()
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in tensors}
        self.kept = epoch.number

    def record(
        self,
        model: Method,
        optimiser: torch.optim.Optimizer | None,
        epoch: Epoch,
        best: float,
        config: TrainConfig,
    ) -> None:
        """Append to the history."""
        self.history.append(epoch)


def learn(
    model: Method,
    pairs: tuple[Pairs, Pairs],
    config: TrainConfig,
    device: torch.device,
    *,
    seed: int,
    recorder: Recorder,
) -> float:
    """Train ``model`` in place, or compute it; return the best mean validation mAP in [0, 1].

    Args:
        model: newly built.
        pairs: to learn from, and to choose the best epoch on.
        config: how to train, with every default filled in.
        device: where to compute.
        seed: decides batches, drawn voices, dropout and masks.
        recorder: takes every epoch and the best weights; of equally good epochs it keeps the last.
    """
    if isinstance(model, ClosedFormMethod):
        return _compute(model, pairs, device, seed, recorder)
    assert isinstance(model, TrainedMethod)  # there are two kinds
    training, validation = pairs
    optimiser, done, best = recorder.start(model, training, config, device)
    training = training.pooled_by(model.pool, room()).to(device)
    validation = validation.pooled_by(model.pool, room()).to(device)
    if not training.pooled:
        warn("the voices do not fit into memory: they are read from the file in every epoch")
    _say_large_batch(len(training.labels), config)
    epochs = train(model, optimiser, training, validation, config, seed=seed, start=done)
    risen = 0  # the epoch that last raised the best validation
    with updating_line() as show:
        for epoch in reported(epochs, (config.epochs or 0) - done, "epochs"):
            is_best = epoch.score is not None and epoch.score > best
            if epoch.score is not None and epoch.score >= best:
                risen = epoch.number if is_best else risen
                best = epoch.score
                recorder.keep(model, epoch)
            recorder.record(model, optimiser, epoch, best, config)
            show(
                epoch_text(epoch, config) + _best_text(best, risen),
                is_best or _is_told(epoch.number, done + 1, config.epochs or 0),
            )
    if risen and risen == config.epochs:
        say("note: the last epoch has the best validation mAP; more epochs may help: --epochs")
    return best


def _say_large_batch(images: int, config: TrainConfig) -> None:
    """Note a batch that holds most of the training set: few steps, and hardly any chance."""
    steps = math.ceil(images / config.batch_size)
    if 2 * config.batch_size > images:
        say(
            f"note: a batch of {config.batch_size} holds most of the {images} training images, "
            f"{counted(steps, 'step')} per epoch; a smaller --batch-size may help"
        )


def _is_told(number: int, first: int, last: int) -> bool:
    """Return whether a log has the epoch: the first, the last, and every tenth of the way."""
    return number in (first, last) or number * 10 // last > (number - 1) * 10 // last


def _best_text(best: float, risen: int) -> str:
    """Return the best mean validation mAP and its epoch; ``""`` before there is one."""
    if best < 0:
        return ""
    return f", best {100 * best:.2f}" + (f" in epoch {risen}" if risen else " so far")


def epoch_text(epoch: Epoch, config: TrainConfig) -> str:
    """Return the line that describes ``epoch`` while training."""
    return (
        f"epoch {epoch.number}/{config.epochs}: loss {epoch.losses['loss']:.4f}"
        f"{validation_text(epoch)}, {epoch.pairs_per_second:.0f} pairs per second"
    )


def validation_text(epoch: Epoch) -> str:
    """Return both validation mAP of ``epoch``, ``""`` where it was not validated."""
    if epoch.image_to_voice is None or epoch.voice_to_image is None:
        return ""
    return (
        f", validation mAP image->voice {100 * epoch.image_to_voice:.2f} "
        f"voice->image {100 * epoch.voice_to_image:.2f}"
    )


def _compute(
    model: ClosedFormMethod,
    pairs: tuple[Pairs, Pairs],
    device: torch.device,
    seed: int,
    recorder: Recorder,
) -> float:
    """Compute ``model`` in one step; a run that was stopped is computed again."""
    training, validation = (some.to(device) for some in pairs)
    model.to(device)
    epoch = fit(model, training, validation, seed=seed)
    score = epoch.score or 0.0
    recorder.record(model, None, epoch, score, TrainConfig())
    recorder.keep(model, epoch)
    say(f"computed in {epoch.seconds:.1f} s{validation_text(epoch)}")
    return score
