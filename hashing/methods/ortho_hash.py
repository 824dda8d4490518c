r"""OrthoHash: one loss for all; cosine similarity to orthogonal class codes, with a margin.

Reference:
    Hoe et al., "One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning
    Objective", NeurIPS 2021, eq. 6; code kamwoh/orthohash.

The authors draw the codes at random, nearly orthogonal; here they are rows of a Hadamard matrix,
orthogonal where there are enough bits. Across modalities: both encoders have the same codebook. The
batch normalisation before the codes, which the paper asks for, is ``network.output_norm``.
"""

from dataclasses import field

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from ivr.config import config
from ivr.hashing.codebooks import codebook
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import margin_cross_entropy
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes


@config
class OrthoHashConfig:
    """The choices of OrthoHash.

    Attributes:
        margin: m, by which the cosine to the right code must win.
        scale: s, of the cosines before the softmax.
        network: sizes of the two encoders.
    """

    margin: NonNegativeFloat = 0.2
    scale: PositiveFloat = 8.0
    network: NetworkConfig = field(default_factory=NetworkConfig)


class OrthoHash(DualEncoder):
    """Both encoders trained by angle towards the code of the class; the outputs are linear."""

    source = "OrthoHash, NeurIPS 2021, kamwoh/orthohash"
    differences = "both encoders have the same codebook, exactly orthogonal instead of nearly"
    config: OrthoHashConfig
    codebook: Tensor

    def __init__(self, config: OrthoHashConfig, sizes: Sizes) -> None:
        """Draw the codebook, which is kept with the weights."""
        super().__init__(config, sizes)
        codes = codebook(sizes.classes, sizes.bits, torch.default_generator)
        self.register_buffer("codebook", codes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the margin cross-entropy of each encoder."""
        ends = {
            "image": self.encode_images(batch.images),
            "voice": self.encode_voices(batch.voices, batch.frames),
        }
        return {
            name: margin_cross_entropy(
                outputs,
                self.codebook,
                batch.labels,
                scale=self.config.scale,
                margin=self.config.margin,
            )
            for name, outputs in ends.items()
        }


METHOD = MethodEntry(build=OrthoHash, config=OrthoHashConfig)
