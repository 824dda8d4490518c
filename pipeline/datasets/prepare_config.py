"""Choices of ``ivr prepare``; the command line reads them, so this module imports nothing heavy."""

from typing import Literal

from pydantic import NonNegativeInt

from ivr.config import config

from .layout import Sources
from .split_config import Cut


@config
class PrepareConfig(Sources):
    """Choices of ``ivr prepare``.

    Attributes:
        split: Shares of the split to draw; ``none`` keeps the splits of the layout, and training
            draws those that are missing.
        seed: Seed of the drawn split.
        accept_spellings: Merge several spellings of one label, speaker or group (``Beach`` and
            ``beach``, ``1`` and ``1.0``), which are an error otherwise.
        force: Overwrite an existing manifest.
        dry_run: Read and check everything, but write nothing.
    """

    split: Cut | Literal["none"] = "none"
    seed: NonNegativeInt = 0
    accept_spellings: bool = False
    force: bool = False
    dry_run: bool = False
