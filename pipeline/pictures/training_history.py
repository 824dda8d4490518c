"""History of a training: the loss and its terms, validation mAP, and the epoch that was kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .captions import ARROWS
from .guides import draw_legend, line_label, percent_axis
from .style import LIGHT, Theme, line_style, marker_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOGARITHMIC = 30
"""Ratio of the largest and the smallest loss from which on their axis is logarithmic."""


@dataclass(frozen=True, eq=False)
class TrainingHistory:
    """The epochs of a training.

    Attributes:
        epochs: numbers of the epochs [e].
        losses: by name, mean over the batches of each epoch [e]; ``loss`` is their sum.
        validation: by direction, validation mAP [e], percent; NaN where it was not validated.
        best: number of the epoch whose weights were kept; None if none was validated.
        chance: by direction, mAP of a random order, percent; empty if it is unknown.
    """

    epochs: np.ndarray
    losses: Mapping[str, np.ndarray]
    validation: Mapping[str, np.ndarray]
    best: int | None
    chance: Mapping[str, float]


def draw_losses(axes: "Axes", history: TrainingHistory, theme: Theme = LIGHT) -> "Axes":
    """Draw the sum of the losses and its terms over the epochs.

    Args:
        axes: what to draw into.
        history: the data.
        theme: colours.
    """
    for number, (name, values) in enumerate(history.losses.items()):
        label = "sum of the terms" if name == "loss" else line_label(name.replace("_", " "))
        places = marker_places(number, len(history.epochs), len(history.losses))
        axes.plot(history.epochs, values, label=label, markevery=places,
                  **line_style(number, theme))  # fmt: skip
    every = np.concatenate(list(history.losses.values()))
    if every.min() > 0 and every.max() > LOGARITHMIC * every.min():
        axes.set_yscale("log")  # small terms would all lie on the axis
        axes.yaxis.set_major_formatter("{x:g}")
    _finish(axes, history, "loss", theme)
    return axes


def draw_validation(axes: "Axes", history: TrainingHistory, theme: Theme = LIGHT) -> "Axes":
    """Draw validation mAP over the epochs, with chance; a vertical line marks the kept epoch.

    Args:
        axes: what to draw into.
        history: the data.
        theme: colours.
    """
    for number, (direction, values) in enumerate(history.validation.items()):
        known = np.flatnonzero(~np.isnan(values))
        places = marker_places(number, len(known))
        axes.plot(history.epochs[known], values[known], label=ARROWS[direction], markevery=places,
                  **line_style(number, theme))  # fmt: skip
    for number, value in enumerate(sorted(set(history.chance.values()))):
        axes.axhline(value, color=theme.guide, linestyle=(0, (1, 2)), linewidth=1.4,
                     label="_" if number else f"chance ({value:.1f} %)")  # fmt: skip
    percent_axis(axes, "y")
    _finish(axes, history, "validation mAP, %", theme)
    return axes


def draw_history(
    panels: "Sequence[Axes]", history: TrainingHistory, theme: Theme = LIGHT
) -> "Sequence[Axes]":
    """Draw the losses into the first of two ``panels`` and validation mAP into the second.

    Args:
        panels: two axes.
        history: the data.
        theme: colours.
    """
    draw_losses(panels[0], history, theme)
    draw_validation(panels[1], history, theme)
    return panels


def history_rows(history: TrainingHistory) -> list[dict[str, Any]]:
    """Return one row per epoch: losses, validation mAP in percent, and whether it was kept."""
    return [
        {
            "epoch": int(epoch),
            **{name: float(values[place]) for name, values in history.losses.items()},
            **{name: float(values[place]) for name, values in history.validation.items()},
            "kept": int(epoch == history.best),
        }
        for place, epoch in enumerate(history.epochs)
    ]


def _finish(axes: "Axes", history: TrainingHistory, name: str, theme: Theme) -> None:
    if history.best is not None:
        axes.axvline(history.best, color=theme.ink, linewidth=1, zorder=1.5,
                     label=f"epoch {history.best}, kept")  # fmt: skip
    axes.set(xlabel="epoch", ylabel=name)
    axes.grid(True)
    axes.set_axisbelow(True)
    draw_legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
