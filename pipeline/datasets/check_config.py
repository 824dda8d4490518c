"""Choices of ``ivr check``; the command line reads them, so this module imports nothing heavy."""

from dataclasses import dataclass

from .splits import Cut


@dataclass(frozen=True)
class CheckConfig:
    """Choices of ``ivr check``.

    Attributes:
        split: Shares of the split that is drawn for items without a split in the manifest.
        seed: Seed of that draw; training with the same seed draws the same split.
        jobs: Number of threads that read files; by default one per core.
    """

    split: Cut = "80/20"
    seed: int = 0
    jobs: int | None = None
