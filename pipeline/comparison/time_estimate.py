"""Estimates of training time, from the histories of similar runs or from a few steps."""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from ivr.hashing.method import ClosedFormMethod, TrainedMethod
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import fit, make_optimiser, train
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runs.run_folder import HISTORY, build_model, read_epochs
from ivr.pipeline.runtime.config_options import from_json
from ivr.pipeline.runtime.threads import torch_threads

from .grid import GridRow

STEPS = 4  # steps that are timed; the first one warms up
MOST_AT_ONCE = 64  # pairs on which a method without steps is timed


def epochs_done(run: Path) -> list[float]:
    """Return the seconds of each epoch in the history of ``run``.

    Raises:
        RunError: a history that training did not write.
    """
    return [epoch["seconds"] for epoch in read_epochs(run)] if (run / HISTORY).is_file() else []


def epoch_seconds(histories: Mapping[GridRow, list[float]], row: GridRow) -> float | None:
    """Return the mean time of an epoch of ``row``, or of its method; None without a history.

    Args:
        histories: seconds of the epochs of trained and begun runs.
        row: the row to train.
    """
    own = histories.get(row, [])
    alike = [
        seconds
        for other, found in histories.items()
        if other.variant.method == row.variant.method
        for seconds in found
    ]
    return fmean(own or alike) if own or alike else None


def measured_epoch_seconds(chosen: Mapping[str, Any], threads: int) -> float:
    """Return the time of an epoch, measured with a few steps on random numbers on the CPU.

    Args:
        chosen: description of the run by :func:`ivr.pipeline.runs.train.describe_run`.
        threads: number of threads of torch.
    """
    images = int(chosen["images"]["train"])
    model = build_model(chosen)
    with torch_threads(threads):
        if isinstance(model, ClosedFormMethod):
            pairs = _random_pairs(chosen, min(images, MOST_AT_ONCE))
            return fit(model, pairs, pairs, seed=0).seconds * images / len(pairs.labels)
        assert isinstance(model, TrainedMethod)  # there are two kinds
        config = from_json(TrainConfig, chosen["training"])
        pairs = _random_pairs(chosen, min(images, config.batch_size))
        return _step_seconds(model, pairs, config) * ceil(images / config.batch_size)


def _step_seconds(model: TrainedMethod, pairs: Pairs, config: TrainConfig) -> float:
    """Return the time of a step: an epoch of one batch."""
    model.fit_inputs(pairs)
    once = replace(config, epochs=STEPS, validate_every=STEPS)
    pooled = pairs.pooled_by(model.pool, float("inf"))
    epochs = train(model, make_optimiser(model, once), pooled, pooled, once, seed=0)
    return min([next(epochs).seconds for _ in range(STEPS - 1)][1:])


def _random_pairs(chosen: Mapping[str, Any], images: int) -> Pairs:
    sizes, generator = chosen["sizes"], torch.Generator().manual_seed(0)
    shape = sizes["voice_shape"]
    return Pairs(
        torch.randn(images, sizes["image_dim"], generator=generator),
        torch.arange(images) % sizes["classes"],
        torch.randn(images, *shape, generator=generator),
        torch.full((images,), shape[-1]),
        torch.arange(images),
    )
