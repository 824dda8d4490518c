r"""GreedyHash: the sign itself in the forward pass, the gradient of the outputs in the backward.

Reference:
    Su et al., "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN",
    NeurIPS 2018, eq. 7-9; code ssppp/GreedyHash.

Across modalities: one classifier reads the codes of both encoders, which makes them agree.
"""

from dataclasses import field

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from ivr.config import config
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import straight_through_sign
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes


@config
class GreedyHashConfig:
    """The choices of GreedyHash.

    Attributes:
        quantisation: weight of the cubed distance of the outputs to codes, 0.1 in the paper.
        network: sizes of the two encoders.
    """

    quantisation: NonNegativeFloat = 0.1
    network: NetworkConfig = field(default_factory=NetworkConfig)


class GreedyHash(DualEncoder):
    """Both encoders and one classifier on their signs; the outputs are linear."""

    source = "GreedyHash, NeurIPS 2018, ssppp/GreedyHash"
    differences = "one classifier reads the codes of both encoders"
    config: GreedyHashConfig

    def __init__(self, config: GreedyHashConfig, sizes: Sizes) -> None:
        """Add the classifier."""
        super().__init__(config, sizes)
        self.classifier = nn.Linear(sizes.bits, sizes.classes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return class and quantisation terms of a batch, both encoders added."""
        ends = (
            self.encode_images(batch.images),
            self.encode_voices(batch.voices, batch.frames),
        )
        classes = [
            F.cross_entropy(self.classifier(straight_through_sign(outputs)), batch.labels)
            for outputs in ends
        ]
        off = [cubic_quantisation(outputs) for outputs in ends]
        return {
            "class": torch.stack(classes).sum(),
            "quantisation": self.config.quantisation * torch.stack(off).sum(),
        }


def cubic_quantisation(outputs: Tensor) -> Tensor:
    """Return the mean of ||h| - 1|^3 over the entries of the outputs [n, bits]."""
    return (outputs.abs() - 1).abs().pow(3).mean()


METHOD = MethodEntry(build=GreedyHash, config=GreedyHashConfig)
