"""CCA, then sign: a bit is the sign of a canonical variate. Nothing is trained.

Reference:
    Hotelling, "Relations between two sets of variates", Biometrika 1936; as a cross-modal hash in
    Gong and Lazebnik, CVPR 2011.
"""

import torch
from torch import Tensor

from ivr.hashing.canonical import random_frame
from ivr.hashing.canonical_method import CanonicalConfig, CanonicalMethod
from ivr.hashing.method import MethodEntry


class CCASign(CanonicalMethod):
    """The best correlated variates, one per bit.

    Where there are more bits than variates, those left over are random mixtures of all of them.
    """

    source = "CCA (Hotelling 1936), its signs"
    differences = "not trained; random mixtures where there are more bits than variates"
    config: CanonicalConfig

    def bit_map(self, variates: Tensor, generator: torch.Generator) -> Tensor:
        """Return the identity, and random columns after it."""
        rank, bits = variates.shape[1], self.sizes.bits
        own = torch.eye(rank, min(rank, bits), dtype=variates.dtype)
        left_over = max(0, bits - rank)
        if not left_over:
            return own
        return torch.cat([own, random_frame(rank, left_over, generator)], 1)


METHOD = MethodEntry(build=CCASign, config=CanonicalConfig)
