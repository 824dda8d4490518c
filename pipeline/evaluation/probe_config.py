"""What a probe does; imports no torch, so that the command line can read the defaults."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.pipeline.datasets.splits import SplitConfig


@config
class ProbeConfig:
    """How features are probed.

    Attributes:
        split: shares and seed of the split where the manifest leaves it open; None takes the
            default shares with ``seed``, as training does.
        seed: seed of the split, the folds and the classifier.
        folds: number of parts that each modality is cut into; each part is classified by a
            classifier that has learnt from the others.
        segments: equal parts in time that a voice is summarised by, besides its whole.
        rows: most rows per modality; of more, whole groups are drawn per class.
        jobs: folds computed at once; None takes one per core. The result does not depend on it.
    """

    split: SplitConfig | None = None
    seed: NonNegativeInt = 0
    folds: Annotated[int, Field(ge=2)] = 5
    segments: PositiveInt = 4
    rows: Annotated[int, Field(ge=2)] = 20_000
    jobs: PositiveInt | None = None
