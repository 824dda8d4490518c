"""Shares and seed of a split, and the cuts of the papers; imports no manifest, for the help."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from ivr.config import Share, config
from ivr.names import unknown

Cut = Literal["80/20", "80/10/10"]
"""Shares of training (with validation) and test, or of training, validation and test."""


@config
class SplitConfig:
    """Shares of the groups of each class.

    Attributes:
        test: share of all groups that is tested, in (0, 1).
        val: share of the rest that validates, i.e. chooses the epoch to keep, in [0, 1).
        seed: seed of the draw; None stands for the seed of the run or the probe, and for 0 where
            there is neither.
    """

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    val: Share = 0.1
    seed: NonNegativeInt | None = None

    def seeded(self, seed: int) -> "SplitConfig":
        """Return the shares with ``seed``, unless they have a seed of their own."""
        return replace(self, seed=seed) if self.seed is None else self


# Both keep a tenth for validation: the papers do not say how they chose the epoch, and the test
# split must not choose it.
CUTS: dict[Cut, SplitConfig] = {
    "80/20": SplitConfig(),
    "80/10/10": SplitConfig(test=0.1, val=1 / 9),
}


def splits_of_cut(cut: str, seed: int | None) -> SplitConfig:
    """Return the shares named ``cut`` with ``seed``, None for that of the run.

    Raises:
        UnknownNameError: no such cut.
    """
    if cut not in CUTS:
        raise unknown("cut", cut, CUTS)
    return replace(CUTS[cut], seed=seed)
