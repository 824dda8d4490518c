r"""Nested codebook hashing: our own method, whose codes can be cut to any length.

Both encoders learn one fixed code per class, bit by bit. The codes are nested: their first 16, 32,
48 ... bits are good codes by themselves, so one model serves all lengths. Two terms for each
encoder, with outputs u, the class's code c and lengths l = 16, 32, ...:

* each bit: the cross-entropy :math:`\log(1 + e^{-c_k u_k})` (as CSQ without tanh);
* each length: the cross-entropy of the cosines of u's and the codes' first l entries, with scale s
  and margin m for the right class (as OrthoHash, which has no lengths).

Neither term joins the encoders. They share the codebook, so an image and a voice need not be a
pair, and nothing has to be balanced between pairs that attract and pairs that repel.
"""

from dataclasses import field

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from ivr.config import config
from ivr.hashing.codebooks import BLOCK, nested_codes
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import margin_cross_entropy
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes


@config
class NestedCodebookConfig:
    """The choices of nested codebook hashing; the defaults were measured (docs/results.md).

    Attributes:
        bit_weight: weight of the term of each bit.
        cosine_weight: weight of the term of each length.
        scale: scale s of the cosines.
        margin: margin m, subtracted from the cosine of the right class.
        network: sizes of the two encoders; voices are changed more than in other methods, to
            generalise to unknown speakers.
    """

    bit_weight: NonNegativeFloat = 1.0
    cosine_weight: NonNegativeFloat = 1.0
    scale: PositiveFloat = 8.0
    margin: NonNegativeFloat = 0.2
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(voice_warp=0.2, voice_stretch=0.3, voice_tilt=0.2)
    )


class NestedCodebook(DualEncoder):
    """Both encoders trained towards the code of the class; the sign of an output is a bit."""

    source = "nested codebook hashing, of this project"
    differences = (
        "our own: fixed codes whose first 16, 32, 48 ... bits are good codes too, so that one "
        "model serves all lengths"
    )
    epochs = 120
    config: NestedCodebookConfig
    codes: Tensor

    def __init__(self, config: NestedCodebookConfig, sizes: Sizes) -> None:
        """Draw the codes, which are kept with the weights."""
        super().__init__(config, sizes)
        self.register_buffer(
            "codes", nested_codes(sizes.classes, sizes.bits, torch.default_generator)
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return both terms of a batch, both encoders added."""
        ends = self.image(batch.images), self.voice(batch.voices, batch.frames)
        bits = torch.stack([bit_cross_entropy(end, self.codes[batch.labels]) for end in ends])
        cosines = torch.stack([self._over_lengths(end, batch.labels) for end in ends])
        return {
            "bits": self.config.bit_weight * bits.sum(),
            "cosines": self.config.cosine_weight * cosines.sum(),
        }

    def _over_lengths(self, outputs: Tensor, labels: Tensor) -> Tensor:
        lengths = [*range(BLOCK, self.sizes.bits, BLOCK), self.sizes.bits]
        terms = [
            margin_cross_entropy(
                outputs[:, :length],
                self.codes[:, :length],
                labels,
                scale=self.config.scale,
                margin=self.config.margin,
            )
            for length in lengths
        ]
        return torch.stack(terms).mean()


def bit_cross_entropy(outputs: Tensor, codes: Tensor) -> Tensor:
    r"""Return the mean of :math:`\log(1 + e^{-c u})`, a scalar.

    Args:
        outputs: u [n, bits].
        codes: c [n, bits], entries -1 or +1.
    """
    return F.softplus(-codes * outputs).mean()


METHOD = MethodEntry(build=NestedCodebook, config=NestedCodebookConfig)
