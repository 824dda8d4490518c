"""What a probe does; imports no torch, so that the command line can read the defaults."""

from dataclasses import dataclass

from ivr.pipeline.datasets.splits import SplitConfig


@dataclass(frozen=True)
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
    seed: int = 0
    folds: int = 5
    segments: int = 4
    rows: int = 20_000
    jobs: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that cannot work."""
        for name, least in {"seed": 0, "folds": 2, "segments": 1, "rows": 2, "jobs": 1}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
