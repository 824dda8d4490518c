r"""CSQ: central similarity quantization; images and voices of a class move to one fixed code.

Reference:
    Yuan et al., "Central Similarity Quantization for Efficient Image and Video Retrieval",
    CVPR 2020, eq. 4-6; code yuanli2333/Hadamard-Matrix-for-hashing.

Across modalities: both encoders have the same centres.
"""

from dataclasses import field
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor

from ivr.config import config
from ivr.hashing.codebooks import codebook
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import bits_off
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes


@config
class CSQConfig:
    """The choices of CSQ.

    Attributes:
        quantisation: weight of the distance of the outputs to codes, 0.0001 in the authors' code.
        quantisation_form: that distance for outputs u: ``squared``, (|u| - 1)^2 as in the authors'
            code, or ``log-cosh``, log cosh(|u| - 1) as in eq. 5 of the paper.
        network: sizes of the two encoders.
    """

    quantisation: NonNegativeFloat = 1e-4
    quantisation_form: Literal["squared", "log-cosh"] = "squared"
    network: NetworkConfig = field(default_factory=NetworkConfig)


class CSQ(DualEncoder):
    """Both encoders trained towards the centre of the class; the outputs are tanh(h)."""

    source = "CSQ, CVPR 2020, yuanli2333/Hadamard-Matrix-for-hashing"
    differences = (
        "both encoders have the same centres; rows of the Hadamard matrix are drawn, Paley's for "
        "24, 48 and 96 bits"
    )
    config: CSQConfig
    centres: Tensor

    def __init__(self, config: CSQConfig, sizes: Sizes) -> None:
        """Draw the centres, which are kept with the weights."""
        super().__init__(config, sizes)
        centres = codebook(sizes.classes, sizes.bits, torch.default_generator)
        self.register_buffer("centres", centres)

    def activation(self, outputs: Tensor) -> Tensor:
        """Return tanh."""
        return torch.tanh(outputs)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return central similarity and quantisation of a batch, both encoders added."""
        ends = self.image(batch.images), self.voice(batch.voices, batch.frames)
        centres = self.centres[batch.labels]
        similarity = torch.stack([central_similarity(hidden, centres) for hidden in ends])
        distance = squared_off if self.config.quantisation_form == "squared" else bits_off
        off = torch.stack([distance(torch.tanh(hidden)) for hidden in ends])
        return {
            "central similarity": similarity.sum(),
            "quantisation": self.config.quantisation * off.sum(),
        }


def central_similarity(hidden: Tensor, centres: Tensor) -> Tensor:
    r"""Return the mean binary cross-entropy of (u + 1) / 2 to the bits of the centres.

    With u = tanh(h) the probability of a bit is :math:`\sigma(2h)`, and its cross-entropy to the
    entry c of the centre :math:`\log(1 + e^{-2ch})`.

    Args:
        hidden: h [n, bits], before tanh.
        centres: c [n, bits], entries -1 or +1.
    """
    return F.softplus(-2 * centres * hidden).mean()


def squared_off(outputs: Tensor) -> Tensor:
    """Return the mean of (|u| - 1)^2 over outputs u [n, bits]."""
    return (outputs.abs() - 1).square().mean()


METHOD = MethodEntry(build=CSQ, config=CSQConfig)
