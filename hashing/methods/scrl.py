r"""SCRL: semantics-consistent representation learning for image-voice retrieval; a reconstruction.

Reference:
    Ning et al., "Semantics-Consistent Representation Learning for Remote Sensing Image-Voice
    Retrieval", IEEE TGRS 2021, arXiv 2103.05302. Reconstructed from the abstract, which names three
    relations (paired, intra-modality, non-paired inter-modality) and a voice encoder of dilated
    convolutions. Each relation is a supervised contrastive term here (Khosla et al., NeurIPS 2020).
"""

from dataclasses import field

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from ivr.config import config
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import same_class
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig


@config
class SCRLConfig:
    """The choices of the reconstruction.

    Attributes:
        temperature: temperature of the softmax over cosines.
        paired: weight of an image and its own voice.
        intra: weight of two images, or two voices, of one class.
        inter: weight of an image and a voice of one class that are no pair.
        network: sizes of the two encoders; the voice encoder is dilated.
    """

    temperature: PositiveFloat = 0.1
    paired: NonNegativeFloat = 1.0
    intra: NonNegativeFloat = 1.0
    inter: NonNegativeFloat = 1.0
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(voice_stride=(2, 1, 1), voice_dilation=2)
    )


class SCRL(DualEncoder):
    """Both encoders trained on three contrastive terms; outputs have unit length."""

    source = "SCRL, IEEE TGRS 2021, arXiv 2103.05302"
    reconstruction = (
        "from the abstract, which names three relations and a dilated voice encoder; ours are the "
        "supervised contrastive form, the weights and the layers"
    )
    distance = "euclidean"
    needs_own_pairs = True
    config: SCRLConfig

    def activation(self, outputs: Tensor) -> Tensor:
        """Return vectors of unit length, so that Euclidean order is the order of cosines."""
        return F.normalize(outputs)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the three relations of a batch."""
        outputs = torch.cat(
            [self.encode_images(batch.images), self.encode_voices(batch.voices, batch.frames)]
        )
        config = self.config
        weights = {"paired": config.paired, "intra": config.intra, "inter": config.inter}
        return {
            name: weights[name] * contrast(outputs, related, config.temperature)
            for name, related in relations(batch.labels).items()
        }


def relations(labels: Tensor) -> dict[str, Tensor]:
    """Return which of n images and their n voices are paired, intra and inter.

    Args:
        labels: [n] of images and voices alike.

    Returns:
        Booleans [2n, 2n] each, images first; no row is related to itself.
    """
    count = len(labels)
    pairs = torch.eye(count, dtype=torch.bool, device=labels.device)
    others = same_class(labels, labels) & ~pairs
    nothing = torch.zeros_like(pairs)
    return {
        "paired": _blocks(nothing, pairs),
        "intra": _blocks(others, nothing),
        "inter": _blocks(nothing, others),
    }


def contrast(outputs: Tensor, related: Tensor, temperature: float) -> Tensor:
    r"""Return the supervised contrastive loss, 0 where nothing is related.

    With :math:`p_{ij}` the softmax of :math:`u_i^T u_j / \tau` over all :math:`j \ne i`, the mean
    over the rows that are related to anything of the mean of :math:`-\log p_{ij}` over what row i
    is related to.

    Args:
        outputs: u [n, width], of unit length.
        related: booleans [n, n], False on the diagonal.
        temperature: tau.
    """
    itself = torch.eye(len(outputs), dtype=torch.bool, device=outputs.device)
    similarity = (outputs @ outputs.T / temperature).masked_fill(itself, -torch.inf)
    log_share = similarity - similarity.logsumexp(1, keepdim=True)
    count = related.sum(1)
    cost = -log_share.masked_fill(~related, 0).sum(1) / count.clamp(min=1)
    return cost.sum() / (count > 0).sum().clamp(min=1)


def _blocks(within: Tensor, across: Tensor) -> Tensor:
    return torch.cat([torch.cat([within, across], 1), torch.cat([across, within], 1)])


METHOD = MethodEntry(build=SCRL, config=SCRLConfig)
