"""LSH: signs of random projections. Nothing is trained.

Reference:
    Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002.

Random hyperplanes of two unrelated spaces agree no better than chance, so they are drawn in the
space of the canonical variates, which images and voices share.
"""

import torch
from torch import Tensor

from ivr.hashing.canonical_method import CanonicalConfig, CanonicalMethod
from ivr.hashing.method import MethodEntry


class LSH(CanonicalMethod):
    """Random hyperplanes through the canonical variates."""

    source = "LSH, random hyperplanes (Charikar, STOC 2002), of CCA variates"
    differences = (
        "not trained; hyperplanes of the CCA variates, since hyperplanes of unrelated spaces agree "
        "no better than chance"
    )
    config: CanonicalConfig

    def bit_map(self, variates: Tensor, generator: torch.Generator) -> Tensor:
        """Return normals drawn in all directions alike."""
        return torch.randn(
            variates.shape[1], self.sizes.bits, generator=generator, dtype=variates.dtype
        )


METHOD = MethodEntry(build=LSH, config=CanonicalConfig)
