"""Share of a training step that is not forward, backward or optimiser.

    python benchmarks/training_wait.py FEATURES
    python benchmarks/training_wait.py FEATURES --from-file

FEATURES is a folder that `ivr extract` wrote. Times what an epoch does outside the loss, its
gradient and the optimiser's step (choosing and gathering batches, bookkeeping), over the whole;
``--from-file`` reads the voices from the mapped file, as training does if memory is too small.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivr.hashing.method import TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.networks import Sizes
from ivr.hashing.trainer import make_optimiser, train
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.manifest import classes
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.extraction.feature_dataset import STREAMS, open_features
from ivr.pipeline.runs.training_data import make_pairs
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.memory import room


def timed(function: Callable[..., Any], spent: list[float], device: torch.device) -> Any:
    """Return ``function`` adding the seconds of each call to the last entry of ``spent``."""

    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **named)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent[-1] += time.perf_counter() - start
        return result

    return call


def main() -> None:
    """Train some epochs and print the share of each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--from-file", action="store_true")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    data = open_features(options.features)
    splits, names = complete_splits(data.manifest, SplitConfig()), classes(data.manifest.images())
    voices = data.voice_items()
    training = make_pairs(data, splits, "train", names, voices, STREAMS)
    validation = make_pairs(data, splits, "val", names, voices, STREAMS)
    entry = method_entry("divh")
    _, coefficients, frames = data.voice_settings()["shape"]
    sizes = Sizes(training.images.shape[1], (3, coefficients, frames), 64, len(names))
    model = entry.build(entry.config(), sizes)
    assert isinstance(model, TrainedMethod)
    model.fit_inputs(training)
    began = time.perf_counter()
    kept = replace(training) if options.from_file else training.pooled_by(model.pool, room())
    print(f"preparing {len(training.frames)} voices: {time.perf_counter() - began:.1f} s")
    model = model.to(device)
    config = TrainConfig(epochs=options.epochs, validate_every=options.epochs)
    optimiser = make_optimiser(model, config)
    spent: list[float] = [0.0]
    model.losses = timed(model.losses, spent, device)  # type: ignore[method-assign]
    torch.Tensor.backward = timed(torch.Tensor.backward, spent, device)  # type: ignore[method-assign]
    optimiser.step = timed(optimiser.step, spent, device)  # type: ignore[method-assign]
    shares = []
    pairs = kept.to(device), validation.pooled_by(model.pool, room()).to(device)
    for epoch in train(model, optimiser, *pairs, config, seed=0):
        took = len(training.labels) / epoch.pairs_per_second
        shares.append(1 - spent[-1] / took)
        spent.append(0.0)
        print(f"epoch {epoch.number}: {epoch.pairs_per_second:.0f} pairs per second")
    print(
        f"outside forward, backward and optimiser: {100 * np.median(shares):.1f} % "
        f"({100 * min(shares):.1f} to {100 * max(shares):.1f})"
    )


if __name__ == "__main__":
    main()
