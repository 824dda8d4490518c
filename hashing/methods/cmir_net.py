r"""CMIR-NET: each modality learns its classes, then both learn a shared real-valued space.

Reference:
    Chaudhuri et al., "CMIR-NET: A deep learning based model for cross-modal retrieval in remote
    sensing", Pattern Recognition Letters 2020, arXiv 1904.04794; the authors' code and slides.

First Z_a and Z_b are learnt, each on its own: CE(Z) + ||Z^T Z - I||^2. Then, with Z fixed,
V = W (w * Z) is learnt on l1 ||V_a - V_b||^2 + l2 CE([V_a, V_b]) + l3 (||V_a||^2 + ||V_b||^2)
+ l4 (decoding) + l5 (||w_a - 1||^2 + ||w_b - 1||^2), all as means. Code and slides differ in what
is decoded (``decode``). The code exports codes of the training items as well; nothing here does.
"""

from dataclasses import field
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from ivr.config import Share, config
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes

Decode = Literal["other", "own"]


@config
class CMIRNetConfig:
    """The choices of CMIR-NET.

    Attributes:
        pretraining: share of the epochs in which Z is learnt.
        distance: l1, of the two shared vectors of a pair.
        classes: l2, of one classifier on the shared vectors of both modalities.
        length: l3, of the lengths of the shared vectors.
        decoding: l4, of what a shared vector tells of Z.
        scales: l5, of the distance of the scales of Z to one.
        orthogonality: weight of Z^T Z / n - I while Z is learnt.
        decode: other decodes to Z of the other modality as in the slides, own as in the code.
        features: length of Z, 128 in the code.
        network: sizes of the two encoders.
    """

    pretraining: Share = 0.3
    distance: NonNegativeFloat = 1.0
    classes: NonNegativeFloat = 1.0
    length: NonNegativeFloat = 0.01
    decoding: NonNegativeFloat = 0.1
    scales: NonNegativeFloat = 0.01
    orthogonality: NonNegativeFloat = 1.0
    decode: Decode = "other"
    features: PositiveInt = 128
    network: NetworkConfig = field(default_factory=NetworkConfig)


class CMIRNet(DualEncoder):
    """Two encoders for Z, two scaled linear maps to V, two decoders and three classifiers."""

    source = "CMIR-NET, Pattern Recognition Letters 2020, arXiv 1904.04794"
    reconstruction = (
        "of some parts; ours are w_a and w_b read as scales of Z, [V_a, V_b] as rows of one "
        "classifier, the weights l1 to l5, the share of pretraining and the voice network"
    )
    differences = "`decode` takes the decoder of the slides or of the code"
    distance = "euclidean"
    needs_own_pairs = True
    config: CMIRNetConfig

    def __init__(self, config: CMIRNetConfig, sizes: Sizes) -> None:
        """Build all parts; the scales begin at one."""
        super().__init__(config, sizes, encoder_width=config.features)
        self.pretraining = False
        self.scales = nn.Parameter(torch.ones(2, config.features))
        self.shared = nn.ModuleList(nn.Linear(config.features, sizes.bits) for _ in range(2))
        self.decoders = nn.ModuleList(nn.Linear(sizes.bits, config.features) for _ in range(2))
        self.own_classes = nn.ModuleList(
            nn.Linear(config.features, sizes.classes) for _ in range(2)
        )
        self.shared_classes = nn.Linear(sizes.bits, sizes.classes)

    def begin_epoch(self, done: float) -> None:
        """Learn Z first."""
        self.pretraining = done < self.config.pretraining

    def encode_images(self, images: Tensor) -> Tensor:
        """Return V_a [n, bits]."""
        return self._shared(self.image(images), 0)

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return V_b [m, bits]."""
        return self._shared(self.voice(voices, frames), 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the stage that the training is in."""
        features = [self.image(batch.images), self.voice(batch.voices, batch.frames)]
        if self.pretraining:
            return self._pretraining_losses(features, batch.labels)
        return self._shared_losses([table.detach() for table in features], batch.labels)

    def _pretraining_losses(self, features: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
        classes = [
            F.cross_entropy(layer(table), labels)
            for layer, table in zip(self.own_classes, features, strict=True)
        ]
        off = torch.stack([orthogonality(table) for table in features]).sum()
        return {
            "own classes": torch.stack(classes).sum(),
            "orthogonality": self.config.orthogonality * off,
        }

    def _shared_losses(self, features: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
        config = self.config
        image, voice = (self._shared(table, end) for end, table in enumerate(features))
        decoded = [layer(end) for layer, end in zip(self.decoders, (image, voice), strict=True)]
        targets = features[::-1] if config.decode == "other" else features
        classified = self.shared_classes(torch.cat([image, voice]))
        return {
            "distance": config.distance * F.mse_loss(image, voice),
            "classes": config.classes * F.cross_entropy(classified, torch.cat([labels, labels])),
            "length": config.length * (image.square().mean() + voice.square().mean()),
            "decoding": config.decoding
            * (F.mse_loss(decoded[0], targets[0]) + F.mse_loss(decoded[1], targets[1])),
            "scales": config.scales * 2 * (self.scales - 1).square().mean(),
        }

    def _shared(self, features: Tensor, end: int) -> Tensor:
        outputs: Tensor = self.shared[end](self.scales[end] * features)
        return outputs


def orthogonality(features: Tensor) -> Tensor:
    """Return the mean square of the entries of Z^T Z / n - I for Z [n, features]."""
    product = features.T @ features / len(features)
    one = torch.eye(len(product), dtype=product.dtype, device=product.device)
    return (product - one).square().mean()


METHOD = MethodEntry(build=CMIRNet, config=CMIRNetConfig)
