"""What a probe does; imports no torch, so that the command line can read the defaults."""

from dataclasses import field
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.pipeline.datasets.split_config import SplitConfig


@config
class ProbeConfig:
    """How features are probed.

    Attributes:
        split: Shares and seed of the split that is drawn if the manifest has none; its seed is
            ``seed`` as in training, unless it has one of its own.
        seed: Seed of the split, the folds and the classifier.
        folds: Number of parts for cross-validation; each part is classified by a classifier that
            has learnt from the others.
        segments: Number of equal parts in time that summarise a voice, besides its whole.
        rows: Largest number of rows per modality; of more, whole groups are drawn per class.
        jobs: Number of folds computed at once. The result does not depend
            on it.
    """

    split: SplitConfig = field(default_factory=SplitConfig)
    seed: NonNegativeInt = 0
    folds: Annotated[int, Field(ge=2)] = 5
    segments: PositiveInt = 4
    rows: Annotated[int, Field(ge=2)] = 20_000
    jobs: PositiveInt | None = None
