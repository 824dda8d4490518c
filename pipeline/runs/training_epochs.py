"""The history of a run as data of its picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ivr.hashing.trainer import Epoch
from ivr.pipeline.pictures.training_history import TrainingHistory

from .checkpoint import read_history
from .run_folder import HISTORY


def training_history(run: Path) -> TrainingHistory | None:
    """Return the epochs of the run folder ``run``; None if it has none.

    A method that is computed in one step has a single epoch without losses: no history to draw.
    """
    epochs = read_history(run / HISTORY)
    return history_of(epochs) if epochs and epochs[0].losses else None


def history_of(epochs: Sequence[Epoch]) -> TrainingHistory:
    """Return ``epochs``, at least one, with losses, as data of a picture."""
    names = [name for name in epochs[0].losses if all(name in e.losses for e in epochs)]
    return TrainingHistory(
        epochs=np.array([epoch.number for epoch in epochs]),
        losses={name: np.array([epoch.losses[name] for epoch in epochs]) for name in names},
        validation={
            "image_to_voice": _percent([epoch.image_to_voice for epoch in epochs]),
            "voice_to_image": _percent([epoch.voice_to_image for epoch in epochs]),
        },
        best=_kept(epochs),
        chance={name: 100 * share for name, share in (epochs[-1].chance or {}).items()},
    )


def _kept(epochs: Sequence[Epoch]) -> int | None:
    """Return the number of the epoch whose weights were kept: the last of the best ones."""
    best, kept = -1.0, None
    for epoch in epochs:
        if epoch.score is not None and epoch.score >= best:
            best, kept = epoch.score, epoch.number
    return kept


def _percent(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else 100 * value for value in values])
