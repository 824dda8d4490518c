"""CCA, then ITQ: the canonical variates are rotated until they lie near codes. Nothing is trained.

Reference:
    Gong and Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes",
    CVPR 2011, with CCA; images and voices share the rotation.
"""

import torch
from pydantic import PositiveInt
from torch import Tensor

from ivr.config import config
from ivr.hashing.canonical import itq_rotation, random_frame
from ivr.hashing.canonical_method import CanonicalConfig, CanonicalMethod
from ivr.hashing.method import MethodEntry


@config
class CCAITQConfig(CanonicalConfig):
    """The choices of CCA-ITQ, which include those of CCA.

    Attributes:
        segments: number of equal parts in time; a voice is summarised as a whole and by part.
        regularisation: share of the mean variance added to every variance before whitening.
        scale_power: exponent p; each variate is multiplied by its correlation to the power p. With
            0 all variates are as large as the first.
        iterations: number of iterations of ITQ, 50 in the paper.
    """

    iterations: PositiveInt = 50


class CCAITQ(CanonicalMethod):
    """As many of the best correlated variates as bits, or all of them, rotated.

    Where there are more bits than variates, the rotation is a map of orthonormal rows.
    """

    source = "CCA-ITQ, Gong and Lazebnik, CVPR 2011"
    differences = "not trained; a map of orthonormal rows where there are more bits than variates"
    config: CCAITQConfig

    def bit_map(self, variates: Tensor, generator: torch.Generator) -> Tensor:
        """Return the rotation, and zeros for variates that no bit is left for."""
        rank, bits = variates.shape[1], self.sizes.bits
        used = min(rank, bits)
        begin = random_frame(used, bits, generator)
        rotation, _ = itq_rotation(variates[:, :used], begin, self.config.iterations)
        return torch.cat([rotation, rotation.new_zeros(rank - used, bits)])


METHOD = MethodEntry(build=CCAITQ, config=CCAITQConfig)
