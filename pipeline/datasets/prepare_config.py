"""Choices of ``ivr prepare``; the command line reads them, so this module imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from .layout import Sources
from .splits import Cut


@dataclass(frozen=True)
class PrepareConfig(Sources):
    """Choices of ``ivr prepare``.

    Attributes:
        split: Shares of the split to draw; ``none`` keeps the splits of the layout, and training
            draws those that are missing.
        seed: Seed of that draw.
        force: Overwrite an existing manifest.
        dry_run: Read and prove everything, but write nothing.
    """

    split: Cut | Literal["none"] = "none"
    seed: int = 0
    force: bool = False
    dry_run: bool = False
