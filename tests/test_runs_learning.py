"""What a training says about itself: notes that help with small sets."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from ivr.hashing.methods import method_entry
from ivr.hashing.networks import Sizes
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import Epoch, resolved
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runs import learning
from ivr.pipeline.runs.learning import MemoryRecorder, learn

IMAGES = 12


def pairs() -> Pairs:
    rng = np.random.default_rng(0)
    return Pairs(
        torch.from_numpy(rng.normal(size=(IMAGES, 4)).astype(np.float32)),
        torch.arange(IMAGES) % 2,
        torch.from_numpy(rng.normal(size=(IMAGES, 1, 3, 8)).astype(np.float32)),
        torch.full((IMAGES,), 8),
        torch.arange(IMAGES),
    )


def notes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, scores: Sequence[float],
    batch_size: int = 4,
) -> list[str]:  # fmt: skip
    """The notes of a training whose epochs have these validation scores."""

    def epochs(*_: Any, **__: Any) -> Iterator[Epoch]:
        for number, score in enumerate(scores, 1):
            yield Epoch(number, {"loss": 1.0}, 0.1, score, score, 1.0, 1.0)

    monkeypatch.setattr(learning, "train", epochs)
    caplog.set_level("INFO", "ivr")
    entry = method_entry("csq")
    model = entry.build(entry.config(), Sizes(4, (1, 3, 8), 8, 2))
    config = resolved(TrainConfig(epochs=len(scores), batch_size=batch_size), type(model))
    learn(model, (pairs(), pairs()), config, torch.device("cpu"), seed=0, recorder=MemoryRecorder())
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("note: ")]


def test_the_last_epoch_as_the_best_one_suggests_more_epochs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert notes(monkeypatch, caplog, [0.2, 0.4]) == [
        "note: the last epoch has the best validation mAP; more epochs may help: --epochs"
    ]


def test_a_training_whose_validation_no_longer_rises_suggests_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert notes(monkeypatch, caplog, [0.4, 0.3]) == []
    assert notes(monkeypatch, caplog, [0.2, 1.0, 1.0]) == []


def test_a_batch_that_holds_most_of_the_training_set_is_noted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (note,) = notes(monkeypatch, caplog, [0.4, 0.3], batch_size=7)
    assert note == (
        "note: a batch of 7 holds most of the 12 training images, 2 steps per epoch; "
        "a smaller --batch-size may help"
    )
    caplog.clear()
    assert notes(monkeypatch, caplog, [0.4, 0.3], batch_size=6) == []
