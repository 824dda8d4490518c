"""CCA, then sign: a bit is the sign of a canonical variate. Nothing is trained.

Reference:
    Hotelling, "Relations between two sets of variates", Biometrika 1936; as a cross-modal hash in
    Gong and Lazebnik, CVPR 2011.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ivr.hashing.canonical import random_frame

from .canonical_method import CanonicalMethod


@dataclass(frozen=True)
class CanonicalConfig:
    """The choices of the training-free methods.

    Attributes:
        segments: equal parts in time of which a voice is summarised, beside the whole.
        regularisation: share of the mean variance added to every variance before whitening.
        scale_power: power of its correlation that each variate is multiplied with; 0 leaves all
            variates as large as the first.
    """

    segments: int = 4
    regularisation: float = 0.1
    scale_power: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.segments < 1:
            raise ValueError(f"segments must be at least 1, got {self.segments}")
        for name in ("regularisation", "scale_power"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class CCASign(CanonicalMethod):
    """The best correlated variates, one a bit.

    Where there are more bits than variates, those left over are random mixtures of all of them.
    """

    source = "CCA (Hotelling 1936), its signs"
    config: CanonicalConfig

    def bit_map(self, variates: Tensor, generator: torch.Generator) -> Tensor:
        """Return the identity, and random columns after it."""
        rank, bits = variates.shape[1], self.sizes.bits
        own = torch.eye(rank, min(rank, bits), dtype=variates.dtype)
        left_over = max(0, bits - rank)
        if not left_over:
            return own
        return torch.cat([own, random_frame(rank, left_over, generator)], 1)
